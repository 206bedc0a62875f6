//! [`ExecutionCore`]: one execution without I/O.

mod pack;
mod tasks;

use std::sync::Arc;

use bytes::Bytes;
use faas_core::encoding;
use faas_core::{Error, Result, TaskId};
use jiff::Timestamp;

use crate::execution_store::mailbox::LetterId;
use crate::execution_store::{EngineEvent, ExecutionHead, Standing, StoredExecution};
use crate::history::HistoryRecord;
use crate::program::{
    Beginning, Command, Data, EventKind, Program, ProgramEvent, ProgramState, Query, TaskNumber,
    TaskRequest, Transition,
};
use pack::Snapshot;
use tasks::Tasks;

pub use tasks::{Due, RunningTask};

/// What an event changed for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A task may run.
    Ready(TaskRequest),
    /// A task that waited or ran is no longer wanted.
    Withdrawn(TaskNumber),
    /// It wants to begin again, as a new execution with this input.
    Continues(Data),
}

/// One execution: the program's state, its tasks and timers, and what is not yet stored of it.
#[derive(Debug)]
pub struct ExecutionCore {
    head: ExecutionHead,
    program: Arc<dyn Program>,
    state: Option<ProgramState>,
    tasks: Tasks,
    events: Vec<EngineEvent>,
    records: Vec<HistoryRecord>,
    letters: Vec<LetterId>,
    /// The due time that the store knows.
    stored_due: Option<Timestamp>,
    /// How it stands in the store.
    stored: Option<Standing>,
    since_snapshot: usize,
    snapshot_after: usize,
}

impl ExecutionCore {
    fn empty(head: ExecutionHead, program: Arc<dyn Program>) -> Self {
        Self {
            head,
            program,
            state: None,
            tasks: Tasks::default(),
            events: Vec::new(),
            records: Vec::new(),
            letters: Vec::new(),
            stored_due: None,
            stored: None,
            since_snapshot: 0,
            snapshot_after: pack::SNAPSHOT_EVENTS,
        }
    }

    /// A new execution; what its first event changed is still to be asked for by
    /// [`ready`](Self::ready).
    ///
    /// # Errors
    /// The program's own.
    pub fn begin(
        head: ExecutionHead,
        program: Arc<dyn Program>,
        beginning: Beginning,
    ) -> Result<(Self, Vec<Change>)> {
        let mut core = Self::empty(head, program);
        let mut changes = core.apply(EngineEvent::Began(beginning))?;
        changes.retain(|change| !matches!(change, Change::Ready(_)));
        Ok((core, changes))
    }

    /// An execution as it was stored.
    ///
    /// # Errors
    /// `Internal` for a program of another definition; those of decoding a snapshot.
    pub fn restore(stored: StoredExecution, program: Arc<dyn Program>) -> Result<Self> {
        if stored.head.digest != program.digest() {
            let message = format!("the program is not the one of execution {}", stored.head.id);
            return Err(Error::internal("restore execution", message));
        }
        let mut core = Self::empty(stored.head, program);
        let head = core.head.clone();
        core.head.ending = None;
        if let Some(bytes) = stored.snapshot {
            let snapshot: Snapshot = encoding::decode(&bytes)?;
            core.state = Some(core.program.restore(&Bytes::from(snapshot.program))?);
            core.tasks = Tasks::restore(snapshot.tasks);
        }
        for event in stored.events {
            core.apply(event)?;
        }
        core.head = head;
        core.since_snapshot = core.events.len();
        core.events.clear();
        core.records.clear();
        core.stored_due = core.tasks.next_due();
        core.stored = Some(core.head.standing());
        Ok(core)
    }

    /// As it stands, with what is not yet stored.
    pub fn head(&self) -> &ExecutionHead {
        &self.head
    }

    /// What it runs.
    pub fn program(&self) -> &Arc<dyn Program> {
        &self.program
    }

    /// The program's state, unless it has not begun.
    pub fn state(&self) -> Option<&ProgramState> {
        self.state.as_ref()
    }

    /// What its program answers to a question.
    ///
    /// # Errors
    /// `Unsupported` for a program that answers none; the program's own.
    pub fn answer(&self, query: &Query) -> Result<Data> {
        let message = "its program answers no questions";
        let none = || Error::unsupported("query execution", message);
        let queries = self.program.queries().ok_or_else(none)?;
        let missing = || Error::internal("query execution", "it has not begun");
        queries.answer(self.state.as_ref().ok_or_else(missing)?, query)
    }

    /// The tasks that may run.
    pub fn ready(&self) -> impl Iterator<Item = &TaskRequest> {
        self.tasks.ready()
    }

    /// The tasks that run.
    pub fn running(&self) -> impl Iterator<Item = &RunningTask> {
        self.tasks.running()
    }

    /// That task, if it runs.
    pub fn running_task(&self, task: TaskNumber) -> Option<&RunningTask> {
        self.tasks.running_task(task)
    }

    /// Whether that task runs.
    pub fn is_running(&self, task: TaskNumber) -> bool {
        self.tasks.running_task(task).is_some()
    }

    /// Whether it waits for anything that the engine knows of: a task, or a timer.
    pub fn waits(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// When something of it is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.tasks.next_due()
    }

    /// What of it is due.
    pub fn due(&self, wall: Timestamp) -> Vec<Due> {
        self.tasks.due(wall)
    }

    /// Takes an event; one that comes too late changes nothing and is not stored.
    ///
    /// # Errors
    /// The program's own.
    pub fn apply(&mut self, event: EngineEvent) -> Result<Vec<Change>> {
        let transition = match &event {
            EngineEvent::Began(beginning) => caught(|| self.program.begin(beginning.clone()))?,
            EngineEvent::Program(program) => {
                if !self.expects(program) {
                    return Ok(Vec::new());
                }
                self.step(program.clone())?
            }
            EngineEvent::Started { task, id, at } => {
                self.tasks.start(*task, *id, *at);
                self.events.push(event);
                return Ok(Vec::new());
            }
            EngineEvent::Adopted { .. } => {
                self.events.push(event);
                return Ok(Vec::new());
            }
        };
        self.events.push(event);
        self.state = Some(transition.state);
        self.records.extend(transition.records);
        Ok(self.commands(transition.commands))
    }

    fn step(&mut self, event: ProgramEvent) -> Result<Transition> {
        match &event.kind {
            EventKind::TaskEnded { task, .. } => self.tasks.end(*task),
            EventKind::TaskStarted { task, .. } | EventKind::TaskSubmitted { task, .. } => {
                self.tasks.accepted(*task);
            }
            EventKind::TimerFired { timer } => self.tasks.clear_timer(*timer),
            EventKind::Redriven => {
                self.head.ending = None;
                self.head.redrives += 1;
            }
            _ => {}
        }
        let missing = || Error::internal("step execution", "it has not begun");
        let state = self.state.take().ok_or_else(missing)?;
        caught(|| self.program.step(state, event))
    }

    fn expects(&self, event: &ProgramEvent) -> bool {
        let ended = self.head.ending.is_some();
        match &event.kind {
            EventKind::TaskEnded { task, .. } | EventKind::TaskHeartbeat { task } => {
                !ended && self.is_running(*task)
            }
            EventKind::TaskStarted { task, .. } | EventKind::TaskSubmitted { task, .. } => {
                !ended && self.running_task(*task).is_some_and(|task| !task.accepted)
            }
            EventKind::TimerFired { timer } => !ended && self.tasks.has_timer(*timer),
            // On replay the ending of the time before is not known any more, and need not be.
            EventKind::Redriven => true,
            _ => !ended,
        }
    }

    fn commands(&mut self, commands: Vec<Command>) -> Vec<Change> {
        let mut changes = Vec::new();
        for command in commands {
            match command {
                Command::RunTask(request) => {
                    self.tasks.make_ready(request.clone());
                    changes.push(Change::Ready(request));
                }
                Command::CancelTask(task) => {
                    if self.tasks.withdraw(task) {
                        changes.push(Change::Withdrawn(task));
                    }
                }
                Command::SetTimer(timer, at) => self.tasks.set_timer(timer, at),
                Command::ClearTimer(timer) => self.tasks.clear_timer(timer),
                Command::End(ending) => {
                    self.head.ending = Some(ending);
                    changes.extend(self.tasks.clear().into_iter().map(Change::Withdrawn));
                }
                Command::ContinueAsNew(input) => {
                    changes.extend(self.tasks.clear().into_iter().map(Change::Withdrawn));
                    changes.push(Change::Continues(input));
                }
            }
        }
        changes
    }

    /// Lets a ready task run.
    pub fn start(&mut self, task: TaskNumber, id: TaskId, at: Timestamp) -> Option<TaskRequest> {
        let request = self.tasks.ready_task(task)?.clone();
        self.apply(EngineEvent::Started { task, id, at }).ok()?;
        Some(request)
    }

    /// What was applied last came by this letter.
    pub fn took(&mut self, letter: LetterId) {
        self.letters.push(letter);
    }

    /// It goes on as that execution.
    pub(super) fn continued(&mut self, successor: faas_core::ExecutionId) {
        self.head.ending = Some(crate::program::Ending::Continued(successor));
    }
}

/// A program that panics is a defect of its language, and must not end the engine.
fn caught(step: impl FnOnce() -> Result<Transition>) -> Result<Transition> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
    caught.unwrap_or_else(|_| Err(Error::internal("step execution", "its program panicked")))
}
