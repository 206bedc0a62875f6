//! [`Frame`]: one thread of control.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::model::StateIndex;
use crate::program::{Data, TaskNumber, TimerNumber};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub(super) u64);
    )*};
}
ids! {
    /// A frame.
    FrameId;
    /// A history: the execution's own, or that of a child of a distributed Map.
    StreamId;
}

/// Who waits for a frame, and for which of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) parent: FrameId,
    pub(super) slot: usize,
    pub(super) child: FrameId,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) id: FrameId,
    pub(super) link: Option<Link>,
    pub(super) stream: StreamId,
    /// Its place among all frames, whatever happened in which order.
    pub(super) place: String,
    /// How many states it has entered.
    pub(super) steps: u64,
    /// Its last event.
    pub(super) last: u64,
    pub(super) variables: BTreeMap<String, Data>,
    /// The element that an iteration is for.
    pub(super) item: Option<Item>,
    /// What it is a child execution as, if it is one of a distributed Map.
    pub(super) child: Option<Box<Child>>,
    pub(super) position: Position,
}

/// `$$.Map.Item`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) value: Data,
}

/// What the context object says of a child execution.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Child {
    pub(super) label: String,
    pub(super) name: String,
    pub(super) input: Data,
    pub(super) started: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Position {
    /// About to enter a state.
    Before(StateIndex, Data),
    /// In a state.
    In(Box<Active>),
}

/// A state that was entered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Active {
    pub(super) state: StateIndex,
    /// Its input, before anything is made of it.
    pub(super) input: Data,
    pub(super) entered: Timestamp,
    pub(super) entered_event: u64,
    /// What that event follows.
    pub(super) before: u64,
    /// How often each retrier has counted.
    pub(super) retries: Vec<u32>,
    pub(super) retry_count: u32,
    /// How many calls have certainly been answered: the next attempt is another call.
    pub(super) call: u32,
    pub(super) job: Job,
}

/// What a state waits for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Nothing: it is to be tried, or tried again.
    Attempt,
    /// A Wait state's moment, or a retry's delay.
    Delay {
        timer: TimerNumber,
        retry: bool,
    },
    Task(TaskJob),
    Parallel(ParallelJob),
    Map(Box<MapJob>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskJob {
    pub(super) number: TaskNumber,
    pub(super) timeout: Option<TimerNumber>,
    /// The timer, and how many seconds may pass between two heartbeats.
    pub(super) heartbeat: Option<(TimerNumber, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ParallelJob {
    pub(super) results: Vec<Option<Data>>,
    pub(super) running: BTreeSet<FrameId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MapJob {
    /// What `ItemSelector` sees.
    pub(super) input: Data,
    /// A list; each element is the input of one iteration, or goes through `ItemSelector` first.
    pub(super) items: Data,
    pub(super) batched: bool,
    pub(super) next: usize,
    pub(super) results: Vec<Option<Data>>,
    pub(super) running: BTreeSet<FrameId>,
    /// Those that failed, in case that the execution is redriven.
    pub(super) stopped: BTreeSet<FrameId>,
    pub(super) finished: usize,
    pub(super) failed: usize,
    pub(super) concurrency: usize,
    pub(super) run: Option<MapRun>,
}

/// A run of a distributed Map.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MapRun {
    pub(super) arn: String,
    pub(super) started_event: u64,
    pub(super) tolerated_count: Option<u64>,
    pub(super) tolerated_percentage: Option<f64>,
    /// How often it was redriven.
    pub(super) redrives: u32,
    /// The task that reads the items, or writes the results.
    pub(super) task: Option<TaskNumber>,
    /// What is still to be written, last first: where, and what.
    pub(super) unwritten: Vec<(String, Value)>,
    /// What the Map gives once all is written.
    pub(super) output: Option<Data>,
}

impl Frame {
    /// Names one call of the state that it is in; attempts that may have happened share it.
    pub(super) fn key(&self, call: u32) -> String {
        let (place, step) = (&self.place, self.steps);
        match call {
            0 => format!("{place}{step}"),
            again => format!("{place}{step}~{again}"),
        }
    }

    /// The state that it is in.
    pub(super) fn active(&self) -> Option<&Active> {
        match &self.position {
            Position::In(active) => Some(active),
            Position::Before(..) => None,
        }
    }
}
