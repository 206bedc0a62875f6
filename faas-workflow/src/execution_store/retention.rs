//! [`Retention`]: executions that are kept no longer.

#[cfg(feature = "conformance")]
pub mod conformance;

use async_trait::async_trait;
use faas_core::{ExecutionId, Result};
use jiff::Timestamp;

/// Deletes executions; reached through
/// [`WorkflowExecutionStore::retention`](super::WorkflowExecutionStore::retention).
///
/// # Contract
/// - **expired_listed**: `expired` answers the executions that have ended and whose
///   [`expires`](super::ExecutionHead::expires) is not after the time asked for, soonest first.
/// - **deleted_whole**: after `delete` nothing of the execution is left, and its name is free.
/// - **only_the_ended**: deleting an execution that goes on is a `Conflict` and changes nothing;
///   deleting one that is not there is `NotFound`.
/// - **deleted_in_the_end**: a deletion that was cut short is finished by the next one of the same
///   execution, and `expired` answers the execution until then.
///
/// # Errors
/// `Conflict`, `NotFound`; the store's own.
///
/// # Implementing
/// [`StoreExecutionStore`](super::StoreExecutionStore) is the example to read;
/// `retention_conformance!` the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// At most `limit` executions that may be deleted at `at`.
    async fn expired(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>>;
    /// Deletes an execution, whether or not it may be deleted already.
    async fn delete(&self, execution: ExecutionId) -> Result<()>;
}
