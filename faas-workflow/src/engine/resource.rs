//! [`TaskResources`]: what tasks may name besides functions.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, Error, ExecutionId, Monotonic, Namespace};
use futures::future::BoxFuture;

use crate::execution_store::ExecutionHead;
use crate::program::{ChildExecution, Completion, Data, ResourceName, TaskError, TaskToken};

/// A task for a resource.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResourceCall {
    /// Whose workflow.
    pub namespace: Namespace,
    /// Of which execution.
    pub execution: ExecutionId,
    /// Which resource.
    pub resource: ResourceName,
    /// When the task is over; never `Worker`, which is the engine's own.
    pub completion: Completion,
    /// What it is given.
    pub input: Data,
    /// What whoever ends a `Callback` must show.
    pub token: Option<TaskToken>,
    /// Equal for all attempts of one logical call, also after a crash.
    pub idempotency_key: Arc<str>,
    /// When nobody waits for the answer any more, if that is known: whoever ends a `Job` or a
    /// `Callback` has longer than the call.
    pub deadline: Option<Monotonic>,
}

/// How an execution that runs for a task is told to the task's program.
///
/// # Contract
/// - Equal heads MUST be told alike: a call that is repeated after a crash is answered again.
pub trait ChildForm: Send + Sync + 'static {
    /// That it started.
    fn started(&self, head: &ExecutionHead) -> Data;
    /// How it ended.
    ///
    /// # Errors
    /// The task's error, if that is what the end means.
    fn ended(&self, head: &ExecutionHead) -> Result<Data, TaskError>;
    /// That it could not be started, or waited for.
    fn refused(&self, error: &Error) -> TaskError;
}

/// What a resource makes of a task.
#[non_exhaustive]
pub enum ResourceAnswer {
    /// The answer, or the receipt of a `Callback`.
    Output(Data),
    /// A job: its receipt, and its end.
    Job(Data, BoxFuture<'static, Result<Data, TaskError>>),
    /// An execution of another workflow with this input, which the engine runs.
    Child(ChildExecution, Data),
    /// The same, told in a form of its own.
    ChildAs(ChildExecution, Data, Arc<dyn ChildForm>),
}

impl fmt::Debug for ResourceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(output) => f.debug_tuple("Output").field(output).finish(),
            Self::Job(receipt, _) => f.debug_tuple("Job").field(receipt).finish(),
            Self::Child(child, input) | Self::ChildAs(child, input, _) => {
                f.debug_tuple("Child").field(child).field(input).finish()
            }
        }
    }
}

/// Runs the tasks that name a resource: a queue, a database, a job.
///
/// # Contract
/// - Dropping the future of a call, or of a job's end, MUST cancel what can be cancelled.
/// - A call that is repeated under its idempotency key MUST happen once, as far as the resource
///   allows: the engine repeats what had no recorded end when it crashed.
///
/// # Errors
/// A [`TaskError`] whose kind the workflow's rules know.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TaskResources: Send + Sync + 'static {
    /// Runs a task.
    async fn call(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError>;
    /// What this is.
    fn describe(&self) -> Description;
}
