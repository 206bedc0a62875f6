//! [`CriticalPath`]: what the end waits for longest goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Component, Description, Result, TaskId};
use serde::{Deserialize, Serialize};

use super::learned::Learned;
use super::{ReadyTask, Schedule, SchedulerChange, SchedulerContext, TaskStart, WorkflowScheduler};
use crate::program::DefinitionDigest;

const LONGEST: Reason = Reason::new(
    "task.critical_path",
    "from {task} to the end of its workflow it is {left} yet, by what runs took before; \
     it waited {waited}",
);

/// Tasks that are equally far from their end: one step of one workflow.
type Group = (DefinitionDigest, String);

/// Starts first, where there is not room for all, the task behind which the longest way to the end
/// of its workflow lies, by how long its steps took before (the list scheduling of HEFT: Topcuoglu
/// et al., TPDS 2002, on alike machines). What has never run is taken for a second.
#[derive(Debug, Default)]
pub struct CriticalPath {
    learned: Learned,
    ready: BTreeMap<Group, BTreeMap<u64, ReadyTask>>,
    places: HashMap<TaskId, (Group, u64)>,
    arrived: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    learned: Learned,
    ready: Vec<ReadyTask>,
}

impl Stored for Saved {
    const KIND: &'static str = "critical-path-scheduler";
    const VERSION: u32 = 1;
}

impl CriticalPath {
    /// Knowing nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn take_in(&mut self, task: ReadyTask) {
        self.arrived += 1;
        let group = (task.digest.clone(), task.label.clone());
        self.places.insert(task.id, (group.clone(), self.arrived));
        let ready = self.ready.entry(group).or_default();
        ready.insert(self.arrived, task);
    }

    fn forget(&mut self, id: TaskId) -> Option<ReadyTask> {
        let (group, arrived) = self.places.remove(&id)?;
        let ready = self.ready.get_mut(&group)?;
        let task = ready.remove(&arrived);
        if ready.is_empty() {
            self.ready.remove(&group);
        }
        task
    }

    /// The groups by urgency: the farthest from the end, then the oldest.
    fn groups(&self) -> BTreeSet<(Reverse<Duration>, u64, TaskId)> {
        let first = |tasks: &BTreeMap<u64, ReadyTask>| {
            let (arrived, task) = tasks.first_key_value()?;
            Some((Reverse(self.learned.rank(task)), *arrived, task.id))
        };
        self.ready.values().filter_map(first).collect()
    }
}

impl WorkflowScheduler for CriticalPath {
    fn observe(&mut self, change: SchedulerChange) {
        self.learned.observe(&change);
        match change {
            SchedulerChange::Ready(task) => self.take_in(task),
            SchedulerChange::Started(task) => drop(self.forget(task.id)),
            SchedulerChange::Withdrawn(id) => drop(self.forget(id)),
            SchedulerChange::Ended { .. }
            | SchedulerChange::Workflow { .. }
            | SchedulerChange::Closed(_) => {}
        }
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        let mut schedule = Schedule::default();
        if context.free == 0 || self.ready.is_empty() {
            return schedule;
        }
        let mut groups = self.groups();
        while schedule.starts.len() < context.free
            && let Some((rank, _, id)) = groups.pop_first()
            && let Some((group, _)) = self.places.get(&id).cloned()
            && let Some(task) = self.forget(id)
        {
            let reason = LONGEST
                .with("task", task.label)
                .with("left", rank.0)
                .with("waited", context.now.since(task.since));
            schedule.starts.push(TaskStart {
                task: id,
                reasons: vec![reason],
            });
            let next = self
                .ready
                .get(&group)
                .and_then(|tasks| tasks.first_key_value());
            groups.extend(next.map(|(arrived, task)| (rank, *arrived, task.id)));
        }
        schedule
    }

    fn save(&self) -> Result<Bytes> {
        let mut ready: Vec<_> = self.places.iter().collect();
        ready.sort_by_key(|(_, (_, arrived))| *arrived);
        let task = |(_, (group, arrived)): (&TaskId, &(Group, u64))| {
            self.ready.get(group)?.get(arrived).cloned()
        };
        encoding::encode(&Saved {
            learned: self.learned.clone(),
            ready: ready.into_iter().filter_map(task).collect(),
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = encoding::decode::<Saved>(bytes)?;
        *self = Self {
            learned: saved.learned,
            ..Self::default()
        };
        saved.ready.into_iter().for_each(|task| self.take_in(task));
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("CriticalPath").provides(Component::W3)
    }
}

#[cfg(test)]
mod tests;
