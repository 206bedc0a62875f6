//! Explanations: every decision is recorded with structured reasons, and can be asked for.
//!
//! A component returns its decision with [`Reason`]s (a code, a sentence with holes, and the
//! numbers and ids that fill them) and hands a [`Decision`] to the [`DecisionLog`]. Text is made
//! only when somebody reads. The log keeps the last decisions of each [`DecisionClass`] in a ring
//! of its own, so that a flood of one class does not wash away the others; a warm invocation
//! records nothing.

mod index;
mod log;
mod reason;

pub use log::{DecisionLog, Explanation, Finding};
pub use reason::{Reason, Value};

use crate::clock::Monotonic;
use crate::id::{DecisionId, ExecutionId, InstanceId, InvocationId, SandboxId, TaskId, WorkloadId};

/// Which kind of decision; each has a ring of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum DecisionClass {
    /// F5: an invocation had to wait, was refused, or was handed over.
    Queueing,
    /// F6: more or fewer instances.
    Scaling,
    /// F3: a plan.
    Planning,
    /// R3: a placement, or why there is none.
    Placement,
    /// R2 and R4: what was done to a sandbox, and how it ended.
    Sandbox,
    /// F4: an instance came, went, or was quarantined.
    Instance,
    /// W2 and W3: what runs next in an execution.
    Task,
}

impl DecisionClass {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queueing,
        Self::Scaling,
        Self::Planning,
        Self::Placement,
        Self::Sandbox,
        Self::Instance,
        Self::Task,
    ];
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// An invocation.
    Invocation(InvocationId),
    /// A workload.
    Workload(WorkloadId),
    /// A sandbox.
    Sandbox(SandboxId),
    /// An instance.
    Instance(InstanceId),
    /// An execution.
    Execution(ExecutionId),
    /// A task of an execution.
    Task(TaskId),
}

macro_rules! subjects {
    ($($id:ident => $variant:ident),*) => {$(
        impl From<$id> for Subject {
            fn from(id: $id) -> Self {
                Self::$variant(id)
            }
        }
    )*};
}
subjects!(InvocationId => Invocation, WorkloadId => Workload, SandboxId => Sandbox,
    InstanceId => Instance, ExecutionId => Execution, TaskId => Task);

impl Subject {
    /// The id as a number.
    pub fn as_u128(self) -> u128 {
        match self {
            Self::Invocation(id) => id.into(),
            Self::Workload(id) => id.into(),
            Self::Sandbox(id) => id.into(),
            Self::Instance(id) => id.into(),
            Self::Execution(id) => id.into(),
            Self::Task(id) => id.into(),
        }
    }
}

/// A decision that was made, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its id, for others to name as their cause.
    pub id: DecisionId,
    /// Which kind it is.
    pub class: DecisionClass,
    /// When it was made.
    pub at: Monotonic,
    /// What it is about: the first is the thing decided on, the others are what it touches.
    pub subjects: Vec<Subject>,
    /// The decision that caused it.
    pub caused_by: Option<DecisionId>,
    /// What was decided, and why.
    pub reasons: Vec<Reason>,
}
