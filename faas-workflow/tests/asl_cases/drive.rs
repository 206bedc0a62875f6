//! Runs a program under a virtual clock: time goes where the next thing happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_workflow::program::{
    Beginning, Command, EventKind, ExecutionIdentity, Program, ProgramEvent, TaskNumber,
    TaskRequest,
};
use faas_workflow::{Ending, HistoryRecord};
use jiff::Timestamp;
use serde_json::Value;

/// Whatever answers tasks: the one place where a program meets the world.
pub(crate) trait Target {
    /// What happens to a task, and how long after it was asked for.
    fn call(&mut self, request: &TaskRequest) -> Vec<(Duration, EventKind)>;
}

/// How an execution went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ending: Option<Ending>,
    pub(crate) records: Vec<HistoryRecord>,
}

/// More events than any case has.
const EVENTS: usize = 100_000;

pub(crate) struct Drive<'a> {
    pub(crate) program: &'a dyn Program,
    pub(crate) target: &'a mut dyn Target,
    /// Whether the state goes through bytes before each event, as after a crash.
    pub(crate) restored: bool,
    /// What the client does, and after how long.
    pub(crate) stop: Option<(Duration, EventKind)>,
}

#[derive(Default)]
struct Agenda {
    /// By time, then by order.
    events: BTreeMap<(Timestamp, u64), EventKind>,
    order: u64,
    running: BTreeSet<TaskNumber>,
    ending: Option<Ending>,
}

impl Agenda {
    fn add(&mut self, at: Timestamp, kind: EventKind) {
        self.order += 1;
        self.events.insert((at, self.order), kind);
    }
}

/// The task that an event is about.
fn task_of(kind: &EventKind) -> Option<TaskNumber> {
    match kind {
        EventKind::TaskEnded { task, .. }
        | EventKind::TaskStarted { task, .. }
        | EventKind::TaskSubmitted { task, .. }
        | EventKind::TaskHeartbeat { task } => Some(*task),
        _ => None,
    }
}

impl Drive<'_> {
    pub(crate) fn run(mut self, input: Value) -> Outcome {
        let start: Timestamp = "2031-01-01T00:00:00Z".parse().unwrap();
        let execution = ExecutionIdentity {
            id: 7u128.into(),
            name: "execution-name".try_into().unwrap(),
            workflow: "machine-name".parse().unwrap(),
        };
        let beginning = Beginning::new(start, 1, execution, Arc::new(input));
        let transition = self.program.begin(beginning).unwrap();
        let mut agenda = Agenda::default();
        if let Some((after, kind)) = self.stop.take() {
            agenda.add(start + after, kind);
        }
        let mut records = transition.records;
        let mut state = transition.state;
        self.obey(transition.commands, start, &mut agenda);
        for entropy in 2..EVENTS as u64 {
            if agenda.ending.is_some() {
                break;
            }
            let Some(((at, _), kind)) = agenda.events.pop_first() else {
                break;
            };
            if task_of(&kind).is_some_and(|task| !agenda.running.contains(&task)) {
                continue;
            }
            if self.restored {
                let bytes = self.program.save(&state).unwrap();
                state = self.program.restore(&bytes).unwrap();
            }
            let event = ProgramEvent { at, entropy, kind };
            let transition = self.program.step(state, event).unwrap();
            state = transition.state;
            records.extend(transition.records);
            self.obey(transition.commands, at, &mut agenda);
        }
        let ending = agenda.ending;
        Outcome { ending, records }
    }

    fn obey(&mut self, commands: Vec<Command>, now: Timestamp, agenda: &mut Agenda) {
        for command in commands {
            match command {
                Command::RunTask(request) => {
                    agenda.running.insert(request.task);
                    for (after, kind) in self.target.call(&request) {
                        agenda.add(now + after, kind);
                    }
                }
                Command::CancelTask(task) => {
                    agenda.running.remove(&task);
                }
                Command::SetTimer(timer, at) => agenda.add(at, EventKind::TimerFired { timer }),
                Command::ClearTimer(timer) => {
                    let fires = EventKind::TimerFired { timer };
                    agenda.events.retain(|_, kind| *kind != fires);
                }
                Command::End(ending) => agenda.ending = Some(ending),
                other => panic!("{other:?}"),
            }
        }
    }
}
