//! [`Eager`]: all that may run runs at once.

use std::collections::{BTreeMap, HashMap};

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
    /// By order of arrival.
    ready: BTreeMap<u64, ReadyTask>,
    places: HashMap<TaskId, u64>,
    arrived: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved(Vec<ReadyTask>);

impl Stored for Saved {
    const KIND: &'static str = "eager-scheduler";
    const VERSION: u32 = 1;
}

impl Eager {
    /// With nothing to do yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn take_in(&mut self, task: ReadyTask) {
        self.arrived += 1;
        self.places.insert(task.id, self.arrived);
        self.ready.insert(self.arrived, task);
    }

    fn forget(&mut self, id: TaskId) {
        if let Some(place) = self.places.remove(&id) {
            self.ready.remove(&place);
        }
    }
}

impl WorkflowScheduler for Eager {
    fn observe(&mut self, change: SchedulerChange) {
        match change {
            SchedulerChange::Ready(task) => self.take_in(task),
            SchedulerChange::Started(task) => self.forget(task.id),
            SchedulerChange::Withdrawn(id) => self.forget(id),
            SchedulerChange::Ended { .. }
            | SchedulerChange::Workflow { .. }
            | SchedulerChange::Closed(_) => {}
        }
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        let mut starts = Vec::new();
        while starts.len() < context.free
            && let Some((_, task)) = self.ready.pop_first()
        {
            self.places.remove(&task.id);
            let waited = context.now.since(task.since);
            let reason = READY.with("task", task.label).with("waited", waited);
            starts.push(TaskStart {
                task: task.id,
                reasons: vec![reason],
            });
        }
        Schedule {
            starts,
            ..Schedule::default()
        }
    }

    fn save(&self) -> Result<Bytes> {
        encoding::encode(&Saved(self.ready.values().cloned().collect()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = encoding::decode::<Saved>(bytes)?;
        *self = Self::new();
        saved.0.into_iter().for_each(|task| self.take_in(task));
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("Eager").provides(Component::W3)
    }
}
