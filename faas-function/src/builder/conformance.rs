//! The conformance suite of [`FunctionBuilder`]: one case per rule of its contract.
//!
//! A factory is an `async` closure that makes a **fresh** [`Fixture`] for each case. What a
//! dropped build leaves behind only its implementation's own test can tell (`cancel_safe`).

use std::any::Any;

use faas_core::{ErrorKind, RuntimeName};
use futures::StreamExt;

use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder};

/// A builder and what to build with it.
#[expect(
    missing_debug_implementations,
    reason = "it holds whatever the builder needs"
)]
pub struct Fixture {
    /// The builder.
    pub builder: Box<dyn FunctionBuilder>,
    /// What it builds.
    pub good: BuildRequest,
    /// Another source, which it builds as well.
    pub other: BuildRequest,
    /// A source that it cannot build, and what the log says of it.
    pub bad: Option<(BuildRequest, &'static str)>,
    /// Kept until the case is over, e.g. the directory of the sources.
    pub guard: Box<dyn Any + Send + Sync>,
}

async fn events(fixture: &Fixture, request: &BuildRequest) -> Vec<faas_core::Result<BuildEvent>> {
    fixture.builder.build(request.clone()).collect().await
}

async fn built(fixture: &Fixture, request: &BuildRequest) -> Artifact {
    match events(fixture, request).await.pop() {
        Some(Ok(BuildEvent::Done(artifact))) => artifact,
        other => panic!("the build ends with {other:?}"),
    }
}

/// "the stream ends with exactly one `Done`, or with an error."
pub async fn ends_once(fixture: Fixture) {
    let events = events(&fixture, &fixture.good).await;
    let end = |event: &_| !matches!(event, Ok(BuildEvent::Log(_)));
    assert_eq!(
        events.iter().filter(|event| end(event)).count(),
        1,
        "{events:?}"
    );
    assert!(events.last().is_some_and(end), "{events:?}");
}

/// "the same source and options have the same cache key; a changed source has another."
pub async fn deterministic_key(fixture: Fixture) {
    let key = async |request| fixture.builder.cache_key(request).await.expect("a key");
    let first = key(&fixture.good).await;
    assert_eq!(built(&fixture, &fixture.good).await.cache_key, first);
    assert_eq!(key(&fixture.good).await, first);
    assert_ne!(key(&fixture.other).await, first);
}

/// "concurrent builds of one key run once, and all get the result." How often it ran only the
/// implementation knows; that all get one result is seen here.
pub async fn one_at_a_time(fixture: Fixture) {
    let (one, two) = futures::join!(
        built(&fixture, &fixture.good),
        built(&fixture, &fixture.good)
    );
    assert_eq!(one, two);
}

/// "a failed build is an error that carries the tail of its log."
pub async fn failure_has_log(fixture: Fixture) {
    let Some((bad, says)) = &fixture.bad else {
        return;
    };
    let last = events(&fixture, bad).await.pop().expect("an end");
    let error = last.expect_err("the build fails");
    assert!(error.message().contains(says), "{error}");
}

/// "a runtime that `runtimes` does not name answers `Unsupported`."
pub async fn foreign_runtime(fixture: Fixture) {
    let mut foreign = fixture.good.clone();
    foreign.runtime = RuntimeName::new("conformance-foreign").expect("a runtime");
    let last = events(&fixture, &foreign).await.pop().expect("an end");
    let kind = last.expect_err("the build is refused").kind();
    assert_eq!(kind, ErrorKind::Unsupported);
    let key = fixture.builder.cache_key(&foreign).await;
    assert_eq!(
        key.expect_err("it has no key").kind(),
        ErrorKind::Unsupported
    );
}

/// Makes a test of each case of F2's suite; the factory is an `async` closure.
#[macro_export]
macro_rules! function_builder_conformance {
    ($factory:expr) => {
        $crate::function_builder_conformance! { @cases $factory;
            ends_once deterministic_key one_at_a_time failure_has_log foreign_runtime
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::builder::conformance::$case(($factory)().await).await;
        }
    )*};
}
