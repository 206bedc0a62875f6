//! What is asked of an execution store.

use faas_core::{ExecutionId, Namespace};
use jiff::Timestamp;

use super::{ExecutionHead, ExecutionStatus};

/// Which executions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutionFilter {
    /// That stand so.
    pub status: ExecutionStatus,
    /// Of this namespace; of all if `None`.
    pub namespace: Option<Namespace>,
    /// Behind this one.
    pub after: Option<ExecutionId>,
    /// At most so many are looked at.
    pub limit: usize,
}

impl ExecutionFilter {
    /// The first 1,000 that stand so.
    pub const fn new(status: ExecutionStatus) -> Self {
        Self {
            status,
            namespace: None,
            after: None,
            limit: 1000,
        }
    }
}

/// A page of executions, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecutionPage {
    /// The executions.
    pub executions: Vec<ExecutionHead>,
    /// What to ask behind for more; `None` at the end.
    pub next: Option<ExecutionId>,
}

/// An execution of which something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueExecution {
    /// Which one.
    pub execution: ExecutionId,
    /// Since when.
    pub at: Timestamp,
}
