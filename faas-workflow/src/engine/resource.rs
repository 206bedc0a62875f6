//! [`TaskResources`]: what tasks may name besides functions.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, ExecutionId, Namespace};
use futures::future::BoxFuture;

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
}

impl fmt::Debug for ResourceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(output) => f.debug_tuple("Output").field(output).finish(),
            Self::Job(receipt, _) => f.debug_tuple("Job").field(receipt).finish(),
            Self::Child(child, input) => f.debug_tuple("Child").field(child).field(input).finish(),
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
