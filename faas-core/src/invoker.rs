//! [`Invoker`]: whatever can call a function.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::clock::Monotonic;
use crate::component::Description;
use crate::error::Result;
use crate::function_ref::FunctionRef;
use crate::invocation::Invocation;
use crate::response::Response;

/// That a function will be needed soon.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrewarmHint {
    /// Which one.
    pub function: FunctionRef,
    /// When, about.
    pub at: Monotonic,
    /// How many at once.
    pub concurrency: u32,
}

impl PrewarmHint {
    /// One call of `function` at about `at`.
    pub fn new(function: FunctionRef, at: Monotonic) -> Self {
        Self {
            function,
            at,
            concurrency: 1,
        }
    }

    /// So many at once.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }
}

/// Calls functions. The router implements it; so can a cloud's function service, an HTTP
/// endpoint, a mock. The workflow layer knows functions by this trait alone.
///
/// ```text
/// WorkflowEngine ──┐
/// Platform::invoke ┴─▶ Invoker ◀── FunctionRouter, or anything that calls functions
/// ```
///
/// # Contract
/// - **failure_is_ok**: a function that fails is an `Ok` whose trailer says so; `Err` means that
///   the platform failed.
/// - **names_invocation**: a response names the invocation that it answers, however many run at
///   once.
/// - **ends_with_trailer**: the body of a response ends with exactly one trailer.
/// - **unknown_is_not_found**: a function that is not there is `NotFound`.
/// - **deadline**: an invocation whose deadline passes is answered with `DeadlineExceeded`.
/// - **drop_cancels**: dropping the future of `invoke`, or the body of its response, cancels the
///   call.
/// - **prewarm_is_a_hint**: `prewarm` MUST NOT wait, fail, or promise anything, whatever it names.
///
/// # Errors
/// `NotFound` for an unknown function, `Exhausted` with a retry-after over a bound,
/// `DeadlineExceeded` after the deadline, `Unavailable` where nothing can run it now.
///
/// # Implementing
/// Run `invoker_conformance!` (feature `conformance`) against it.
///
/// ```
/// use faas_core::{Description, Invocation, Invoker, PrewarmHint, Response, Result};
///
/// struct Echo;
///
/// #[async_trait::async_trait]
/// impl Invoker for Echo {
///     async fn invoke(&self, invocation: Invocation) -> Result<Response> {
///         Ok(Response::success(invocation.id, invocation.payload))
///     }
///     fn prewarm(&self, _: PrewarmHint) {}
///     fn describe(&self) -> Description {
///         Description::new("Echo")
///     }
/// }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// Calls a function.
    async fn invoke(&self, invocation: Invocation) -> Result<Response>;
    /// Says that a function will be needed soon.
    fn prewarm(&self, hint: PrewarmHint);
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Invoker + ?Sized> Invoker for $pointer<T> {
            // The future of what it points to, and none around it.
            fn invoke<'a, 'f>(&'a self, invocation: Invocation) -> BoxFuture<'f, Result<Response>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).invoke(invocation)
            }
            fn prewarm(&self, hint: PrewarmHint) {
                (**self).prewarm(hint);
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
