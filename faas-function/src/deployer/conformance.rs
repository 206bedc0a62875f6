//! The suite of [`FunctionDeployer`](super::FunctionDeployer): one case for each rule of its
//! contract.

mod manager;
mod puppets;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;

use faas_core::{ErrorKind, InstanceId, RuntimeName};
use faas_resource::Executable;
use futures::future::BoxFuture;

pub use manager::InstantManager;
pub use puppets::Puppets;
pub use stage::{Factory, Setup};
use stage::{Stage, revision, within};

use super::{Deploy, DeployerEvent};
use crate::registry::FunctionRevision;

/// A case by name.
pub type Case = fn(Factory) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// All cases.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |factory| Box::pin($case(factory)))),*
        ];
    };
}
cases! {
    plan_is_pure refuses_bad_combinations converges reports_each_once watch_catches_up
    replaces_the_failed drains_the_retiring adopts remove_leaves_nothing lists_the_deployed
}

/// Expands to one `#[tokio::test]` per rule of [`FunctionDeployer`](crate::FunctionDeployer)'s
/// contract. Takes a closure from a [`Setup`](crate::deployer::conformance::Setup) to a deployer;
/// put it into a module of its own. Time is paused.
#[macro_export]
macro_rules! function_deployer_conformance {
    ($factory:expr) => {
        $crate::function_deployer_conformance! { @cases $factory;
            plan_is_pure refuses_bad_combinations converges reports_each_once watch_catches_up
            replaces_the_failed drains_the_retiring adopts remove_leaves_nothing lists_the_deployed
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $case() {
            let factory: $crate::deployer::conformance::Factory = ::std::sync::Arc::new(|setup| {
                ::std::sync::Arc::new(($factory)(setup))
                    as ::std::sync::Arc<dyn $crate::FunctionDeployer>
            });
            $crate::deployer::conformance::$case(factory).await;
        }
    )*};
}

/// "The same request has the same plan."
pub async fn plan_is_pure(factory: Factory) {
    let mut stage = Stage::new(&factory);
    let (deployer, clock) = (stage.deployer.clone(), stage.setup.clock.clone());
    let plan = |instances| {
        let request = Deploy::new(revision(1), instances, clock.now());
        deployer.plan(&request).expect("a plan")
    };
    let first = plan(2);
    assert_eq!(plan(2), first);
    plan(3);
    stage.deploy(2).await;
    assert_eq!(plan(2), first, "after something else happened");
}

/// "A runtime without a contract, an executable that its contract cannot run, and a hook on a
/// manager that offers none answer `Unsupported` and say so."
pub async fn refuses_bad_combinations(factory: Factory) {
    let stage = Stage::new(&factory);
    let changed = |change: fn(&mut FunctionRevision)| {
        let mut revision = FunctionRevision::clone(&revision(1));
        change(&mut revision);
        Arc::new(revision)
    };
    let runtime = |name| RuntimeName::new(name).expect("a name");
    let bad = [
        (
            changed(|r| r.config.runtime = stage::name("cobol")),
            "cobol",
        ),
        (
            changed(|r| r.config.runtime = stage::name("hooked")),
            "strings",
        ),
        (
            changed(|r| r.config.executable = Executable::Image("i".into())),
            "Image",
        ),
    ];
    assert_eq!(revision(1).config.runtime, runtime("puppet"));
    for (revision, says) in bad {
        let request = Deploy::new(revision.clone(), 1, stage.setup.clock.now());
        let errors = [
            stage.deployer.plan(&request).err(),
            stage.deployer.prepare(revision).await.err(),
            stage.deployer.deploy(request).await.err(),
        ];
        for error in errors {
            let error = error.expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.message().contains(says), "{error}");
        }
    }
    assert_eq!(stage.manager.sandboxes(), 0);
}

/// "After `deploy`, as many instances become ready as were asked for, within the revision's
/// bounds."
pub async fn converges(factory: Factory) {
    let mut stage = Stage::new(&factory);
    for (asked, there) in [(2, 2), (9, stage::MOST), (1, 1), (0, 0), (3, 3)] {
        stage.deploy(asked).await;
        stage.until_ready(there).await;
        assert_eq!(stage.running().len(), there, "asked for {asked}");
    }
}

/// "Every instance is reported ready once, and gone once after that."
pub async fn reports_each_once(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(3).await;
    stage.until_ready(3).await;
    stage.deploy(1).await;
    stage.until_ready(1).await;
    stage.deploy(2).await;
    stage.until_ready(2).await;
    let last: Vec<_> = stage.ready.iter().copied().collect();
    stage.manager.crash(stage::sandbox(last[0]));
    // The stage itself does not take an instance that is reported twice.
    stage
        .until("it is replaced", |stage| {
            stage.ready.len() == 2 && !stage.ready.contains(&last[0])
        })
        .await;
    assert!(stage.gone.contains(&last[0]));
}

/// "A watch that was not read for long misses no instance that is ready, and none that it was told
/// of and that is gone."
pub async fn watch_catches_up(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(2).await;
    stage.until_ready(2).await;
    // A second reader, that the first can be compared with.
    let mut other = stage.deployer.watch();
    for _ in 0..2_000 {
        stage.deploy(0).await;
        stage.deploy(2).await;
        // It is read as it comes.
        let mut ready = 0;
        while ready < 2 {
            let event = within("an event", futures::StreamExt::next(&mut other)).await;
            let event = event.expect("it does not end");
            ready += usize::from(matches!(event, DeployerEvent::Ready { .. }));
        }
    }
    let running: BTreeSet<_> = stage.running().into_iter().collect();
    stage
        .until("it knows of the present", |stage| stage.ready == running)
        .await;
}

/// "An instance that fails is reported gone, and another takes its place."
pub async fn replaces_the_failed(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(2).await;
    stage.until_ready(2).await;
    let failing = *stage.ready.first().expect("there are two");
    stage.puppets.fail(failing);
    stage
        .until("another is ready", |stage| {
            stage.ready.len() == 2 && !stage.ready.contains(&failing)
        })
        .await;
    assert!(stage.gone.contains(&failing));
    stage.until_running(2).await;
    // And so is one that never was an instance.
    stage.puppets.refuse(2);
    stage.deploy(3).await;
    stage.until_ready(3).await;
    stage.until_running(3).await;
}

/// "An instance that is to go, named or chosen, is reported gone at once; its sandbox ends when
/// nothing runs in it any more, and at the latest after the function's timeout."
pub async fn drains_the_retiring(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(3).await;
    stage.until_ready(3).await;
    let all: Vec<InstanceId> = stage.ready.iter().copied().collect();
    for instance in &all {
        stage.puppets.occupy(*instance);
    }
    let mut request = Deploy::new(revision(1), 1, stage.setup.clock.now());
    request.retiring = vec![all[0]];
    stage.deployer.deploy(request).await.expect("deployed");
    stage.until_ready(1).await;
    assert!(stage.gone.contains(&all[0]), "the named one goes");
    assert_eq!(stage.running().len(), 3, "they have work");
    stage.puppets.release(all[0]);
    stage.until_running(2).await;
    let kept = *stage.ready.first().expect("there is one");
    assert!(stage.running().contains(&kept));
    // The other one's work does not end, but its time does.
    stage.until_running(1).await;
    assert_eq!(stage.running(), [kept]);
}

/// "Instances of an earlier life are reported once their revision is prepared or deployed;
/// `prepare` ends none of them."
pub async fn adopts(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(2).await;
    stage.until_ready(2).await;
    for prepared in [true, false] {
        let mut later = stage.next_life(&factory);
        if prepared {
            let prepared = later.deployer.prepare(revision(1)).await;
            assert_eq!(prepared.expect("prepared"), 2);
        } else {
            later.deploy(2).await;
        }
        later.until_ready(2).await;
        assert_eq!(later.ready, stage.ready, "prepared: {prepared}");
        assert_eq!(later.running().len(), 2);
    }
}

/// "After `remove`, no instance of the revision is left; removing what is not deployed is no fault."
pub async fn remove_leaves_nothing(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(2).await;
    stage.until_ready(2).await;
    let other = Deploy::new(revision(2), 1, stage.setup.clock.now());
    stage.deployer.deploy(other).await.expect("deployed");
    stage.until_ready(3).await;
    for _ in 0..2 {
        let removed = stage.deployer.remove(&revision(1).id()).await;
        removed.expect("removed");
    }
    stage.until_ready(1).await;
    assert!(stage.running().is_empty());
    assert_eq!(stage.manager.sandboxes(), 1, "the other revision's");
}

/// "`list` names what was prepared or deployed and not removed since, in this life or an earlier
/// one."
pub async fn lists_the_deployed(factory: Factory) {
    let mut stage = Stage::new(&factory);
    stage.deploy(1).await;
    for number in [2, 3] {
        let prepared = stage.deployer.prepare(revision(number)).await;
        prepared.expect("prepared");
    }
    let removed = stage.deployer.remove(&revision(2).id()).await;
    removed.expect("removed");
    let later = stage.next_life(&factory);
    for deployer in [&stage.deployer, &later.deployer] {
        let mut listed = deployer.list().await.expect("a list");
        listed.sort();
        assert_eq!(listed, [revision(1).id(), revision(3).id()]);
    }
}
