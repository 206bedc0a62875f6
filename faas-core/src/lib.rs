//! The vocabulary of the `faas` crates.
//!
//! Everything that the layers say to each other is defined here: validated [names](name) and typed
//! [ids](id), the [`Invocation`] and its [`Response`], the one [`Error`] of all layers, the
//! [`Store`] that holds durable state, the [`Clock`] that tells the time, the [`Invoker`] that
//! whoever calls functions depends on, the [component map](component), [explanations](explain) and
//! the names of [metrics](telemetry).
//!
//! The crate depends on no other crate of the workspace; every other crate depends on it.

pub mod body;
pub mod clock;
pub mod component;
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
pub use error::{Error, ErrorKind, Result, Retry};
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
