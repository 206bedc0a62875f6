//! What a program is told.

use std::sync::Arc;

use faas_core::{ExecutionId, Name, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Data, TaskError, TaskNumber, TimerNumber};
use crate::execution_store::{ExecutionHead, ExecutionName};
use crate::registry::WorkflowRef;

/// Something that happened; together with the state it is all that a program may depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramEvent {
    /// The wall time at which it happened.
    pub at: Timestamp,
    /// Random bits, drawn once and recorded, for jitter and the like.
    pub entropy: u64,
    /// What happened.
    pub kind: EventKind,
}

/// See [`ProgramEvent::kind`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A worker took a task whose [`Completion`](super::Completion) is `Worker`.
    TaskStarted {
        /// Which one.
        task: TaskNumber,
        /// The worker's name, if it said so.
        worker: Option<String>,
    },
    /// A resource took a task that is over later: its [`Completion`](super::Completion) is `Job` or
    /// `Callback`.
    TaskSubmitted {
        /// Which one.
        task: TaskNumber,
        /// The receipt.
        output: Data,
    },
    /// Whoever has a task's token says that it still works on it.
    TaskHeartbeat {
        /// Which one.
        task: TaskNumber,
    },
    /// A task that the program asked for ended.
    TaskEnded {
        /// Which one.
        task: TaskNumber,
        /// Its answer, or why there is none.
        result: Result<Data, TaskError>,
    },
    /// A timer's time has come.
    TimerFired {
        /// Which one.
        timer: TimerNumber,
    },
    /// Somebody sent a signal.
    Signalled(Signal),
    /// Somebody wants it to end.
    CancelRequested {
        /// Why.
        cause: String,
        /// The name of the error, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The engine cannot go on with it: what it made breaks a limit of the platform.
    Aborted(TaskError),
    /// It had failed or was cancelled, and somebody wants it to go on from where it stopped. A
    /// program that cannot gives no command and stays ended.
    Redriven,
}

/// What somebody tells a running execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signal {
    /// Which signal.
    pub name: Name,
    /// What it carries.
    pub data: Data,
}

impl Signal {
    /// A signal.
    pub fn new(name: Name, data: Value) -> Self {
        Self {
            name,
            data: Arc::new(data),
        }
    }
}

/// How an execution begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Beginning {
    /// The wall time of the start.
    pub at: Timestamp,
    /// Random bits, drawn once and recorded.
    pub entropy: u64,
    /// Which execution begins.
    pub execution: ExecutionIdentity,
    /// What the execution is given.
    pub input: Data,
}

/// Which execution a program runs in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionIdentity {
    /// Its id.
    pub id: ExecutionId,
    /// Its name.
    pub name: ExecutionName,
    /// Of which workflow.
    pub workflow: WorkflowRef,
}

impl Beginning {
    /// A beginning.
    pub fn new(at: Timestamp, entropy: u64, execution: ExecutionIdentity, input: Data) -> Self {
        Self {
            at,
            entropy,
            execution,
            input,
        }
    }

    /// The beginning of the execution of `head`, with this input.
    pub fn of(head: &ExecutionHead, entropy: u64, input: Data) -> Self {
        let execution = ExecutionIdentity {
            id: head.id,
            name: head.name.clone(),
            workflow: head.workflow.clone(),
        };
        Self::new(head.started, entropy, execution, input)
    }
}
