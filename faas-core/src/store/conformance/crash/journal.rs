//! What child and parent say to each other: JSON, a line each.

use serde::{Deserialize, Serialize};

/// Tells the child's lines from those of a test runner.
pub(super) const MARK: &str = "@journal ";
/// Writers of one child.
pub(super) const WRITERS: u64 = 6;
/// How many of its last events a writer keeps.
pub(super) const KEPT: u64 = 10;

/// What the parent wants to know of a new life.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// Changes after this revision.
    pub(super) after: u64,
    /// The outcomes of these batches.
    pub(super) batches: Vec<String>,
}

/// What a child says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Line {
    /// A key that is there.
    Entry {
        watched: bool,
        key: String,
        value: String,
        version: u64,
    },
    /// A change of the watched space.
    Change {
        revision: u64,
        key: String,
        value: Option<String>,
    },
    /// The revision that the entries show.
    Revision(u64),
    /// What came of a batch.
    Outcome { id: String, came: Came },
    /// All was said of what is there; from here on it works.
    Ready,
    /// A batch is about to be submitted.
    Try {
        id: String,
        writer: u64,
        number: u64,
    },
    /// It was acknowledged; the version is that of its event.
    Done {
        id: String,
        version: u64,
        revision: u64,
    },
    /// It did not happen, and will not.
    Refused { id: String },
    /// A watch shows it.
    Saw { id: String, revision: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Came {
    Committed,
    Aborted,
    Unknown,
}
