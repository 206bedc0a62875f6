//! One turn of the core: the scheduler decides, and what changed is packed.

use std::collections::BTreeSet;

use faas_core::explain::Reason;
use faas_core::policy::SeededRandom;
use faas_core::{ExecutionId, Monotonic, TaskId};
use jiff::Timestamp;

use super::{EngineCore, ready_task};
use crate::execution_store::{Append, Epoch};
use crate::program::{TaskNumber, TaskRequest};
use crate::scheduler::{Prewarm, SchedulerChange, SchedulerContext};

/// A task to call once the append that starts it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// Of which execution.
    pub execution: ExecutionId,
    /// Its id.
    pub id: TaskId,
    /// What to call.
    pub request: TaskRequest,
    /// Why now; none for one that ran before a restart.
    pub reasons: Vec<Reason>,
}

/// What one turn does to one execution: an append, and what follows once it is stored.
#[derive(Debug)]
pub struct Step {
    /// What to store.
    pub append: Append,
    /// What to call then.
    pub launches: Vec<Launch>,
    /// Whose futures to drop then.
    pub cancels: Vec<TaskNumber>,
}

/// What one turn does.
#[derive(Debug, Default)]
pub struct Turn {
    /// One step for each execution that changed.
    pub steps: Vec<Step>,
    /// What to warm up.
    pub prewarms: Vec<Prewarm>,
    /// When the scheduler wants to be asked again.
    pub wake_at: Option<Monotonic>,
}

/// When a turn takes place.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For the scheduler.
    pub now: Monotonic,
    /// For the executions.
    pub wall: Timestamp,
}

impl EngineCore {
    /// Ends a turn: the scheduler decides, and what changed is packed, one append an execution.
    pub fn turn(&mut self, moment: Moment, epoch: Epoch, admit: bool) -> Turn {
        let mut turn = Turn::default();
        if admit {
            self.schedule(moment, &mut turn);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let successors = |id| self.executions.get(id)?.successor;
        let successors: BTreeSet<_> = dirty.iter().filter_map(successors).collect();
        for id in dirty.difference(&successors) {
            turn.steps.extend(self.pack(*id, epoch, moment.wall));
        }
        turn
    }

    fn pack(&mut self, id: ExecutionId, epoch: Epoch, wall: Timestamp) -> Option<Step> {
        let owned = self.executions.get_mut(&id)?;
        let mut step = Step {
            append: owned.core.take_append(epoch, wall)?,
            launches: std::mem::take(&mut owned.launches),
            cancels: std::mem::take(&mut owned.cancels),
        };
        let successor = owned.successor.take();
        if owned.core.head().ending.is_some() {
            self.remove(id);
        }
        if let Some(next) = successor.and_then(|next| self.pack(next, epoch, wall)) {
            step.append.successor = Some(Box::new(next.append));
            step.launches.extend(next.launches);
        }
        Some(step)
    }

    fn schedule(&mut self, moment: Moment, turn: &mut Turn) {
        let free = self.limit.saturating_sub(self.running);
        let random = SeededRandom::new(self.random.next_u64());
        let mut context = SchedulerContext::new(moment.now, random, free);
        let schedule = self.scheduler.decide(&mut context);
        turn.prewarms = schedule.prewarms;
        turn.wake_at = schedule.wake_at;
        for start in schedule.starts.into_iter().take(free) {
            self.start(start.task, start.reasons, moment);
        }
    }

    /// Starts a task, unless the scheduler speaks of one that may not run: then it is ignored.
    fn start(&mut self, id: TaskId, reasons: Vec<Reason>, moment: Moment) {
        let waiting = self.tasks.get_mut(&id);
        let Some(task) = waiting.filter(|task| task.started.is_none()) else {
            tracing::warn!(task = %id, "the scheduler started a task that is not ready");
            return;
        };
        let execution = task.execution;
        let Some(owned) = self.executions.get_mut(&execution) else {
            return;
        };
        let due = owned.core.next_due();
        let Some(request) = owned.core.start(task.number, id, moment.wall) else {
            return;
        };
        task.started = Some(moment.now);
        self.running += usize::from(task.counts);
        let next = owned.core.next_due();
        let ready = ready_task(&owned.core, id, &request, moment.now);
        owned.launches.push(Launch {
            execution,
            id,
            request,
            reasons,
        });
        self.due_again(execution, due, next);
        self.dirty.insert(execution);
        self.scheduler.observe(SchedulerChange::Started(ready));
    }
}
