//! [`ExternalTasks`]: tasks that are ended from outside, by token.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Namespace, Result};

use crate::program::{Data, ResourceName, TaskError, TaskToken};

/// Which work a worker asks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PollTask {
    /// Of whose workflows.
    pub namespace: Namespace,
    /// What tasks name whose [`Completion`](crate::program::Completion) is `Worker`.
    pub resource: ResourceName,
    /// The worker's name, for the history.
    pub worker: Option<String>,
}

impl PollTask {
    /// Asks as nobody in particular.
    pub fn new(namespace: Namespace, resource: ResourceName) -> Self {
        Self {
            namespace,
            resource,
            worker: None,
        }
    }

    /// Asks as `worker`.
    #[must_use]
    pub fn worker(self, worker: impl Into<String>) -> Self {
        Self {
            worker: Some(worker.into()),
            ..self
        }
    }
}

/// Work that a worker took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WorkerTask {
    /// What ends it.
    pub token: TaskToken,
    /// What the task is given.
    pub input: Data,
    /// Equal for all attempts of one logical call.
    pub idempotency_key: Arc<str>,
}

impl WorkerTask {
    /// Work.
    pub fn new(token: TaskToken, input: Data, idempotency_key: Arc<str>) -> Self {
        Self {
            token,
            input,
            idempotency_key,
        }
    }
}

/// Tasks that are ended from outside, by whoever has their token: callbacks, and the work of
/// workers that pull it. Reached through
/// [`WorkflowEngine::external_tasks`](super::WorkflowEngine::external_tasks).
///
/// # Contract
/// - **completed_once**: the first `complete` of a running task's token ends the task; one that
///   comes later, or with another secret, is `NotFound` and changes nothing.
/// - **completion_is_stored**: what `complete` acknowledged survives the engine as the store's
///   durability has it.
/// - **heartbeat_told**: a heartbeat of a running task is told to its program; one of another token
///   is `NotFound`.
/// - **polled_once**: a task is handed to one worker; it is handed out again if the future of
///   `poll` was dropped before it answered.
/// - **poll_waits**: `poll` answers as soon as there is work, however long it had to wait.
///
/// # Errors
/// `NotFound` for a token whose task has ended, timed out or never was; `Exhausted` if too many
/// workers wait; `Unavailable` while shutting down.
///
/// # Implementing
/// [`DurableEngine`](super::DurableEngine) is the example to read; `external_tasks_conformance!`
/// the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ExternalTasks: Send + Sync + 'static {
    /// Ends a task.
    async fn complete(&self, token: &TaskToken, result: Result<Data, TaskError>) -> Result<()>;
    /// Says that a task is still worked on.
    async fn heartbeat(&self, token: &TaskToken) -> Result<()>;
    /// Waits for work.
    async fn poll(&self, request: PollTask) -> Result<WorkerTask>;
}
