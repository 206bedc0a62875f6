//! What W4 takes and gives.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::{Error, ExecutionId, Namespace, Result, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::history::HistoryRecord;
use crate::program::{Beginning, DefinitionDigest, Ending, ProgramEvent, TaskNumber, TimerNumber};
use crate::registry::{WorkflowRef, WorkflowVersion};

/// The name of an execution, given by whoever starts it: 1 to 80 characters of `A-Z a-z 0-9 - _`,
/// as Step Functions has it. Unique within a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionName(Arc<str>);

impl ExecutionName {
    /// Checks `text`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long, or has another character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if (1..=80).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Self(text.into()));
        }
        let message = format!("execution name {text:?} is not 1 to 80 of A-Z, a-z, 0-9, '-', '_'");
        Err(Error::invalid("parse name", message))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExecutionName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for ExecutionName {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl From<ExecutionName> for String {
    fn from(name: ExecutionName) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for ExecutionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExecutionStatus {
    /// It goes on.
    Running,
    /// It ended with an output.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It took longer than its definition allows.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
}

impl ExecutionStatus {
    /// In one word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timedout",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more can happen.
    pub const fn is_ended(self) -> bool {
        !matches!(self, Self::Running)
    }
}

impl From<Option<&Ending>> for ExecutionStatus {
    fn from(ending: Option<&Ending>) -> Self {
        match ending {
            None => Self::Running,
            Some(Ending::Succeeded(_)) => Self::Succeeded,
            Some(Ending::Failed(_)) => Self::Failed,
            Some(Ending::TimedOut(_)) => Self::TimedOut,
            Some(Ending::Cancelled(_)) => Self::Cancelled,
        }
    }
}

/// One engine's time of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// What to open.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OpenEpoch {
    /// Whether this engine is the store's only one: then all earlier epochs are void at once.
    pub exclusive: bool,
}

impl OpenEpoch {
    /// The store's only engine.
    pub const fn exclusive() -> Self {
        Self { exclusive: true }
    }

    /// One engine of several.
    pub const fn shared() -> Self {
        Self { exclusive: false }
    }
}

/// An epoch that is not void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochState {
    /// Which one.
    pub epoch: Epoch,
    /// How often it was renewed.
    pub renewals: u64,
}

/// The place of a transition in its execution: 1, 2, 3, …
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TransitionNumber(pub u64);

impl TransitionNumber {
    /// The one that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The SHA-256 of an execution's input: tells a repeated start from another one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputDigest(pub DefinitionDigest);

/// An execution as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExecutionHead {
    /// Which one.
    pub id: ExecutionId,
    /// Its name.
    pub name: ExecutionName,
    /// Of which workflow, with its version.
    pub workflow: WorkflowRef,
    /// The definition that it is pinned to.
    pub digest: DefinitionDigest,
    /// What it was given.
    pub input: InputDigest,
    /// When it started.
    pub started: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// The last transition.
    pub transition: TransitionNumber,
    /// Who wrote it.
    pub epoch: Epoch,
}

impl ExecutionHead {
    /// An execution that has no transition yet.
    pub fn new(id: ExecutionId, name: ExecutionName, workflow: WorkflowRef, epoch: Epoch) -> Self {
        Self {
            id,
            name,
            workflow: WorkflowRef {
                version: workflow.version.or(Some(WorkflowVersion(1))),
                ..workflow
            },
            digest: DefinitionDigest::of(b""),
            input: InputDigest(DefinitionDigest::of(b"")),
            started: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
            ending: None,
            transition: TransitionNumber(0),
            epoch,
        }
    }

    /// How it stands.
    pub fn status(&self) -> ExecutionStatus {
        self.ending.as_ref().into()
    }
}

/// One event of an execution, as the engine stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineEvent {
    /// It began.
    Began(Beginning),
    /// The program consumed an event.
    Program(ProgramEvent),
    /// The scheduler let a task run.
    Started {
        /// The program's number for it.
        task: TaskNumber,
        /// Its id.
        id: TaskId,
        /// When.
        at: Timestamp,
    },
    /// Another engine, or the same after a restart, took over.
    Adopted {
        /// When.
        at: Timestamp,
    },
}

/// Data that is too large for a transition, kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The SHA-256 of its bytes.
    pub digest: DefinitionDigest,
    /// How many bytes.
    pub bytes: u64,
}

/// One transition of one execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Append {
    /// The execution as it stands after it; names the transition and the epoch.
    pub head: ExecutionHead,
    /// What happened.
    pub events: Vec<EngineEvent>,
    /// What the public history says.
    pub records: Vec<HistoryRecord>,
    /// Timers that now run.
    pub timers_set: Vec<(TimerNumber, Timestamp)>,
    /// Timers, with the time they were set to, that no longer run.
    pub timers_cleared: Vec<(TimerNumber, Timestamp)>,
    /// What the transition refers to.
    pub blobs: Vec<BlobRef>,
    /// The engine's state after it; what came before is then not needed to go on.
    pub snapshot: Option<Bytes>,
}

impl Append {
    /// A transition that leads to `head`.
    pub fn new(head: ExecutionHead, events: Vec<EngineEvent>) -> Self {
        Self {
            head,
            events,
            records: Vec::new(),
            timers_set: Vec::new(),
            timers_cleared: Vec::new(),
            blobs: Vec::new(),
            snapshot: None,
        }
    }
}

/// What is needed to go on with an execution.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StoredExecution {
    /// As it stands.
    pub head: ExecutionHead,
    /// The last snapshot.
    pub snapshot: Option<Bytes>,
    /// The events of every transition since.
    pub events: Vec<EngineEvent>,
}

impl StoredExecution {
    /// An execution as it was loaded.
    pub fn new(head: ExecutionHead, snapshot: Option<Bytes>, events: Vec<EngineEvent>) -> Self {
        Self {
            head,
            snapshot,
            events,
        }
    }
}

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

/// A timer whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueTimer {
    /// Whose.
    pub execution: ExecutionId,
    /// Which one.
    pub timer: TimerNumber,
    /// When it was due.
    pub at: Timestamp,
}
