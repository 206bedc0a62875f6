//! [`WorkflowSettings`]: how a workflow's executions are run and kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a task of an execution may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// When all that it depends on is durable. A step costs a sync of the store; after a crash at
    /// most the tasks that ran at that moment run again.
    #[default]
    Strict,
    /// At once: the engine runs ahead of the store, and shows nothing (no answer to a caller, no
    /// end of an execution) before it is durable. A chain of short steps costs a few syncs in all;
    /// after a crash it runs again from the last durable point, so *every task since* runs again,
    /// with the same idempotency key. For tasks that are idempotent, or that may be repeated.
    Pipelined,
}

/// How a workflow's executions are run and kept; they keep what they started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkflowSettings {
    /// When tasks may start.
    #[serde(default)]
    pub durability: Durability,
    /// How long an execution is kept after it ended; for ever if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
}

impl WorkflowSettings {
    /// Strict, and kept for ever.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when tasks may start.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Deletes executions so long after they ended.
    #[must_use]
    pub fn retention(self, retention: Duration) -> Self {
        Self {
            retention: Some(retention),
            ..self
        }
    }
}
