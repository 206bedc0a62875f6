//! The tasks and timers of one execution, and what is due when.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::TaskId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::program::{Completion, TaskNumber, TaskRequest, TimerNumber};

/// Something of an execution that is due at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A timer of the program.
    Timer(TimerNumber),
    /// A task that the engine waits for has taken too long.
    Timeout(TaskNumber),
}

/// A task that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningTask {
    /// Its id.
    pub id: TaskId,
    /// What it is.
    pub request: TaskRequest,
    /// Since when.
    pub started: Timestamp,
    /// Whether somebody took it, and only its token's completion is waited for.
    #[serde(default)]
    pub accepted: bool,
}

/// What of [`Tasks`] a snapshot holds.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct SavedTasks {
    ready: BTreeMap<TaskNumber, TaskRequest>,
    running: BTreeMap<TaskNumber, RunningTask>,
    timers: BTreeMap<TimerNumber, Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Tasks {
    saved: SavedTasks,
    due: BTreeSet<(Timestamp, Due)>,
}

impl Tasks {
    pub(super) fn restore(saved: SavedTasks) -> Self {
        let mut tasks = Self {
            saved,
            ..Self::default()
        };
        let timers = tasks.saved.timers.iter();
        tasks.due = timers
            .map(|(timer, at)| (*at, Due::Timer(*timer)))
            .collect();
        let running: Vec<_> = tasks.saved.running.values().cloned().collect();
        running.iter().for_each(|task| tasks.watch(task));
        tasks
    }

    pub(super) fn save(&self) -> SavedTasks {
        self.saved.clone()
    }

    pub(super) fn ready(&self) -> impl Iterator<Item = &TaskRequest> {
        self.saved.ready.values()
    }

    pub(super) fn ready_task(&self, task: TaskNumber) -> Option<&TaskRequest> {
        self.saved.ready.get(&task)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &RunningTask> {
        self.saved.running.values()
    }

    pub(super) fn running_task(&self, task: TaskNumber) -> Option<&RunningTask> {
        self.saved.running.get(&task)
    }

    pub(super) fn make_ready(&mut self, request: TaskRequest) {
        self.saved.ready.insert(request.task, request);
    }

    pub(super) fn start(&mut self, task: TaskNumber, id: TaskId, at: Timestamp) {
        let Some(request) = self.saved.ready.remove(&task) else {
            return;
        };
        let running = RunningTask {
            id,
            request,
            started: at,
            accepted: false,
        };
        self.watch(&running);
        self.saved.running.insert(task, running);
    }

    /// A task that the engine waits for has its deadline here; a function's call has its own.
    fn watch(&mut self, task: &RunningTask) {
        if let Some(at) = timeout(task) {
            self.due.insert((at, Due::Timeout(task.request.task)));
        }
    }

    /// Somebody took the task.
    pub(super) fn accepted(&mut self, task: TaskNumber) {
        if let Some(task) = self.saved.running.get_mut(&task) {
            task.accepted = true;
        }
    }

    pub(super) fn end(&mut self, task: TaskNumber) {
        let ended = self.saved.running.remove(&task);
        if let Some(at) = ended.as_ref().and_then(timeout) {
            self.due.remove(&(at, Due::Timeout(task)));
        }
    }

    /// Whether it waited or ran.
    pub(super) fn withdraw(&mut self, task: TaskNumber) -> bool {
        let waited = self.saved.ready.remove(&task).is_some();
        let ran = self.saved.running.contains_key(&task);
        self.end(task);
        waited || ran
    }

    pub(super) fn has_timer(&self, timer: TimerNumber) -> bool {
        self.saved.timers.contains_key(&timer)
    }

    pub(super) fn set_timer(&mut self, timer: TimerNumber, at: Timestamp) {
        self.clear_timer(timer);
        self.saved.timers.insert(timer, at);
        self.due.insert((at, Due::Timer(timer)));
    }

    pub(super) fn clear_timer(&mut self, timer: TimerNumber) {
        if let Some(at) = self.saved.timers.remove(&timer) {
            self.due.remove(&(at, Due::Timer(timer)));
        }
    }

    /// Forgets everything; answers the tasks that waited or ran.
    pub(super) fn clear(&mut self) -> Vec<TaskNumber> {
        let left = std::mem::take(self).saved;
        left.ready
            .into_keys()
            .chain(left.running.into_keys())
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        let saved = &self.saved;
        saved.ready.is_empty() && saved.running.is_empty() && saved.timers.is_empty()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, wall: Timestamp) -> Vec<Due> {
        let due = self.due.iter().take_while(|(at, _)| *at <= wall);
        due.map(|(_, due)| *due).collect()
    }
}

fn timeout(task: &RunningTask) -> Option<Timestamp> {
    let own = task.request.completion() == Completion::Response;
    let timeout = task.request.timeout.filter(|_| !own)?;
    Some(task.started.checked_add(timeout).unwrap_or(Timestamp::MAX))
}
