//! [`Program`]: what a workflow *is*, whatever language it was written in.

mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
mod diagram;
mod erased;
mod event;
mod failure;
mod number;
mod query;
mod state;
pub mod target;
mod task;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::Result;
use serde_json::Value;

pub use command::{Command, Ending};
pub use diagram::{
    Join, Outline, OutlineEdge, OutlineStep, ProgramDiagram, StepChange, StepKind, StepPhase,
};
pub use erased::{Erased, TypedProgram};
pub use event::{Beginning, EventKind, ExecutionIdentity, ProgramEvent, Signal};
pub use failure::{TaskError, TaskRetry};
pub use number::{DefinitionDigest, TaskNumber, TimerNumber};
pub use query::{ProgramQueries, Query};
pub use state::{ProgramState, Transition};
pub use target::{ChildAnswer, ChildExecution, Completion, ResourceName, TaskTarget, TaskToken};
pub use task::TaskRequest;

/// What flows through a workflow: JSON, shared, so that passing it on copies nothing.
pub type Data = Arc<Value>;

/// What a workflow is: a deterministic machine that consumes events and gives commands.
///
/// ```text
/// Rust builder ─┐
/// ASL           ├─ compile ─▶ Program ◀─ begin, step ─ WorkflowEngine
/// yours         ┘
/// ```
///
/// # Contract
/// - **deterministic**: equal states and events MUST give equal transitions; the time and all
///   randomness come with the event.
/// - **numbered_once**: a task's or timer's number MUST NOT be used twice in an execution.
/// - **keyed**: a call's key MUST follow from the call's place in the workflow, not from the order of
///   unrelated events; attempts that share it MUST be the same call.
/// - **saved**: `restore(save(state))` MUST behave as `state` does.
/// - **ends_once**: `End` and `ContinueAsNew` are the last command; an event that comes later,
///   other than `Redriven`, MUST change nothing.
/// - **tolerant**: an event for a task or timer that the program no longer waits for MUST be
///   ignored.
///
/// # Errors
/// `Internal` from `begin` and `step` for a state of another program; a failing workflow is an
/// [`Ending`], not an error.
///
/// # Implementing
/// Implement [`TypedProgram`], whose state has a type, and wrap it in [`Erased`];
/// `program_conformance!` is the suite.
///
/// # Example
/// A program that ends at once, with its input:
/// ```
/// # use std::sync::Arc;
/// # use faas_core::encoding::Stored;
/// # use faas_workflow::program::*;
/// # use faas_workflow::HistoryRecord;
/// #[derive(Debug)]
/// struct Identity;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Nothing;
/// impl Stored for Nothing {
///     const KIND: &'static str = "identity-state";
///     const VERSION: u32 = 1;
/// }
///
/// impl TypedProgram for Identity {
///     type State = Nothing;
///     fn digest(&self) -> DefinitionDigest {
///         DefinitionDigest::of(b"identity")
///     }
///     fn begin(&self, beginning: Beginning) -> (Nothing, Vec<Command>, Vec<HistoryRecord>) {
///         (Nothing, vec![Command::End(Ending::Succeeded(beginning.input))], vec![])
///     }
///     fn step(&self, state: Nothing, _: ProgramEvent) -> (Nothing, Vec<Command>, Vec<HistoryRecord>) {
///         (state, vec![], vec![])
///     }
/// }
/// let program: Arc<dyn Program> = Arc::new(Erased(Identity));
/// assert_eq!(program.digest(), DefinitionDigest::of(b"identity"));
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Program: Send + Sync + fmt::Debug + 'static {
    /// Which definition this is.
    fn digest(&self) -> DefinitionDigest;
    /// The first transition.
    fn begin(&self, beginning: Beginning) -> Result<Transition>;
    /// Consumes the state and an event.
    fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition>;
    /// The state as bytes, for a snapshot.
    fn save(&self, state: &ProgramState) -> Result<Bytes>;
    /// The state from bytes that this version of the definition saved.
    fn restore(&self, bytes: &[u8]) -> Result<ProgramState>;
    /// What it looks like, if it can be drawn.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn diagram<'a>(&'a self) -> Option<&'a dyn ProgramDiagram> {
        None
    }
    /// What answers questions, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn queries<'a>(&'a self) -> Option<&'a dyn ProgramQueries> {
        None
    }
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl<T: Program + ?Sized> Program for $pointer<T> {
            fn digest(&self) -> DefinitionDigest {
                (**self).digest()
            }
            fn begin(&self, beginning: Beginning) -> Result<Transition> {
                (**self).begin(beginning)
            }
            fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition> {
                (**self).step(state, event)
            }
            fn save(&self, state: &ProgramState) -> Result<Bytes> {
                (**self).save(state)
            }
            fn restore(&self, bytes: &[u8]) -> Result<ProgramState> {
                (**self).restore(bytes)
            }
            fn diagram(&self) -> Option<&dyn ProgramDiagram> {
                (**self).diagram()
            }
            fn queries(&self) -> Option<&dyn ProgramQueries> {
                (**self).queries()
            }
        }
    )*};
}
pointer!(Arc, Box);
