//! [`Eager`]: all that may run runs at once.

use std::collections::VecDeque;

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Component, Description, Result, TaskId};
use serde::{Deserialize, Serialize};

use super::{ReadyTask, Schedule, SchedulerChange, SchedulerContext, TaskStart, WorkflowScheduler};

const READY: Reason = Reason::new(
    "task.ready",
    "all that {task} depends on is there, and it waited {waited}",
);

/// Starts every ready task, oldest first, as far as there is room.
#[derive(Debug, Default)]
pub struct Eager {
    ready: VecDeque<ReadyTask>,
}

#[derive(Serialize, Deserialize)]
struct Saved(VecDeque<ReadyTask>);

impl Stored for Saved {
    const KIND: &'static str = "eager-scheduler";
    const VERSION: u32 = 1;
}

impl Eager {
    /// With nothing to do yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn forget(&mut self, id: TaskId) {
        self.ready.retain(|task| task.id != id);
    }
}

impl WorkflowScheduler for Eager {
    fn observe(&mut self, change: SchedulerChange) {
        match change {
            SchedulerChange::Ready(task) => self.ready.push_back(task),
            SchedulerChange::Started(task) => self.forget(task.id),
            SchedulerChange::Withdrawn(id) => self.forget(id),
            SchedulerChange::Ended { .. } => {}
        }
    }

    fn decide(&mut self, context: &mut SchedulerContext<'_>) -> Schedule {
        let room = context.free.min(self.ready.len());
        let starts = self.ready.drain(..room).map(|task| TaskStart {
            task: task.id,
            reasons: vec![
                READY
                    .with("task", task.label)
                    .with("waited", context.now.since(task.since)),
            ],
        });
        Schedule {
            starts: starts.collect(),
            ..Schedule::default()
        }
    }

    fn save(&self) -> Result<Bytes> {
        encoding::encode(&Saved(self.ready.clone()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        self.ready = encoding::decode::<Saved>(bytes)?.0;
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("Eager").provides(Component::W3)
    }
}
