//! [`ExecutionCore`]: one execution without I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::{Error, Result, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::execution_store::model::EngineEvent;
use crate::execution_store::{Append, Epoch, ExecutionHead, StoredExecution};
use crate::history::HistoryRecord;
use crate::program::{
    Beginning, Command, EventKind, Program, ProgramEvent, ProgramState, TaskNumber, TaskRequest,
    TimerNumber, Transition,
};

/// A snapshot is made after at least so many events, and when as many bytes of events as the last
/// snapshot had would be replayed, about.
const SNAPSHOT_EVENTS: usize = 256;

/// What an event changed for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A task may run.
    Ready(TaskRequest),
    /// A task that waited or ran is no longer wanted.
    Withdrawn(TaskNumber),
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
    /// The timer that the store knows.
    stored_timer: Option<(TimerNumber, Timestamp)>,
    since_snapshot: usize,
    snapshot_after: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Tasks {
    ready: BTreeMap<TaskNumber, TaskRequest>,
    running: BTreeMap<TaskNumber, (TaskId, TaskRequest)>,
    timers: BTreeMap<TimerNumber, Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    program: Content,
    tasks: Tasks,
}

impl Stored for Snapshot {
    const KIND: &'static str = "engine-snapshot";
    const VERSION: u32 = 1;
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
            stored_timer: None,
            since_snapshot: 0,
            snapshot_after: SNAPSHOT_EVENTS,
        }
    }

    /// A new execution.
    ///
    /// # Errors
    /// The program's own.
    pub fn begin(
        head: ExecutionHead,
        program: Arc<dyn Program>,
        beginning: Beginning,
    ) -> Result<Self> {
        let mut core = Self::empty(head, program);
        core.apply(EngineEvent::Began(beginning))?;
        Ok(core)
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
        if let Some(bytes) = stored.snapshot {
            let snapshot: Snapshot = encoding::decode(&bytes)?;
            core.state = Some(core.program.restore(&Bytes::from(snapshot.program))?);
            core.tasks = snapshot.tasks;
        }
        for event in stored.events {
            core.apply(event)?;
        }
        core.since_snapshot = core.events.len();
        core.events.clear();
        core.records.clear();
        core.stored_timer = core.first_timer();
        Ok(core)
    }

    /// As it stands, with what is not yet stored.
    pub fn head(&self) -> &ExecutionHead {
        &self.head
    }

    /// The tasks that may run.
    pub fn ready(&self) -> impl Iterator<Item = &TaskRequest> {
        self.tasks.ready.values()
    }

    /// The tasks that run.
    pub fn running(&self) -> impl Iterator<Item = (TaskId, &TaskRequest)> {
        self.tasks
            .running
            .values()
            .map(|(id, request)| (*id, request))
    }

    /// Whether that task runs.
    pub fn is_running(&self, task: TaskNumber) -> bool {
        self.tasks.running.contains_key(&task)
    }

    /// When its next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.first_timer().map(|(_, at)| at)
    }

    /// Its timers that are due.
    pub fn due(&self, wall: Timestamp) -> Vec<TimerNumber> {
        let due = self.tasks.timers.iter().filter(|(_, at)| **at <= wall);
        due.map(|(timer, _)| *timer).collect()
    }

    fn first_timer(&self) -> Option<(TimerNumber, Timestamp)> {
        let timers = self.tasks.timers.iter().map(|(timer, at)| (*timer, *at));
        timers.min_by_key(|(timer, at)| (*at, *timer))
    }

    /// Everything that replay must give again, as bytes: equal histories give equal bytes.
    ///
    /// # Errors
    /// The program's own.
    pub fn save(&self) -> Result<Bytes> {
        let missing = || Error::internal("save execution", "it has not begun");
        let state = self.state.as_ref().ok_or_else(missing)?;
        let program = Content::from(&self.program.save(state)?);
        let tasks = Tasks {
            ready: self.tasks.ready.clone(),
            running: self.tasks.running.clone(),
            timers: self.tasks.timers.clone(),
        };
        encoding::encode(&Snapshot { program, tasks })
    }

    /// Takes an event; one that comes too late changes nothing and is not stored.
    ///
    /// # Errors
    /// The program's own.
    pub fn apply(&mut self, event: EngineEvent) -> Result<Vec<Change>> {
        let transition = match &event {
            EngineEvent::Began(beginning) => self.program.begin(beginning.clone())?,
            EngineEvent::Program(program) => {
                if !self.expects(program) {
                    return Ok(Vec::new());
                }
                self.step(program.clone())?
            }
            EngineEvent::Started { task, id, .. } => {
                if let Some(request) = self.tasks.ready.remove(task) {
                    self.tasks.running.insert(*task, (*id, request));
                }
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
            EventKind::TaskEnded { task, .. } => drop(self.tasks.running.remove(task)),
            EventKind::TimerFired { timer } => drop(self.tasks.timers.remove(timer)),
            _ => {}
        }
        let missing = || Error::internal("step execution", "it has not begun");
        let state = self.state.take().ok_or_else(missing)?;
        self.program.step(state, event)
    }

    fn expects(&self, event: &ProgramEvent) -> bool {
        let waited_for = match &event.kind {
            EventKind::TaskEnded { task, .. }
            | EventKind::TaskStarted { task, .. }
            | EventKind::TaskSubmitted { task, .. }
            | EventKind::TaskHeartbeat { task } => self.is_running(*task),
            EventKind::TimerFired { timer } => self.tasks.timers.contains_key(timer),
            _ => true,
        };
        waited_for && (self.head.ending.is_none())
    }

    fn commands(&mut self, commands: Vec<Command>) -> Vec<Change> {
        let mut changes = Vec::new();
        for command in commands {
            match command {
                Command::RunTask(request) => {
                    self.tasks.ready.insert(request.task, request.clone());
                    changes.push(Change::Ready(request));
                }
                Command::CancelTask(task) => {
                    let waited = self.tasks.ready.remove(&task).is_some();
                    let ran = self.tasks.running.remove(&task).is_some();
                    if waited || ran {
                        changes.push(Change::Withdrawn(task));
                    }
                }
                Command::SetTimer(timer, at) => drop(self.tasks.timers.insert(timer, at)),
                Command::ClearTimer(timer) => drop(self.tasks.timers.remove(&timer)),
                Command::End(ending) => {
                    self.head.ending = Some(ending);
                    let left = std::mem::take(&mut self.tasks);
                    let left = left.ready.into_keys().chain(left.running.into_keys());
                    changes.extend(left.map(Change::Withdrawn));
                }
            }
        }
        changes
    }

    /// Lets a ready task run.
    pub fn start(&mut self, task: TaskNumber, id: TaskId, at: Timestamp) -> Option<TaskRequest> {
        let request = self.tasks.ready.get(&task)?.clone();
        self.apply(EngineEvent::Started { task, id, at }).ok()?;
        Some(request)
    }

    /// What is not yet stored, as one transition; `None` if all is.
    pub fn take_append(&mut self, epoch: Epoch, wall: Timestamp) -> Option<Append> {
        if self.events.is_empty() {
            return None;
        }
        self.head.transition = self.head.transition.next();
        self.head.epoch = epoch;
        self.head.updated = wall;
        self.since_snapshot += self.events.len();
        let events = std::mem::take(&mut self.events);
        let mut append = Append::new(self.head.clone(), events);
        append.records = std::mem::take(&mut self.records);
        let timer = self.first_timer();
        if timer != self.stored_timer {
            append.timers_cleared.extend(self.stored_timer);
            append.timers_set.extend(timer);
            self.stored_timer = timer;
        }
        if self.since_snapshot >= self.snapshot_after && self.head.ending.is_none() {
            append.snapshot = self.snapshot();
        }
        Some(append)
    }

    /// A snapshot, unless the program cannot give one: then replay is longer, and that is all.
    fn snapshot(&mut self) -> Option<Bytes> {
        self.since_snapshot = 0;
        match self.save() {
            Ok(snapshot) => {
                // An event is some hundred bytes: so the cost of snapshots stays in proportion.
                self.snapshot_after = SNAPSHOT_EVENTS.max(snapshot.len() / 128);
                Some(snapshot)
            }
            Err(error) => {
                tracing::warn!(execution = %self.head.id, %error, "no snapshot was made");
                None
            }
        }
    }
}
