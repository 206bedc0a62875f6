//! The conformance suites of [`Handler`] and [`HandlerRegistry`]: one case per rule.
//!
//! ```
//! # #[cfg(test)]
//! mod conformance {
//!     use faas_core::{HandlerCall, HandlerReply, Payload};
//!
//!     faas_core::handler_conformance!(async || {
//!         let echo = |call: HandlerCall| async move { Ok(HandlerReply::from(call.payload)) };
//!         (echo, Payload::text("hi"))
//!     });
//! }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};

use super::{Handler, HandlerCall, HandlerRegistry, HandlerReply};
use crate::{FunctionError, HandlerName, Invocation, InvocationId, Payload};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A registry, and how something is registered with it.
pub struct RegistryFixture {
    registry: Arc<dyn HandlerRegistry>,
    register: Box<dyn Fn(HandlerName, Arc<dyn Handler>) + Send + Sync>,
}

impl RegistryFixture {
    /// An empty `registry`; `register` puts a handler into it, in the place of an earlier one of
    /// that name.
    pub fn new(
        registry: impl HandlerRegistry,
        register: impl Fn(HandlerName, Arc<dyn Handler>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            registry: Arc::new(registry),
            register: Box::new(register),
        }
    }
}

impl fmt::Debug for RegistryFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryFixture").finish_non_exhaustive()
    }
}

/// One case of the suite of [`Handler`]: takes a handler and an input that it succeeds on.
pub type HandlerCase = fn(Arc<dyn Handler>, Payload) -> BoxFuture<'static, ()>;
/// One case of the suite of [`HandlerRegistry`].
pub type RegistryCase = fn(RegistryFixture) -> BoxFuture<'static, ()>;

/// Every case of [`Handler`] by the name of its rule.
pub const HANDLER_CASES: &[(&str, HandlerCase)] = &[
    ("concurrent", |handler, input| {
        Box::pin(concurrent(handler, input))
    }),
    ("cancellable", |handler, input| {
        Box::pin(cancellable(handler, input))
    }),
];
/// Every case of [`HandlerRegistry`] by the name of its rule.
pub const REGISTRY_CASES: &[(&str, RegistryCase)] = &[
    ("last_wins", |fixture| Box::pin(last_wins(fixture))),
    ("unknown_is_none", |fixture| {
        Box::pin(unknown_is_none(fixture))
    }),
];

/// Expands to one `#[tokio::test]` per rule of [`Handler`](crate::Handler)'s contract. Takes an
/// `async` closure that makes a pair: a handler, and an input that it succeeds on.
#[macro_export]
macro_rules! handler_conformance {
    ($factory:expr) => {
        $crate::handler_conformance! { @cases $factory; concurrent cancellable }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let (handler, input) = ($factory)().await;
            $crate::handler::conformance::$case(std::sync::Arc::new(handler), input).await;
        }
    )*};
}

/// Expands to one `#[tokio::test]` per rule of [`HandlerRegistry`](crate::HandlerRegistry)'s
/// contract. Takes an `async` closure that makes a
/// [`RegistryFixture`](crate::handler::conformance::RegistryFixture).
#[macro_export]
macro_rules! handler_registry_conformance {
    ($factory:expr) => {
        $crate::handler_registry_conformance! { @cases $factory; last_wins unknown_is_none }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::handler::conformance::$case(($factory)().await).await;
        }
    )*};
}

fn call(number: u128, payload: Payload) -> HandlerCall {
    let function = "conformance".parse().expect("a good reference");
    Invocation::new(InvocationId::from_u128(number), function, payload).into()
}

/// The whole reply, in time.
async fn reply(handler: &dyn Handler, call: HandlerCall) -> Result<Vec<u8>, FunctionError> {
    let whole = async {
        match handler.call(call).await? {
            HandlerReply::Whole(payload) => Ok(payload.into_bytes().to_vec()),
            HandlerReply::Stream(_, mut parts) => {
                let mut bytes = Vec::new();
                while let Some(part) = parts.next().await {
                    bytes.extend_from_slice(&part?);
                }
                Ok(bytes)
            }
        }
    };
    tokio::time::timeout(PATIENCE, whole)
        .await
        .unwrap_or_else(|_| panic!("no reply within {PATIENCE:?}"))
}

/// "`call` may run many times at once; an instance bounds how many."
pub async fn concurrent(handler: Arc<dyn Handler>, input: Payload) {
    let calls = (1..=32).map(|number| {
        let (handler, call) = (handler.clone(), call(number, input.clone()));
        tokio::spawn(async move { reply(&*handler, call).await })
    });
    for answer in join_all(calls).await {
        let answer = answer.expect("no call panics");
        answer.expect("the input is one that it succeeds on");
    }
    // Begun together, however the runtime orders tasks.
    let calls = (1..=32).map(|number| reply(&*handler, call(number, input.clone())));
    for answer in join_all(calls).await {
        answer.expect("the input is one that it succeeds on");
    }
}

/// "Dropping the future cancels the call, and later calls work as before."
pub async fn cancellable(handler: Arc<dyn Handler>, input: Payload) {
    for number in 0..8 {
        let mut begun = handler.call(call(number, input.clone()));
        // Polled once, so that it is on its way when it is dropped.
        let _ = (&mut begun).now_or_never();
        drop(begun);
        drop(handler.call(call(number, input.clone())));
    }
    let answer = reply(&*handler, call(100, input)).await;
    answer.expect("a call after dropped ones works as before");
}

fn constant(text: &'static str) -> Arc<dyn Handler> {
    Arc::new(move |_: HandlerCall| async move { Ok(HandlerReply::from(Payload::text(text))) })
}

fn name(text: &str) -> HandlerName {
    HandlerName::new(text).expect("a good name")
}

async fn found(fixture: &RegistryFixture, wanted: &str) -> Vec<u8> {
    let handler = fixture.registry.lookup(&name(wanted));
    let handler = handler.unwrap_or_else(|| panic!("{wanted:?} was registered"));
    reply(&*handler, call(1, Payload::empty()))
        .await
        .expect("the handler succeeds")
}

/// "`lookup` answers what was registered last, without I/O or waiting."
pub async fn last_wins(fixture: RegistryFixture) {
    (fixture.register)(name("a"), constant("first"));
    (fixture.register)(name("b"), constant("other"));
    assert_eq!(found(&fixture, "a").await, b"first");
    let held = fixture.registry.lookup(&name("a")).expect("registered");
    (fixture.register)(name("a"), constant("second"));
    assert_eq!(found(&fixture, "a").await, b"second", "not the last one");
    assert_eq!(
        found(&fixture, "b").await,
        b"other",
        "another name's handler"
    );
    let answer = reply(&*held, call(1, Payload::empty())).await;
    assert_eq!(
        answer.as_deref(),
        Ok(&b"first"[..]),
        "a handler that is held lives on"
    );
}

/// "A name that nobody registered is `None`; whoever asked answers `Unavailable`."
pub async fn unknown_is_none(fixture: RegistryFixture) {
    assert!(fixture.registry.lookup(&name("a")).is_none());
    (fixture.register)(name("a"), constant("first"));
    for nobody in ["b", "A", "aa"] {
        let found = fixture.registry.lookup(&name(nobody));
        assert!(found.is_none(), "{nobody:?} was never registered");
    }
}
