//! The engine's core without I/O: executions, the tasks of all of them, and the scheduler. A live
//! loop drives it, and so does a property test.

mod execution;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use faas_core::explain::Reason;
use faas_core::{ExecutionId, IdSource, Monotonic, Result, TaskId};
use jiff::Timestamp;

use crate::execution_store::model::EngineEvent;
use crate::execution_store::{Append, Epoch};
use crate::program::{TaskNumber, TaskRequest};
use crate::scheduler::{
    Prewarm, Random, ReadyTask, SchedulerChange, SchedulerContext, WorkflowScheduler,
};

pub use execution::{Change, ExecutionCore};

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

#[derive(Debug)]
struct Owned {
    core: ExecutionCore,
    ids: BTreeMap<TaskNumber, TaskId>,
    cancels: Vec<TaskNumber>,
    launches: Vec<Launch>,
}

struct Task {
    execution: ExecutionId,
    number: TaskNumber,
    started: Option<Monotonic>,
}

/// All executions of one engine.
pub struct EngineCore {
    executions: HashMap<ExecutionId, Owned>,
    tasks: HashMap<TaskId, Task>,
    dirty: BTreeSet<ExecutionId>,
    timers: BTreeSet<(Timestamp, ExecutionId)>,
    running: usize,
    limit: usize,
    scheduler: Box<dyn WorkflowScheduler>,
    random: Random,
    ids: IdSource,
}

impl fmt::Debug for EngineCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineCore")
            .field("executions", &self.executions.len())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

impl EngineCore {
    /// Without executions; at most `limit` tasks run at once.
    pub fn new(
        scheduler: Box<dyn WorkflowScheduler>,
        random: Random,
        ids: IdSource,
        limit: usize,
    ) -> Self {
        Self {
            executions: HashMap::new(),
            tasks: HashMap::new(),
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            running: 0,
            limit,
            scheduler,
            random,
            ids,
        }
    }

    /// How many executions it has.
    pub fn len(&self) -> usize {
        self.executions.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.executions.is_empty()
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// The execution, if it is here.
    pub fn execution(&self, id: ExecutionId) -> Option<&ExecutionCore> {
        self.executions.get(&id).map(|owned| &owned.core)
    }

    /// Draws 64 bits, to be recorded with an event.
    pub fn entropy(&mut self) -> u64 {
        self.random.next()
    }

    /// Takes an execution in; tasks that ran before are launched again with its next append.
    pub fn insert(&mut self, core: ExecutionCore, now: Monotonic) {
        let id = core.head().id;
        let ready: Vec<_> = core.ready().cloned().collect();
        let running: Vec<_> = core.running().map(|(t, r)| (t, r.clone())).collect();
        if let Some(at) = core.next_timer() {
            self.timers.insert((at, id));
        }
        let owned = Owned {
            core,
            ids: BTreeMap::new(),
            cancels: Vec::new(),
            launches: Vec::new(),
        };
        self.executions.insert(id, owned);
        self.dirty.insert(id);
        for (task, request) in running {
            self.resume(id, task, request, now);
        }
        for request in ready {
            self.ready(id, &request, now);
        }
    }

    fn resume(&mut self, execution: ExecutionId, id: TaskId, request: TaskRequest, now: Monotonic) {
        let Some(owned) = self.executions.get_mut(&execution) else {
            return;
        };
        owned.ids.insert(request.task, id);
        let ready = ready_task(&owned.core, id, &request, now);
        let number = request.task;
        owned.launches.push(Launch {
            execution,
            id,
            request,
            reasons: Vec::new(),
        });
        let started = Some(now);
        self.tasks.insert(
            id,
            Task {
                execution,
                number,
                started,
            },
        );
        self.running += 1;
        self.scheduler.observe(SchedulerChange::Started(ready));
    }

    fn ready(&mut self, execution: ExecutionId, request: &TaskRequest, now: Monotonic) {
        let Some(owned) = self.executions.get_mut(&execution) else {
            return;
        };
        let id: TaskId = self.ids.next();
        owned.ids.insert(request.task, id);
        let ready = ready_task(&owned.core, id, request, now);
        let number = request.task;
        self.tasks.insert(
            id,
            Task {
                execution,
                number,
                started: None,
            },
        );
        self.scheduler.observe(SchedulerChange::Ready(ready));
    }

    /// Lets go of an execution that another engine has, or that must be loaded again; answers the
    /// tasks whose futures are to be dropped.
    pub fn remove(&mut self, id: ExecutionId) -> Vec<TaskNumber> {
        let Some(owned) = self.executions.remove(&id) else {
            return Vec::new();
        };
        self.dirty.remove(&id);
        self.timers.retain(|(_, execution)| *execution != id);
        let numbers: Vec<_> = owned.ids.keys().copied().collect();
        for task in owned.ids.into_values() {
            self.withdraw(task);
        }
        numbers
    }

    fn withdraw(&mut self, task: TaskId) {
        if let Some(task) = self.tasks.remove(&task) {
            self.running -= usize::from(task.started.is_some());
        }
        self.scheduler.observe(SchedulerChange::Withdrawn(task));
    }

    /// An event of an execution; one that comes too late changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an execution that is not here; the program's own.
    pub fn apply(&mut self, id: ExecutionId, event: EngineEvent, now: Monotonic) -> Result<()> {
        let Some(owned) = self.executions.get_mut(&id) else {
            let message = format!("execution {id} is not open here");
            return Err(faas_core::Error::not_found("step execution", message));
        };
        let timer = owned.core.next_timer();
        let ended = ended_task(&event).filter(|(task, _)| owned.core.is_running(*task));
        let changes = owned.core.apply(event)?;
        let next = owned.core.next_timer();
        if timer != next {
            timer.map(|at| self.timers.remove(&(at, id)));
            next.map(|at| self.timers.insert((at, id)));
        }
        self.dirty.insert(id);
        if let Some((number, succeeded)) = ended {
            self.ended(id, number, succeeded, now);
        }
        for change in changes {
            self.changed(id, change, now);
        }
        Ok(())
    }

    fn ended(&mut self, id: ExecutionId, number: TaskNumber, succeeded: bool, now: Monotonic) {
        let ids = self.executions.get_mut(&id).map(|owned| &mut owned.ids);
        let Some(task) = ids.and_then(|ids| ids.remove(&number)) else {
            return;
        };
        let started = self.tasks.remove(&task).and_then(|task| task.started);
        self.running -= usize::from(started.is_some());
        let took = started.map_or(Duration::ZERO, |started| now.since(started));
        self.scheduler.observe(SchedulerChange::Ended {
            task,
            took,
            succeeded,
        });
    }

    fn changed(&mut self, id: ExecutionId, change: Change, now: Monotonic) {
        match change {
            Change::Ready(request) => self.ready(id, &request, now),
            Change::Withdrawn(number) => {
                let Some(owned) = self.executions.get_mut(&id) else {
                    return;
                };
                owned.cancels.push(number);
                owned
                    .launches
                    .retain(|launch| launch.request.task != number);
                if let Some(task) = owned.ids.remove(&number) {
                    self.withdraw(task);
                }
            }
        }
    }

    /// The executions one of whose timers is due.
    pub fn due(&self, wall: Timestamp) -> Vec<ExecutionId> {
        let due = self.timers.iter().take_while(|(at, _)| *at <= wall);
        due.map(|(_, id)| *id).collect()
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Ends a turn: the scheduler decides, and what changed is packed, one append an execution.
    pub fn turn(&mut self, moment: Moment, epoch: Epoch, admit: bool) -> Turn {
        let mut turn = Turn::default();
        if admit {
            self.schedule(moment, &mut turn);
        }
        for id in std::mem::take(&mut self.dirty) {
            let Some(owned) = self.executions.get_mut(&id) else {
                continue;
            };
            let Some(append) = owned.core.take_append(epoch, moment.wall) else {
                continue;
            };
            turn.steps.push(Step {
                append,
                launches: std::mem::take(&mut owned.launches),
                cancels: std::mem::take(&mut owned.cancels),
            });
            if owned.core.head().ending.is_some() {
                self.remove(id);
            }
        }
        turn
    }

    fn schedule(&mut self, moment: Moment, turn: &mut Turn) {
        let free = self.limit.saturating_sub(self.running);
        let random = Random::new(self.random.next());
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
        let Some(task) = self
            .tasks
            .get_mut(&id)
            .filter(|task| task.started.is_none())
        else {
            tracing::warn!(task = %id, "the scheduler started a task that is not ready");
            return;
        };
        let Some(owned) = self.executions.get_mut(&task.execution) else {
            return;
        };
        let Some(request) = owned.core.start(task.number, id, moment.wall) else {
            return;
        };
        task.started = Some(moment.now);
        self.running += 1;
        let ready = ready_task(&owned.core, id, &request, moment.now);
        owned.launches.push(Launch {
            execution: task.execution,
            id,
            request,
            reasons,
        });
        self.dirty.insert(task.execution);
        self.scheduler.observe(SchedulerChange::Started(ready));
    }
}

fn ended_task(event: &EngineEvent) -> Option<(TaskNumber, bool)> {
    use crate::program::EventKind::TaskEnded;
    match event {
        EngineEvent::Program(event) => match &event.kind {
            TaskEnded { task, result } => Some((*task, result.is_ok())),
            _ => None,
        },
        _ => None,
    }
}

fn ready_task(
    core: &ExecutionCore,
    id: TaskId,
    request: &TaskRequest,
    now: Monotonic,
) -> ReadyTask {
    let workflow = &core.head().workflow;
    ReadyTask {
        id,
        execution: core.head().id,
        namespace: workflow.namespace.clone(),
        workflow: workflow.name.clone(),
        label: request.label.clone(),
        target: request.target.clone(),
        since: now,
    }
}
