//! The conformance suite of [`FunctionBuilder`]: one case per rule of its contract.
//!
//! A factory makes a **fresh** [`Fixture`] for each case, whose builder puts what it makes into the
//! [`GatedCode`] that it is given.

mod gate;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, RuntimeName};
use futures::StreamExt;
use futures::future::BoxFuture;

pub use gate::GatedCode;

use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder};

/// How long a case waits for what must happen: a compiler may be at work.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a case waits for what must not happen.
const SUSPENSE: Duration = Duration::from_millis(300);

/// A builder and what to build with it.
pub struct Fixture {
    /// The builder.
    pub builder: Arc<dyn FunctionBuilder>,
    /// What it builds.
    pub good: BuildRequest,
    /// Another source, which it builds as well.
    pub other: BuildRequest,
    /// A source that it cannot build, and what the log says of it; `None` if its builds have no log.
    pub bad: Option<(BuildRequest, &'static str)>,
    /// What builds have left behind that they should not have.
    pub left: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Kept until the case is over, e.g. the directory of the sources.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("good", &self.good)
            .finish_non_exhaustive()
    }
}

/// Makes a fresh fixture.
pub type Factory = Arc<dyn Fn(GatedCode) -> BoxFuture<'static, Fixture> + Send + Sync>;

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
    ends_once deterministic_key one_at_a_time failure_has_log foreign_runtime cancel_safe
}

/// Makes a test of each case of F2's suite; the factory is an `async` closure from a
/// [`GatedCode`](crate::builder::conformance::GatedCode) to a
/// [`Fixture`](crate::builder::conformance::Fixture).
#[macro_export]
macro_rules! function_builder_conformance {
    ($factory:expr) => {
        $crate::function_builder_conformance! { @cases $factory;
            ends_once deterministic_key one_at_a_time failure_has_log foreign_runtime cancel_safe
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let factory: $crate::builder::conformance::Factory =
                ::std::sync::Arc::new(|code| ::std::boxed::Box::pin(($factory)(code)));
            $crate::builder::conformance::$case(factory).await;
        }
    )*};
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

type Events = Vec<faas_core::Result<BuildEvent>>;

async fn events(fixture: &Fixture, request: &BuildRequest) -> Events {
    let events = fixture.builder.build(request.clone()).collect();
    within("the end of the build", events).await
}

fn artifact(mut events: Events) -> Artifact {
    match events.pop() {
        Some(Ok(BuildEvent::Done(artifact))) => artifact,
        other => panic!("the build ends with {other:?}"),
    }
}

/// "the stream ends with exactly one `Done`, or with an error."
pub async fn ends_once(factory: Factory) {
    let fixture = factory(GatedCode::open()).await;
    let mut requests = vec![&fixture.good];
    requests.extend(fixture.bad.iter().map(|(bad, _)| bad));
    for request in requests {
        let events = events(&fixture, request).await;
        let end = |event: &_| !matches!(event, Ok(BuildEvent::Log(_)));
        let ends = events.iter().filter(|event| end(event)).count();
        assert_eq!(ends, 1, "{events:?}");
        assert!(events.last().is_some_and(end), "{events:?}");
    }
}

/// "the same source and options have the same cache key; a changed source has another."
pub async fn deterministic_key(factory: Factory) {
    let fixture = factory(GatedCode::open()).await;
    let key = async |request| fixture.builder.cache_key(request).await.expect("a key");
    let first = key(&fixture.good).await;
    let built = artifact(events(&fixture, &fixture.good).await);
    assert_eq!(built.cache_key, first);
    assert_eq!(key(&fixture.good).await, first);
    assert_ne!(key(&fixture.other).await, first);
}

/// "concurrent builds of one key run once, and all get the result."
pub async fn one_at_a_time(factory: Factory) {
    let gate = GatedCode::closed();
    let fixture = factory(gate.clone()).await;
    let both = futures::future::join(
        events(&fixture, &fixture.good),
        events(&fixture, &fixture.good),
    );
    let watch = async {
        // A builder that keeps no code has nothing to be watched by.
        let arrived = tokio::time::timeout(PATIENCE / 4, gate.arrived(1)).await;
        if arrived.is_ok() {
            let second = tokio::time::timeout(SUSPENSE, gate.arrived(2)).await;
            assert!(second.is_err(), "two builds of one key are at work");
        }
        gate.let_go();
    };
    let ((one, two), ()) = within("both builds", futures::future::join(both, watch)).await;
    assert_eq!(artifact(one), artifact(two));
}

/// "a failed build is an error that carries the tail of its log."
pub async fn failure_has_log(factory: Factory) {
    let fixture = factory(GatedCode::open()).await;
    let Some((bad, says)) = &fixture.bad else {
        return;
    };
    let last = events(&fixture, bad).await.pop().expect("an end");
    let error = last.expect_err("the build fails");
    assert!(error.message().contains(says), "{error}");
}

/// "a runtime that `runtimes` does not name answers `Unsupported`."
pub async fn foreign_runtime(factory: Factory) {
    let fixture = factory(GatedCode::open()).await;
    let mut foreign = fixture.good.clone();
    foreign.runtime = RuntimeName::new("conformance-foreign").expect("a runtime");
    let last = events(&fixture, &foreign).await.pop().expect("an end");
    let kind = last.expect_err("the build is refused").kind();
    assert_eq!(kind, ErrorKind::Unsupported);
    let key = fixture.builder.cache_key(&foreign).await;
    let kind = key.expect_err("it has no key").kind();
    assert_eq!(kind, ErrorKind::Unsupported);
}

/// "dropping the stream stops the build unless others wait for it, and leaves no process or file
/// behind."
pub async fn cancel_safe(factory: Factory) {
    let gate = GatedCode::closed();
    let fixture = factory(gate.clone()).await;
    let mut build = Box::pin(events(&fixture, &fixture.good));
    let arrived = async {
        tokio::select! {
            () = gate.arrived(1) => true,
            // One that keeps no code has ended before it could be stopped.
            _ = &mut build => false,
        }
    };
    let arrived = within("the build", arrived).await;
    drop(build);
    if arrived {
        within("the build stops", gate.left(0)).await;
    }
    let tidy = async {
        while !(fixture.left)().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within("nothing is left", tidy).await;
    // It can be built again, and who waits for it gets it whoever else goes.
    let mut goes = Box::pin(events(&fixture, &fixture.good));
    let mut stays = Box::pin(events(&fixture, &fixture.good));
    let mut early = None;
    let arrived = async {
        tokio::select! {
            () = gate.arrived(1) => {}
            _ = &mut goes => {}
            built = &mut stays => early = Some(built),
        }
    };
    within("the build", arrived).await;
    drop(goes);
    gate.let_go();
    let built = match early {
        Some(built) => built,
        None => stays.await,
    };
    artifact(built);
}
