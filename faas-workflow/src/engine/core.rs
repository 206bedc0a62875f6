//! The engine's core without I/O: executions, the tasks of all of them, and the scheduler. A live
//! loop drives it, and so does a property test.

mod execution;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::policy::SeededRandom;
use faas_core::{Error, ExecutionId, IdSource, Monotonic, Result, TaskId};
use jiff::Timestamp;

use crate::execution_store::mailbox::LetterId;
use crate::execution_store::{EngineEvent, ExecutionHead};
use crate::program::{
    Beginning, Completion, Data, DefinitionDigest, Program, TaskNumber, TaskRequest,
};
use crate::scheduler::{ReadyTask, SchedulerChange, WorkflowScheduler};

pub use execution::{Change, Due, ExecutionCore, RunningTask};
pub use turn::{Launch, Moment, Step, Turn};

/// How many definitions are remembered as told of.
const ANNOUNCED: usize = 4096;

#[derive(Debug)]
struct Owned {
    core: ExecutionCore,
    ids: BTreeMap<TaskNumber, TaskId>,
    cancels: Vec<TaskNumber>,
    launches: Vec<Launch>,
    successor: Option<ExecutionId>,
}

struct Task {
    execution: ExecutionId,
    number: TaskNumber,
    started: Option<Monotonic>,
    /// Whether it takes a place among the tasks that run, once it does.
    counts: bool,
    cold: Option<Duration>,
}

/// All executions of one engine.
pub struct EngineCore {
    executions: HashMap<ExecutionId, Owned>,
    tasks: HashMap<TaskId, Task>,
    dirty: BTreeSet<ExecutionId>,
    due: BTreeSet<(Timestamp, ExecutionId)>,
    running: usize,
    limit: usize,
    scheduler: Box<dyn WorkflowScheduler>,
    random: SeededRandom,
    ids: IdSource,
    announced: HashSet<DefinitionDigest>,
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
        random: SeededRandom,
        ids: IdSource,
        limit: usize,
    ) -> Self {
        Self {
            executions: HashMap::new(),
            tasks: HashMap::new(),
            dirty: BTreeSet::new(),
            due: BTreeSet::new(),
            running: 0,
            limit,
            scheduler,
            random,
            ids,
            announced: HashSet::new(),
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

    /// How many tasks run, but for those that others than functions end.
    pub fn running(&self) -> usize {
        self.running
    }

    /// The execution, if it is here.
    pub fn execution(&self, id: ExecutionId) -> Option<&ExecutionCore> {
        self.executions.get(&id).map(|owned| &owned.core)
    }

    /// Whether something of it is not yet packed.
    pub fn is_dirty(&self, id: ExecutionId) -> bool {
        self.dirty.contains(&id)
    }

    /// Draws 64 bits, to be recorded with an event.
    pub fn entropy(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// Begins an execution.
    ///
    /// # Errors
    /// The program's own.
    pub fn begin(
        &mut self,
        head: ExecutionHead,
        program: Arc<dyn Program>,
        input: Data,
        now: Monotonic,
    ) -> Result<()> {
        let id = head.id;
        let beginning = Beginning::of(&head, self.entropy(), input);
        let at = beginning.at;
        let (core, changes) = ExecutionCore::begin(head, program, beginning)?;
        self.insert(core, now);
        changes
            .into_iter()
            .try_for_each(|change| self.changed(id, change, now, at))
    }

    /// Tells the scheduler of a definition that it has not heard of.
    fn announce(&mut self, core: &ExecutionCore) {
        let digest = &core.head().digest;
        if self.announced.contains(digest) {
            return;
        }
        let Some(diagram) = core.program().diagram() else {
            return;
        };
        if self.announced.len() >= ANNOUNCED {
            // The scheduler hears of some of them again, which does no harm.
            self.announced.clear();
        }
        self.announced.insert(digest.clone());
        self.scheduler.observe(SchedulerChange::Workflow {
            digest: digest.clone(),
            outline: Arc::new(diagram.outline()),
        });
    }

    /// Takes an execution in; tasks that ran before are launched again with its next append.
    pub fn insert(&mut self, core: ExecutionCore, now: Monotonic) {
        let id = core.head().id;
        self.announce(&core);
        let ready: Vec<_> = core.ready().cloned().collect();
        let running: Vec<_> = core.running().cloned().collect();
        if let Some(at) = core.next_due() {
            self.due.insert((at, id));
        }
        let owned = Owned {
            core,
            ids: BTreeMap::new(),
            cancels: Vec::new(),
            launches: Vec::new(),
            successor: None,
        };
        self.executions.insert(id, owned);
        self.dirty.insert(id);
        for task in running {
            self.resume(id, task, now);
        }
        for request in ready {
            self.ready(id, &request, now);
        }
    }

    fn resume(&mut self, execution: ExecutionId, task: RunningTask, now: Monotonic) {
        let Some(owned) = self.executions.get_mut(&execution) else {
            return;
        };
        let RunningTask {
            id,
            request,
            accepted,
            ..
        } = task;
        owned.ids.insert(request.task, id);
        let ready = ready_task(&owned.core, id, &request, now);
        let task = Task {
            execution,
            number: request.task,
            started: Some(now),
            counts: request.takes_place() && !accepted,
            cold: None,
        };
        // Whoever has taken it has its token; but of a job's end the engine must learn again.
        let by_token = matches!(
            request.completion(),
            Completion::Callback | Completion::Worker
        );
        let waits = accepted && by_token;
        if !waits {
            owned.launches.push(Launch {
                execution,
                id,
                request,
                reasons: Vec::new(),
            });
        }
        self.running += usize::from(task.counts);
        self.tasks.insert(id, task);
        self.scheduler.observe(SchedulerChange::Started(ready));
    }

    fn ready(&mut self, execution: ExecutionId, request: &TaskRequest, now: Monotonic) {
        let Some(owned) = self.executions.get_mut(&execution) else {
            return;
        };
        let id: TaskId = self.ids.next();
        owned.ids.insert(request.task, id);
        let ready = ready_task(&owned.core, id, request, now);
        let task = Task {
            execution,
            number: request.task,
            started: None,
            counts: request.takes_place(),
            cold: None,
        };
        self.tasks.insert(id, task);
        self.scheduler.observe(SchedulerChange::Ready(ready));
    }

    /// Lets go of an execution that another engine has, or that must be loaded again, and of the
    /// one that it continues as, if that is not stored yet; answers the tasks whose futures are to
    /// be dropped.
    pub fn remove(&mut self, id: ExecutionId) -> Vec<TaskNumber> {
        let Some(owned) = self.executions.remove(&id) else {
            return Vec::new();
        };
        self.dirty.remove(&id);
        if let Some(at) = owned.core.next_due() {
            self.due.remove(&(at, id));
        }
        let numbers: Vec<_> = owned.ids.keys().copied().collect();
        for task in owned.ids.into_values() {
            self.withdraw(task);
        }
        if let Some(successor) = owned.successor {
            self.remove(successor);
        }
        self.scheduler.observe(SchedulerChange::Closed(id));
        numbers
    }

    fn withdraw(&mut self, task: TaskId) {
        if let Some(task) = self.tasks.remove(&task) {
            self.running -= usize::from(task.counts && task.started.is_some());
        }
        self.scheduler.observe(SchedulerChange::Withdrawn(task));
    }

    /// An event of an execution; one that comes too late changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an execution that is not here; the program's own.
    pub fn apply(&mut self, id: ExecutionId, event: EngineEvent, now: Monotonic) -> Result<()> {
        let at = match &event {
            EngineEvent::Began(beginning) => beginning.at,
            EngineEvent::Program(event) => event.at,
            EngineEvent::Started { at, .. } | EngineEvent::Adopted { at } => *at,
        };
        let (ended, accepted) = (ended_task(&event), accepted_task(&event));
        let owned = self.owned(id)?;
        let ended = ended.filter(|(task, _)| owned.core.is_running(*task));
        let due = owned.core.next_due();
        let changes = owned.core.apply(event)?;
        let next = owned.core.next_due();
        self.due_again(id, due, next);
        self.dirty.insert(id);
        if let Some((number, succeeded)) = ended {
            self.ended(id, number, succeeded, now);
        }
        if let Some(number) = accepted {
            self.accepted(id, number);
        }
        changes
            .into_iter()
            .try_for_each(|change| self.changed(id, change, now, at))
    }

    /// What was applied to an execution last came by this letter.
    ///
    /// # Errors
    /// `NotFound` for an execution that is not here.
    pub fn took(&mut self, id: ExecutionId, letter: LetterId) -> Result<()> {
        self.owned(id)?.core.took(letter);
        Ok(())
    }

    fn owned(&mut self, id: ExecutionId) -> Result<&mut Owned> {
        self.executions.get_mut(&id).ok_or_else(|| {
            let message = format!("execution {id} is not open here");
            Error::not_found("step execution", message)
        })
    }

    fn due_again(&mut self, id: ExecutionId, before: Option<Timestamp>, now: Option<Timestamp>) {
        if before != now {
            before.map(|at| self.due.remove(&(at, id)));
            now.map(|at| self.due.insert((at, id)));
        }
    }

    /// Who runs the task has taken it over: it takes no place any more.
    fn accepted(&mut self, id: ExecutionId, number: TaskNumber) {
        let owned = self.executions.get(&id);
        let task = owned.and_then(|owned| owned.ids.get(&number));
        if let Some(task) = task.and_then(|task| self.tasks.get_mut(task)) {
            self.running -= usize::from(std::mem::take(&mut task.counts));
        }
    }

    /// How long the start of an instance took that is part of a task's time; to be told before the
    /// task's end.
    pub fn cold(&mut self, id: ExecutionId, number: TaskNumber, cold: Duration) {
        let owned = self.executions.get(&id);
        let task = owned.and_then(|owned| owned.ids.get(&number));
        if let Some(task) = task.and_then(|task| self.tasks.get_mut(task)) {
            task.cold = Some(cold);
        }
    }

    fn ended(&mut self, id: ExecutionId, number: TaskNumber, succeeded: bool, now: Monotonic) {
        let ids = self.executions.get_mut(&id).map(|owned| &mut owned.ids);
        let Some(task) = ids.and_then(|ids| ids.remove(&number)) else {
            return;
        };
        let ended = self.tasks.remove(&task);
        let cold = ended.as_ref().and_then(|task| task.cold);
        let started = ended.as_ref().and_then(|task| task.started);
        let counts = ended.is_some_and(|task| task.counts);
        self.running -= usize::from(counts && started.is_some());
        let took = started.map_or(Duration::ZERO, |started| now.since(started));
        self.scheduler.observe(SchedulerChange::Ended {
            task,
            took,
            succeeded,
            cold,
        });
    }

    fn changed(
        &mut self,
        id: ExecutionId,
        change: Change,
        now: Monotonic,
        at: Timestamp,
    ) -> Result<()> {
        match change {
            Change::Ready(request) => self.ready(id, &request, now),
            Change::Withdrawn(number) => self.withdrawn(id, number),
            Change::Continues(input) => return self.continues(id, input, now, at),
        }
        Ok(())
    }

    fn withdrawn(&mut self, id: ExecutionId, number: TaskNumber) {
        let Some(owned) = self.executions.get_mut(&id) else {
            return;
        };
        owned.cancels.push(number);
        let launches = &mut owned.launches;
        launches.retain(|launch| launch.request.task != number);
        if let Some(task) = owned.ids.remove(&number) {
            self.withdraw(task);
        }
    }

    /// Begins the execution that this one goes on as; both are stored by one append.
    fn continues(
        &mut self,
        id: ExecutionId,
        input: Data,
        now: Monotonic,
        at: Timestamp,
    ) -> Result<()> {
        let successor: ExecutionId = self.ids.next();
        let owned = self.owned(id)?;
        owned.core.continued(successor);
        owned.successor = Some(successor);
        let program = owned.core.program().clone();
        let head = owned.core.head().continued_as(successor, at);
        self.begin(head, program, input, now)
    }

    /// The executions of which something is due.
    pub fn due(&self, wall: Timestamp) -> Vec<ExecutionId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= wall);
        due.map(|(_, id)| *id).collect()
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}

fn accepted_task(event: &EngineEvent) -> Option<TaskNumber> {
    use crate::program::EventKind::{TaskStarted, TaskSubmitted};
    match event {
        EngineEvent::Program(event) => match &event.kind {
            TaskStarted { task, .. } | TaskSubmitted { task, .. } => Some(*task),
            _ => None,
        },
        _ => None,
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
        digest: core.head().digest.clone(),
        label: request.label.clone(),
        target: request.target.clone(),
        priority: request.priority,
        since: now,
    }
}
