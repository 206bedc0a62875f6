//! The public history of an execution.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use faas_core::ExecutionId;

/// One entry of an execution's public history. Its number and kind are the program's: a language
/// that has a history format of its own writes that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryRecord {
    /// Its number: 1, 2, 3, …
    pub id: u64,
    /// The record that led to it, if the program says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: `TaskStarted`, say.
    pub kind: String,
    /// The rest, as the program's format has it.
    pub details: Value,
}

impl HistoryRecord {
    /// A record without predecessor.
    pub fn new(id: u64, at: Timestamp, kind: impl Into<String>, details: Value) -> Self {
        Self {
            id,
            previous: None,
            at,
            kind: kind.into(),
            details,
        }
    }
}

/// Where a page of a history begins: opaque, as the page before gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HistoryCursor(pub u64);

/// Which part of which history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Whose.
    pub execution: ExecutionId,
    /// From where.
    pub from: HistoryCursor,
    /// About how many records: pages end where transitions do.
    pub limit: usize,
}

impl HistoryQuery {
    /// The first page, of about 1,000 records.
    pub fn new(execution: ExecutionId) -> Self {
        Self {
            execution,
            from: HistoryCursor::default(),
            limit: 1000,
        }
    }

    /// The page that begins at `cursor`.
    #[must_use]
    pub fn from(self, cursor: HistoryCursor) -> Self {
        Self {
            from: cursor,
            ..self
        }
    }

    /// Pages of about `limit` records.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// A page of a history, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistoryPage {
    /// The records.
    pub records: Vec<HistoryRecord>,
    /// Where the next page begins; `None` at the end of what has happened so far.
    pub next: Option<HistoryCursor>,
    /// Where what happens later will begin.
    pub resume: HistoryCursor,
}
