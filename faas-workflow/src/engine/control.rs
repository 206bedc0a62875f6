//! What some engines can do besides running workflows to their end.

#[cfg(feature = "conformance")]
pub mod conformance;

use async_trait::async_trait;
use faas_core::{ExecutionId, Result};

use crate::execution_store::{ExecutionHead, TransitionNumber};
use crate::program::{Data, Query};

/// Asks an execution how it stands, beyond its head; reached through
/// [`WorkflowEngine::queries`](super::WorkflowEngine::queries).
///
/// # Contract
/// - **answers_what_is_stored**: an answer shows nothing that could still be lost, and all that was
///   acknowledged before the question.
/// - **changes_nothing**: a question leaves no trace in the execution.
/// - **answers_the_ended**: an execution that has ended answers too.
///
/// # Errors
/// `NotFound`, `InvalidArgument` for a question that its program does not understand,
/// `Unsupported` for a program that answers none.
///
/// # Implementing
/// [`DurableEngine`](super::DurableEngine) is the example to read;
/// `execution_queries_conformance!` the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ExecutionQueries: Send + Sync + 'static {
    /// Asks.
    async fn query(&self, execution: ExecutionId, query: Query) -> Result<Data>;
}

/// Tells of an execution's progress; reached through
/// [`WorkflowEngine::changes`](super::WorkflowEngine::changes).
///
/// # Contract
/// - **told_of_more**: `changed` answers when more than the transition asked about is stored, at
///   once if it is already; it is told, and does not ask again and again.
/// - **told_of_the_end**: it answers when the execution has ended, whichever engine runs it.
///
/// # Errors
/// `NotFound`; `Exhausted` if too many callers wait.
///
/// # Implementing
/// [`DurableEngine`](super::DurableEngine) is the example to read: of an execution that another
/// engine runs, it tells only the end. `execution_changes_conformance!` is the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ExecutionChanges: Send + Sync + 'static {
    /// Waits for more than `after`; answers the execution as it then stands.
    async fn changed(
        &self,
        execution: ExecutionId,
        after: TransitionNumber,
    ) -> Result<ExecutionHead>;
}

/// Lets executions that failed go on; reached through
/// [`WorkflowEngine::redrives`](super::WorkflowEngine::redrives).
///
/// # Contract
/// - **goes_on**: an execution that failed, timed out or was cancelled goes on from where it
///   stopped; what has succeeded is not run again.
/// - **only_the_unsuccessful**: an execution that goes on, has succeeded or was continued is a
///   `Conflict` and stays as it is.
///
/// # Errors
/// `NotFound`, `Conflict`, `Unsupported` for a program that cannot go on.
///
/// # Implementing
/// [`DurableEngine`](super::DurableEngine) is the example to read;
/// `execution_redrives_conformance!` the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ExecutionRedrives: Send + Sync + 'static {
    /// Goes on with an execution; answers it as it then stands.
    async fn redrive(&self, execution: ExecutionId) -> Result<ExecutionHead>;
}
