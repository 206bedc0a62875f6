//! The rules of [`ResourceManager`]'s contract as tests: run them with
//! [`resource_manager_conformance!`](crate::resource_manager_conformance).
//!
//! `scale_is_soft` is not among them: whether a manager waits for its store is seen only by who
//! owns the store, so an adapter tests it with a store that never answers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_core::{ErrorKind, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::ResourceManager;
use crate::spec::SandboxSpec;
use crate::workload::{Replica, ScaleRequest, WorkloadEvent, WorkloadSpec};

/// The sandboxes that run on the nodes.
pub type Running = Box<dyn Fn() -> BoxFuture<'static, BTreeSet<SandboxId>> + Send + Sync>;
/// Ends a sandbox on its node, so that the manager has to notice.
pub type End = Box<dyn Fn(SandboxId) -> BoxFuture<'static, ()> + Send + Sync>;
/// Drops a manager and makes the next over the same store and nodes.
pub type Restart = Box<
    dyn Fn(Arc<dyn ResourceManager>) -> BoxFuture<'static, Arc<dyn ResourceManager>> + Send + Sync,
>;

/// A fresh manager over nodes with room for at least four of `sandbox`.
#[non_exhaustive]
pub struct Fixture {
    /// The manager; it has no workloads.
    pub manager: Arc<dyn ResourceManager>,
    /// Runs until it is stopped.
    pub sandbox: SandboxSpec,
    /// Fits on no node.
    pub giant: SandboxSpec,
    /// What runs.
    pub running: Running,
    /// Ends one.
    pub end: End,
    /// The next life.
    pub restart: Restart,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
}

impl Fixture {
    /// A fixture with a patience of 10 s.
    pub fn new(
        manager: Arc<dyn ResourceManager>,
        sandbox: SandboxSpec,
        giant: SandboxSpec,
        running: Running,
        end: End,
        restart: Restart,
    ) -> Self {
        let patience = Duration::from_secs(10);
        Self {
            manager,
            sandbox,
            giant,
            running,
            end,
            restart,
            patience,
        }
    }

    fn spec(&self) -> WorkloadSpec {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = WorkloadId::from_u128(COUNT.fetch_add(1, Ordering::Relaxed).into());
        WorkloadSpec::new(id, self.sandbox.clone())
    }

    async fn apply(&self, spec: &WorkloadSpec) {
        let applied = self.manager.apply(spec.clone()).await;
        applied.expect("a good spec is applied");
    }

    async fn scale(&self, workload: WorkloadId, running: u32) {
        let request = ScaleRequest::running(workload, running);
        let scaled = self.manager.scale(request).await;
        scaled.expect("a known workload is scaled");
    }

    /// Waits for an event that `wanted` takes.
    async fn event<T>(
        &self,
        what: &str,
        events: &mut BoxStream<'static, WorkloadEvent>,
        mut wanted: impl FnMut(WorkloadEvent) -> Option<T>,
    ) -> T {
        let found = async {
            while let Some(event) = events.next().await {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            panic!("the watch ended before {what}")
        };
        let bounded = tokio::time::timeout(self.patience, found).await;
        bounded.unwrap_or_else(|_| panic!("no {what} within {:?}", self.patience))
    }

    async fn ready(&self, events: &mut BoxStream<'static, WorkloadEvent>) -> Replica {
        let wanted = |event| match event {
            WorkloadEvent::Ready(_, replica) => Some(replica),
            _ => None,
        };
        self.event("Ready", events, wanted).await
    }

    async fn gone(&self, events: &mut BoxStream<'static, WorkloadEvent>) -> SandboxId {
        let wanted = |event| match event {
            WorkloadEvent::Gone(_, replica) => Some(replica.sandbox),
            _ => None,
        };
        self.event("Gone", events, wanted).await
    }

    async fn removed(&self, events: &mut BoxStream<'static, WorkloadEvent>, id: WorkloadId) {
        let wanted =
            |event| matches!(event, WorkloadEvent::Removed(removed) if removed == id).then_some(());
        self.event("Removed", events, wanted).await;
    }

    /// Applies a workload and has so many replicas run.
    async fn run(
        &self,
        count: u32,
    ) -> (
        WorkloadSpec,
        Vec<Replica>,
        BoxStream<'static, WorkloadEvent>,
    ) {
        let spec = self.spec();
        let mut events = self.manager.watch();
        self.apply(&spec).await;
        self.scale(spec.id, count).await;
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(self.ready(&mut events).await);
        }
        (spec, replicas, events)
    }

    async fn next_life(self) -> Self {
        // The last handle goes with the call, so that the old life ends before the next begins.
        let Self {
            manager,
            sandbox,
            giant,
            running,
            end,
            restart,
            patience,
        } = self;
        let manager = restart(manager).await;
        let next = Self::new(manager, sandbox, giant, running, end, restart);
        Self { patience, ..next }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// One case: takes a fresh fixture, and panics if the rule does not hold.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |fixture| Box::pin($case(fixture)))),*];
    };
}
cases! {
    apply_is_durable apply_validates scale_converges replaces_the_dead starts_nothing_twice
    remove_leaves_nothing unknown_workload watch_pushes hook_before_start waiting_is_explained
}

/// Expands to one `#[tokio::test]` per rule of [`ResourceManager`](crate::ResourceManager)'s
/// contract. Takes an `async` closure that makes a fresh
/// [`Fixture`](crate::manager::conformance::Fixture).
#[macro_export]
macro_rules! resource_manager_conformance {
    ($factory:expr) => {
        $crate::resource_manager_conformance! { @cases $factory;
            apply_is_durable apply_validates scale_converges replaces_the_dead
            starts_nothing_twice remove_leaves_nothing unknown_workload watch_pushes
            hook_before_start waiting_is_explained
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::manager::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// "What `apply` acknowledged is in the store; applying the same again changes nothing; applying a
/// changed spec replaces the replicas of the old one."
pub async fn apply_is_durable(fixture: Fixture) {
    let (mut spec, replicas, mut events) = fixture.run(1).await;
    let old = replicas[0].sandbox;
    fixture.apply(&spec).await;
    assert!(
        (fixture.running)().await.contains(&old),
        "the same spec replaced it"
    );
    spec.sandbox.environment.insert("A".into(), "1".into());
    fixture.apply(&spec).await;
    assert_eq!(fixture.gone(&mut events).await, old);
    let fixture = fixture.next_life().await;
    let stored = fixture.manager.get(spec.id).await.expect("it is durable");
    assert_eq!(*stored.spec, spec);
}

/// "A bad spec answers `InvalidArgument` with every fault and changes nothing."
pub async fn apply_validates(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.max = 0;
    spec.sandbox.environment.insert("A=B".into(), "1".into());
    let id = spec.id;
    let error = fixture.manager.apply(spec).await.expect_err("a bad spec");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.message().contains("A=B") && error.message().contains("no replica"),
        "{error}"
    );
    assert!(fixture.manager.get(id).await.is_err(), "it was kept");
}

/// "After `scale`, as many replicas come to run as are wanted, within the spec's bounds; more are
/// stopped, `retiring` first."
pub async fn scale_converges(fixture: Fixture) {
    let (mut spec, replicas, mut events) = fixture.run(3).await;
    assert_eq!((fixture.running)().await.len(), 3);
    let mut request = ScaleRequest::running(spec.id, 2);
    request.retiring = vec![replicas[0].sandbox];
    fixture.manager.scale(request).await.expect("it is scaled");
    assert_eq!(
        fixture.gone(&mut events).await,
        replicas[0].sandbox,
        "the wrong one went"
    );
    (spec.id, spec.max) = (fixture.spec().id, 1);
    fixture.apply(&spec).await;
    fixture.scale(spec.id, 4).await;
    fixture.ready(&mut events).await;
    let status = fixture.manager.get(spec.id).await.expect("it is there");
    assert_eq!(status.replicas.len(), 1, "more than its bound");
}

/// "A replica that ends while it is wanted is replaced."
pub async fn replaces_the_dead(fixture: Fixture) {
    let (_, replicas, mut events) = fixture.run(1).await;
    (fixture.end)(replicas[0].sandbox).await;
    assert_eq!(fixture.gone(&mut events).await, replicas[0].sandbox);
    assert_ne!(
        fixture.ready(&mut events).await.sandbox,
        replicas[0].sandbox
    );
}

/// "[…] after a restart what still runs is adopted."
pub async fn starts_nothing_twice(fixture: Fixture) {
    let (spec, ..) = fixture.run(3).await;
    let before = (fixture.running)().await;
    for _ in 0..3 {
        fixture.scale(spec.id, 3).await;
    }
    let fixture = fixture.next_life().await;
    fixture.scale(spec.id, 3).await;
    let mut events = fixture.manager.watch();
    fixture.scale(spec.id, 4).await;
    let wanted = |event| match event {
        WorkloadEvent::Ready(_, new) if !before.contains(&new.sandbox) => Some(new.sandbox),
        _ => None,
    };
    let new = fixture.event("the fourth", &mut events, wanted).await;
    let mut all = before.clone();
    all.insert(new);
    assert_eq!((fixture.running)().await, all, "not the three and one more");
}

/// "After `remove` has answered and its `Removed` was reported, no replica is left on any node."
pub async fn remove_leaves_nothing(fixture: Fixture) {
    let (spec, _, mut events) = fixture.run(2).await;
    fixture
        .manager
        .remove(spec.id)
        .await
        .expect("it is removed");
    fixture.removed(&mut events, spec.id).await;
    assert!((fixture.running)().await.is_empty(), "replicas are left");
    assert!(fixture.manager.get(spec.id).await.is_err());
    let fixture = fixture.next_life().await;
    assert!(fixture.manager.get(spec.id).await.is_err(), "it came back");
}

/// "`scale`, `assign` and `get` of an unknown workload answer `NotFound`; removing one is no
/// fault."
pub async fn unknown_workload(fixture: Fixture) {
    let (id, sandbox) = (fixture.spec().id, SandboxId::from_u128(1));
    let manager = &fixture.manager;
    let scaled = manager.scale(ScaleRequest::running(id, 1)).await;
    let assigned = manager.assign(sandbox, id).await;
    let got = manager.get(id).await.map(drop);
    for answer in [scaled, assigned, got] {
        let error = answer.expect_err("nobody knows it");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    manager
        .remove(id)
        .await
        .expect("removing nothing is no fault");
}

/// "`watch` reports every replica that becomes ready and every one that goes […], in order for
/// each replica."
pub async fn watch_pushes(fixture: Fixture) {
    let (spec, replicas, mut events) = fixture.run(2).await;
    assert!(replicas.iter().all(|replica| replica.endpoint.is_some()));
    let mut late = fixture.manager.watch();
    fixture.scale(spec.id, 0).await;
    for events in [&mut events, &mut late] {
        let mut gone = BTreeSet::new();
        while gone.len() < 2 {
            gone.insert(fixture.gone(events).await);
        }
        assert!(
            replicas
                .iter()
                .all(|replica| gone.contains(&replica.sandbox))
        );
    }
}

/// "[…] a spec that names a hook that the manager does not offer is refused."
pub async fn hook_before_start(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.sandbox.hook = Some("nobody-offers-this".parse().expect("a name"));
    let refused = fixture.manager.apply(spec.clone()).await;
    assert!(refused.is_err(), "it cannot prepare what it starts");
    assert!(fixture.manager.get(spec.id).await.is_err());
}

/// "When no node can take a replica, `Waiting` is reported with the reasons […]."
pub async fn waiting_is_explained(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.sandbox = fixture.giant.clone();
    let mut events = fixture.manager.watch();
    fixture.apply(&spec).await;
    fixture.scale(spec.id, 1).await;
    let wanted = |event| match event {
        WorkloadEvent::Waiting(id, error) if id == spec.id => Some(error),
        _ => None,
    };
    let error = fixture.event("Waiting", &mut events, wanted).await;
    assert!(!error.message().is_empty(), "no reason");
    let status = fixture.manager.get(spec.id).await.expect("it is there");
    assert!(status.waiting.is_some(), "`get` does not say why");
}
