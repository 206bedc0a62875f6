//! In-process functions: [`Handler`], and the [`HandlerRegistry`] that finds one by its name.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::clock::Monotonic;
use crate::id::InvocationId;
use crate::invocation::{Attributes, Caller};
use crate::name::HandlerName;
use crate::payload::{ContentType, Payload};
use crate::response::FunctionError;
use crate::trace::TraceContext;

/// What a handler is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandlerCall {
    /// The invocation.
    pub id: InvocationId,
    /// Its input.
    pub payload: Payload,
    /// When nobody waits any longer.
    pub deadline: Option<Monotonic>,
    /// The trace to continue.
    pub trace: TraceContext,
    /// Who asks.
    pub caller: Caller,
    /// The same for every attempt of one logical request.
    pub idempotency_key: Option<Arc<str>>,
    /// HTTP-like metadata.
    pub attributes: Attributes,
}

impl From<crate::Invocation> for HandlerCall {
    #[inline]
    fn from(invocation: crate::Invocation) -> Self {
        let crate::Invocation {
            id,
            payload,
            deadline,
            trace,
            caller,
            idempotency_key,
            attributes,
            ..
        } = invocation;
        Self {
            id,
            payload,
            deadline,
            trace,
            caller,
            idempotency_key,
            attributes,
        }
    }
}

/// What a handler answers.
#[non_exhaustive]
pub enum HandlerReply {
    /// All at once.
    Whole(Payload),
    /// Over time; an error ends it.
    Stream(
        ContentType,
        BoxStream<'static, Result<Bytes, FunctionError>>,
    ),
}

impl fmt::Debug for HandlerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(payload) => f.debug_tuple("Whole").field(payload).finish(),
            Self::Stream(content_type, _) => f.debug_tuple("Stream").field(content_type).finish(),
        }
    }
}

impl From<Payload> for HandlerReply {
    fn from(payload: Payload) -> Self {
        Self::Whole(payload)
    }
}

/// A function in this process.
///
/// # Contract
/// - **concurrent**: `call` may run many times at once; an instance bounds how many.
/// - **cancellable**: dropping the future cancels the call, and later calls work as before. A
///   handler that never yields cannot be stopped: its instance is quarantined and replaced.
///
/// A panic, of `call` itself or of its future, is the function's failure, not the platform's: whoever
/// calls catches it.
///
/// # Implementing
/// Any `async` closure that takes a [`HandlerCall`] is one. Others run
/// `handler_conformance!` (feature `conformance`).
///
/// ```
/// use faas_core::{Handler, HandlerCall, HandlerReply, Payload};
///
/// fn handler() -> impl Handler {
///     |call: HandlerCall| async move {
///         let name: String = call.payload.to_json()?;
///         Ok(HandlerReply::Whole(Payload::text(format!("Hello, {name}!"))))
///     }
/// }
/// # let _ = handler();
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs the function once.
    async fn call(&self, call: HandlerCall) -> Result<HandlerReply, FunctionError>;
}

#[async_trait]
impl<F, Fut> Handler for F
where
    F: Fn(HandlerCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<HandlerReply, FunctionError>> + Send + 'static,
{
    // The closure's own future, and none around it: a panic of the closure itself comes from `call`.
    fn call<'a, 'f>(
        &'a self,
        call: HandlerCall,
    ) -> BoxFuture<'f, Result<HandlerReply, FunctionError>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(self(call))
    }
}

/// Finds handlers by name.
///
/// # Contract
/// - **last_wins**: `lookup` answers what was registered last, without I/O or waiting.
/// - **unknown_is_none**: a name that nobody registered is `None`; whoever asked answers
///   `Unavailable`.
///
/// # Implementing
/// Run `handler_registry_conformance!` (feature
/// `conformance`) against it.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait HandlerRegistry: Send + Sync + 'static {
    /// The handler of that name.
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>>;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl<T: HandlerRegistry + ?Sized> HandlerRegistry for $pointer<T> {
            fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
                (**self).lookup(name)
            }
        }
    )*};
}
pointer!(Arc, Box);
