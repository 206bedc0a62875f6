//! [`StateMachine`] as a program: what an execution is at any moment, and how events change it.
//!
//! An execution is a set of *frames*, one for each thread of control: the execution itself, a branch
//! of a Parallel state, an iteration of a Map. A frame is in one state and waits for one thing. Each
//! event makes work; a turn does the work, up to a bound, so that no definition can hold the engine.

mod aborted;
mod child;
mod choice;
mod context;
mod distributed;
mod ending;
mod evaluate;
mod exit;
mod failure;
mod frame;
mod map;
mod parallel;
mod reader;
mod records;
mod recovery;
mod resource;
mod states;
mod task;
mod turn;
mod writer;

use std::collections::{BTreeMap, VecDeque};

use faas_core::encoding::Stored;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::StateMachine;
use crate::history::HistoryRecord;
use crate::program::{
    Beginning, Command, Data, DefinitionDigest, ExecutionIdentity, ProgramEvent, TaskNumber,
    TimerNumber, TypedProgram,
};
use failure::Failure;
use frame::{Frame, FrameId, Link, StreamId};
pub(super) use resource::{function_cause, platform_error};
use turn::Turn;

/// All that an execution is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    execution: ExecutionIdentity,
    started: Timestamp,
    input: Data,
    /// The last number of a task or timer.
    numbers: u64,
    /// The last number of a frame.
    last_frame: u64,
    frames: BTreeMap<FrameId, Frame>,
    /// The last event of each history; the first is the execution's own.
    streams: BTreeMap<StreamId, u64>,
    tasks: BTreeMap<TaskNumber, FrameId>,
    timers: BTreeMap<TimerNumber, Alarm>,
    /// What is left to do when a turn has done its share.
    work: VecDeque<Work>,
    ended: bool,
    redrives: u32,
}

impl Stored for Run {
    const KIND: &'static str = "asl-execution";
    const VERSION: u32 = 1;
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Alarm {
    /// The execution takes too long.
    Execution,
    /// There is work left.
    Work,
    /// A Wait state is over, or a retry's delay.
    Delay(FrameId),
    /// A task takes too long.
    Timeout(FrameId),
    /// Nothing was heard of a task.
    Heartbeat(FrameId),
}

/// Something to do.
#[derive(Debug, Serialize, Deserialize)]
enum Work {
    /// A frame can go on.
    Advance(FrameId),
    /// A child's last state is over.
    Succeeded {
        link: Link,
        output: Data,
        /// The last event of the child.
        last: u64,
    },
    /// A child failed.
    Failed {
        link: Link,
        failure: Failure,
        last: u64,
    },
}

impl TypedProgram for StateMachine {
    type State = Run;

    fn digest(&self) -> DefinitionDigest {
        self.digest.clone()
    }

    fn begin(&self, beginning: Beginning) -> (Run, Vec<Command>, Vec<HistoryRecord>) {
        let run = Run {
            execution: beginning.execution,
            started: beginning.at,
            input: beginning.input,
            numbers: 0,
            last_frame: 0,
            frames: BTreeMap::new(),
            streams: BTreeMap::from([(StreamId(0), 0)]),
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            work: VecDeque::new(),
            ended: false,
            redrives: 0,
        };
        let mut turn = Turn::new(self, run, beginning.at, beginning.entropy);
        turn.begin();
        turn.finish()
    }

    fn step(&self, run: Run, event: ProgramEvent) -> (Run, Vec<Command>, Vec<HistoryRecord>) {
        let mut turn = Turn::new(self, run, event.at, event.entropy);
        turn.event(event.kind);
        turn.finish()
    }
}
