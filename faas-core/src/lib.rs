//! The vocabulary of the `faas` crates.
//!
//! Everything that the layers say to each other is defined here: validated [names](name) and typed
//! [ids](id), the [`Invocation`] and its [`Response`], the one [`Error`] of all layers, the
//! [`Store`] that holds durable state, the [`Clock`] that tells the time, the [`Invoker`] that
//! whoever calls functions depends on, the [component map](component), [explanations](explain) and
//! the names of [metrics](telemetry).
//!
//! ```
//! use faas_core::{IdSource, Invocation, Invoker, Payload, Result};
//!
//! /// Greets by way of whatever calls functions: a platform, a cloud, a mock.
//! async fn greet(invoker: &dyn Invoker, ids: &IdSource, name: &str) -> Result<String> {
//!     let call = Invocation::new(ids.next(), "hello@prod".parse()?, Payload::json(name)?);
//!     let answer = invoker.invoke(call).await?.collect(1 << 20).await?;
//!     // That the function failed is no error of the platform's.
//!     match answer.into_result() {
//!         Ok(payload) => Ok(payload.to_text()?.to_owned()),
//!         Err(error) => Ok(format!("it failed: {error}")),
//!     }
//! }
//! ```
//!
//! # Features
//! - `conformance`: the suites that an implementation of [`Store`], [`Clock`], [`Invoker`],
//!   [`Handler`] or [`HandlerRegistry`] is tested with: `store_conformance!` and its like.
//! - `mock`: `mockall` doubles of these traits: `MockStore` and its like.
//!
//! The crate depends on no other crate of the workspace; every other crate depends on it.

pub mod body;
pub mod clock;
pub mod component;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod digest;
pub mod encoding;
pub mod error;
pub mod explain;
pub mod function_ref;
pub mod handler;
pub mod id;
pub mod invocation;
pub mod invoker;
pub mod name;
pub mod payload;
pub mod policy;
pub mod resources;
pub mod response;
pub mod store;
pub mod table1;
pub mod telemetry;
pub mod trace;

pub use body::{Body, Frame};
pub use clock::{Clock, Hold, Monotonic, TokioClock};
pub use component::{Component, Description, PlatformMap, Provision};
pub use digest::Digest;
pub use error::{Error, ErrorKind, Result, Retry, panic_message};
pub use function_ref::{FunctionRef, Qualifier};
pub use handler::{Handler, HandlerCall, HandlerRegistry, HandlerReply};
pub use id::{
    DecisionId, ExecutionId, IdSource, InstanceId, InvocationId, RevisionNumber, SandboxId, TaskId,
    WorkloadId,
};
pub use invocation::{Attributes, Caller, Invocation};
pub use invoker::{Invoker, PrewarmHint};
pub use name::{
    AliasName, HandlerName, HookName, Name, Namespace, NodeName, RuntimeName, WorkflowName,
};
pub use payload::{ContentType, Payload};
pub use policy::{PolicyContext, SeededRandom};
pub use resources::{ByteSize, Millicpu, Resources};
pub use response::{
    Completed, FunctionError, Outcome, Phase, Response, StartKind, Timeline, Trailer, Usage,
};
pub use store::{MemoryStore, Store};
pub use trace::TraceContext;

#[cfg(feature = "mock")]
pub use clock::MockClock;
#[cfg(feature = "mock")]
pub use handler::{MockHandler, MockHandlerRegistry};
#[cfg(feature = "mock")]
pub use invoker::MockInvoker;
#[cfg(feature = "mock")]
pub use store::MockStore;
