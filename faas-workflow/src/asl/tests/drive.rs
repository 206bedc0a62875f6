//! Runs a machine under a virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::asl::{Settings, StateMachine, StatesLanguage, language};
use crate::history::HistoryRecord;
use crate::program::{
    Beginning, Command, Ending, Erased, EventKind, ExecutionIdentity, Program, ProgramEvent,
    ProgramState, TaskError, TaskNumber, TaskRequest,
};
use crate::registry::Definition;

pub(super) fn machine(definition: &Value, settings: Settings) -> StateMachine {
    let language_of = StatesLanguage::new().with_settings(settings);
    let definition = Definition::new(language(), definition.to_string());
    language_of
        .machine(&definition)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// An execution, and what it waits for.
pub(super) struct Drive {
    program: Erased<StateMachine>,
    state: Option<ProgramState>,
    pub(super) now: Timestamp,
    entropy: u64,
    pub(super) timers: BTreeSet<(Timestamp, crate::program::TimerNumber)>,
    pub(super) tasks: BTreeMap<TaskNumber, TaskRequest>,
    /// The keys of all tasks that ever ran, in order.
    pub(super) keys: Vec<String>,
    pub(super) records: Vec<HistoryRecord>,
    pub(super) ending: Option<Ending>,
    pub(super) log: Vec<ProgramEvent>,
    numbers: BTreeSet<u64>,
    pub(super) steps: usize,
}

impl Drive {
    pub(super) fn new(definition: &Value, input: Value) -> Self {
        Self::with(definition, input, Settings::default())
    }

    pub(super) fn with(definition: &Value, input: Value, settings: Settings) -> Self {
        let mut drive = Self {
            program: Erased(machine(definition, settings)),
            state: None,
            now: Timestamp::UNIX_EPOCH,
            entropy: 0,
            timers: BTreeSet::new(),
            tasks: BTreeMap::new(),
            keys: Vec::new(),
            records: Vec::new(),
            ending: None,
            log: Vec::new(),
            numbers: BTreeSet::new(),
            steps: 0,
        };
        let execution = ExecutionIdentity {
            id: 7u128.into(),
            name: "one".try_into().unwrap(),
            workflow: "shop/order".parse().unwrap(),
        };
        let beginning = Beginning::new(drive.now, 1, execution, Arc::new(input));
        let transition = drive.program.begin(beginning).unwrap();
        drive.take(transition);
        drive
    }

    fn take(&mut self, transition: crate::program::Transition) {
        self.state = Some(transition.state);
        self.records.extend(transition.records);
        self.steps += 1;
        for command in transition.commands {
            assert!(self.ending.is_none(), "{command:?} follows the end");
            match command {
                Command::RunTask(request) => {
                    assert!(
                        self.numbers.insert(request.task.0),
                        "a number is used twice"
                    );
                    self.keys.push(request.key.clone());
                    self.tasks.insert(request.task, request);
                }
                Command::CancelTask(task) => drop(self.tasks.remove(&task)),
                Command::SetTimer(timer, at) => {
                    assert!(self.numbers.insert(timer.0), "a number is used twice");
                    self.timers.insert((at, timer));
                }
                Command::ClearTimer(timer) => self.timers.retain(|(_, t)| *t != timer),
                Command::End(ending) => self.ending = Some(ending),
                Command::ContinueAsNew(_) => panic!("nothing asks for that"),
            }
        }
    }

    pub(super) fn event(&mut self, kind: EventKind) {
        self.entropy += 1;
        let event = ProgramEvent {
            at: self.now,
            entropy: self.entropy,
            kind,
        };
        self.log.push(event.clone());
        let state = self.state.take().unwrap();
        let transition = self.program.step(state, event).unwrap();
        self.take(transition);
    }

    pub(super) fn redrive(&mut self) {
        self.ending = None;
        self.event(EventKind::Redriven);
    }

    /// The only task that runs now, with that label.
    pub(super) fn task(&self, label: &str) -> TaskRequest {
        let mut labelled = self.tasks.values().filter(|task| task.label == label);
        let task = labelled
            .next()
            .unwrap_or_else(|| panic!("{label} does not run"));
        task.clone()
    }

    pub(super) fn answer(&mut self, label: &str, result: Result<Value, TaskError>) {
        let task = self.task(label).task;
        self.tasks.remove(&task);
        let result = result.map(Arc::new);
        self.event(EventKind::TaskEnded { task, result });
    }

    /// Lets time pass until a timer fires; answers whether one did.
    pub(super) fn wait(&mut self) -> bool {
        let Some((at, timer)) = self.timers.pop_first() else {
            return false;
        };
        self.now = at;
        self.event(EventKind::TimerFired { timer });
        true
    }

    /// Answers every task with its input, and lets time pass, until the end.
    pub(super) fn finish(&mut self) -> &Ending {
        for _ in 0..1_000_000 {
            if self.ending.is_some() {
                break;
            }
            match self.tasks.pop_first() {
                Some((task, request)) => {
                    let result = Ok(request.input);
                    self.event(EventKind::TaskEnded { task, result });
                }
                None => assert!(self.wait(), "it waits for nothing"),
            }
        }
        self.ending.as_ref().unwrap()
    }

    pub(super) fn output(&mut self) -> Value {
        match self.finish() {
            Ending::Succeeded(output) => Value::clone(output),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn error(&mut self) -> TaskError {
        match self.finish() {
            Ending::Failed(error) | Ending::TimedOut(error) => error.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.records
            .iter()
            .map(|record| record.kind.as_str())
            .collect()
    }

    pub(super) fn saved(&self) -> bytes::Bytes {
        self.program.save(self.state.as_ref().unwrap()).unwrap()
    }

    /// The state as bytes, and as what they give again.
    pub(super) fn restore(&mut self) {
        let restored = self.program.restore(&self.saved()).unwrap();
        self.state = Some(restored);
    }
}

/// A machine of one state.
pub(super) fn single(state: &Value) -> Value {
    json!({ "StartAt": "S", "States": { "S": state } })
}
