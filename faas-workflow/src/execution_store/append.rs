//! [`Append`]: one transition, and what is loaded of them again.

use bytes::Bytes;
use faas_core::TaskId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::mailbox::LetterId;
use super::{ExecutionHead, Standing};
use crate::history::HistoryRecord;
use crate::program::{Beginning, ProgramEvent, TaskNumber};

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

/// One transition of one execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Append {
    /// The execution as it stands after it; names the transition and the epoch.
    pub head: ExecutionHead,
    /// How it stands in the store before it; `None` for the first one. Indexes follow from the
    /// difference, so that an append reads nothing.
    pub before: Option<Standing>,
    /// What happened.
    pub events: Vec<EngineEvent>,
    /// What the public history says.
    pub records: Vec<HistoryRecord>,
    /// When something of it is due from now on.
    pub due_set: Option<Timestamp>,
    /// When nothing is due any more.
    pub due_cleared: Option<Timestamp>,
    /// The letters that it takes; they must be there.
    pub letters: Vec<LetterId>,
    /// The engine's state after it; what came before is then not needed to go on.
    pub snapshot: Option<Bytes>,
    /// The first transition of the execution that it goes on as, which takes its name over.
    pub successor: Option<Box<Append>>,
}

impl Append {
    /// A transition that leads to `head`.
    pub fn new(head: ExecutionHead, events: Vec<EngineEvent>) -> Self {
        Self {
            head,
            before: None,
            events,
            records: Vec::new(),
            due_set: None,
            due_cleared: None,
            letters: Vec::new(),
            snapshot: None,
            successor: None,
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
