//! The suite of [`Program`]'s contract: a program is driven through random runs, its tasks answered
//! as the sample says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use faas_core::policy::SeededRandom;
use faas_core::{ErrorKind, ExecutionId};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Beginning, Command, Data, EventKind, Program, ProgramEvent, ProgramState, Signal, TaskError,
    TaskNumber, TaskRequest, TimerNumber, Transition,
};
use crate::execution_store::{Epoch, ExecutionHead};
use crate::history::HistoryRecord;

/// A program, and what runs it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The program.
    pub program: Arc<dyn Program>,
    /// What an execution of it is given.
    pub input: Value,
    /// What each task answers, by the request and a number that is drawn for it.
    pub answer: fn(&TaskRequest, u64) -> Result<Data, TaskError>,
}

/// A fresh program.
pub type Subject = Sample;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "deterministic",
    "numbered_once",
    "keyed",
    "saved",
    "ends_once",
    "tolerant",
];

/// Runs the case of that name.
pub fn run(case: &str, subject: &Subject) {
    match case {
        "deterministic" => deterministic(subject),
        "numbered_once" => numbered_once(subject),
        "keyed" => keyed(subject),
        "saved" => saved(subject),
        "ends_once" => ends_once(subject),
        "tolerant" => tolerant(subject),
        other => panic!("there is no case {other}"),
    }
}

/// How many runs each case makes, and how long one may be.
const RUNS: u64 = 50;
const STEPS: usize = 1000;

/// One run of a program.
struct Drive<'a> {
    sample: &'a Sample,
    random: SeededRandom,
    state: Option<ProgramState>,
    now: Timestamp,
    waiting: Vec<TaskRequest>,
    timers: BTreeMap<TimerNumber, Timestamp>,
    commands: Vec<Command>,
    records: Vec<HistoryRecord>,
    ended: bool,
}

impl<'a> Drive<'a> {
    fn new(sample: &'a Sample, seed: u64) -> Self {
        let name = "sample".try_into().expect("a name");
        let workflow = "sample".parse().expect("a reference");
        let id = ExecutionId::from_u128(7);
        let head = ExecutionHead::new(id, name, workflow, Epoch(1));
        let beginning = Beginning::of(&head, 42, Arc::new(sample.input.clone()));
        let mut drive = Self {
            sample,
            random: SeededRandom::new(seed),
            state: None,
            now: Timestamp::UNIX_EPOCH,
            waiting: Vec::new(),
            timers: BTreeMap::new(),
            commands: Vec::new(),
            records: Vec::new(),
            ended: false,
        };
        let begun = drive.sample.program.begin(beginning);
        drive.take(begun.expect("it begins"));
        drive
    }

    fn take(&mut self, transition: Transition) {
        self.state = Some(transition.state);
        self.records.extend(transition.records);
        for command in transition.commands {
            assert!(!self.ended, "a command follows the end: {command:?}");
            match &command {
                Command::RunTask(request) => self.waiting.push(request.clone()),
                Command::CancelTask(task) => self.waiting.retain(|one| one.task != *task),
                Command::SetTimer(timer, at) => drop(self.timers.insert(*timer, *at)),
                Command::ClearTimer(timer) => drop(self.timers.remove(timer)),
                Command::End(_) | Command::ContinueAsNew(_) => self.ended = true,
            }
            self.commands.push(command);
        }
    }

    fn step(&mut self, kind: EventKind) {
        let event = ProgramEvent {
            at: self.now,
            entropy: 42,
            kind,
        };
        let state = self.state.take().expect("it has a state");
        let stepped = self.sample.program.step(state, event);
        self.take(stepped.expect("it is its own state"));
    }

    /// What happens next: the end of a task, or the next timer; nothing if it waits for nothing.
    fn next(&mut self) -> Option<EventKind> {
        if self.ended {
            return None;
        }
        let drawn = self.random.next_u64();
        if !self.waiting.is_empty() {
            let chosen = drawn as usize % self.waiting.len();
            let request = self.waiting.remove(chosen);
            let result = (self.sample.answer)(&request, drawn);
            let task = request.task;
            return Some(EventKind::TaskEnded { task, result });
        }
        let (timer, at) = self
            .timers
            .iter()
            .min_by_key(|(timer, at)| (**at, **timer))?;
        let (timer, at) = (*timer, *at);
        self.timers.remove(&timer);
        self.now = self.now.max(at);
        Some(EventKind::TimerFired { timer })
    }

    /// Runs to the end, and shows each event before it is consumed.
    fn run(&mut self, mut before: impl FnMut(&mut Self, &EventKind)) {
        for _ in 0..STEPS {
            let Some(kind) = self.next() else {
                return;
            };
            before(self, &kind);
            self.step(kind);
        }
    }

    fn save(&self) -> Bytes {
        let state = self.state.as_ref().expect("it has a state");
        self.sample.program.save(state).expect("it can be saved")
    }
}

fn runs(sample: &Sample) -> impl Iterator<Item = Drive<'_>> {
    (0..RUNS).map(|seed| Drive::new(sample, seed))
}

/// "equal states and events MUST give equal transitions; the time and all randomness come with the
/// event."
pub fn deterministic(subject: &Subject) {
    for (mut one, mut other) in runs(subject).zip(runs(subject)) {
        one.run(|_, _| ());
        other.run(|_, _| ());
        assert_eq!(one.commands, other.commands);
        assert_eq!(one.records, other.records);
        assert_eq!(one.save(), other.save());
    }
}

/// "a task's or timer's number MUST NOT be used twice in an execution."
pub fn numbered_once(subject: &Subject) {
    for mut drive in runs(subject) {
        drive.run(|_, _| ());
        let (mut tasks, mut timers) = (BTreeSet::new(), BTreeSet::new());
        for command in &drive.commands {
            match command {
                Command::RunTask(request) => {
                    let task = request.task;
                    assert!(tasks.insert(task), "task {task} is asked for twice");
                }
                Command::SetTimer(timer, _) => {
                    assert!(timers.insert(*timer), "timer {timer} is set twice");
                }
                _ => {}
            }
        }
    }
}

/// "a call's key MUST follow from the call's place in the workflow, not from the order of unrelated
/// events; attempts that share it MUST be the same call."
pub fn keyed(subject: &Subject) {
    let mut calls: BTreeMap<String, (String, Data)> = BTreeMap::new();
    for mut drive in runs(subject) {
        drive.run(|_, _| ());
        for command in &drive.commands {
            let Command::RunTask(request) = command else {
                continue;
            };
            let called = (
                format!("{} {}", request.label, request.target),
                request.input.clone(),
            );
            let first = calls
                .entry(request.key.clone())
                .or_insert_with(|| called.clone());
            assert_eq!(*first, called, "two calls share the key {}", request.key);
        }
    }
}

/// "`restore(save(state))` MUST behave as `state` does."
pub fn saved(subject: &Subject) {
    for (mut one, mut other) in runs(subject).zip(runs(subject)) {
        one.run(|_, _| ());
        other.run(|drive, _| {
            let restored = drive.sample.program.restore(&drive.save());
            drive.state = Some(restored.expect("what was saved can be restored"));
        });
        assert_eq!(one.commands, other.commands);
        assert_eq!(one.records, other.records);
        assert_eq!(one.save(), other.save());
    }
    let garbage = subject.program.restore(b"garbage");
    assert!(garbage.is_err(), "garbage was restored");
    let foreign = subject
        .program
        .save(&ProgramState::new("another program's"));
    let foreign = foreign.expect_err("it is another program's state");
    assert_eq!(foreign.kind(), ErrorKind::Internal);
}

/// "`End` and `ContinueAsNew` are the last command; an event that comes later, other than
/// `Redriven`, MUST change nothing."
pub fn ends_once(subject: &Subject) {
    let mut ended = 0;
    for mut drive in runs(subject) {
        drive.run(|_, _| ());
        if !drive.ended {
            continue;
        }
        ended += 1;
        // Its last records may tell of the end alone.
        let (before, records) = (drive.save(), drive.records.len());
        let signal = Signal::new("late".parse().expect("a name"), json!(1));
        let result = Ok(Arc::new(json!(1)));
        let (task, timer) = (TaskNumber(1), TimerNumber(1));
        let cause = "late".to_owned();
        let late = [
            EventKind::TaskEnded { task, result },
            EventKind::TimerFired { timer },
            EventKind::Signalled(signal),
            EventKind::CancelRequested { cause, error: None },
            EventKind::Aborted(TaskError::new("Late", "late")),
        ];
        for kind in late {
            drive.step(kind);
            assert_eq!(drive.save(), before, "a late event changed its state");
            assert_eq!(
                drive.records.len(),
                records,
                "a late event is in its history"
            );
        }
    }
    assert!(ended > 0, "the sample never ends");
}

/// "an event for a task or timer that the program no longer waits for MUST be ignored."
pub fn tolerant(subject: &Subject) {
    for mut drive in runs(subject) {
        let mut past: Vec<EventKind> = Vec::new();
        drive.run(|drive, kind| {
            let unknown = TaskNumber(u64::MAX);
            let stale = past.last().cloned().unwrap_or(EventKind::TaskEnded {
                task: unknown,
                result: Ok(Arc::new(Value::Null)),
            });
            let before = (drive.save(), drive.commands.len(), drive.records.len());
            drive.step(stale);
            let timer = TimerNumber(u64::MAX);
            drive.step(EventKind::TimerFired { timer });
            let after = (drive.save(), drive.commands.len(), drive.records.len());
            assert_eq!(
                before, after,
                "an event that nobody waits for changed something"
            );
            past.push(kind.clone());
        });
    }
}

/// Makes a test of each case of the suite; the factory is an expression of a type `Fn() -> Subject`.
#[macro_export]
macro_rules! program_conformance {
    ($factory:expr) => {
        $crate::program_conformance!(@cases $factory, deterministic numbered_once keyed saved ends_once tolerant);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[test]
        fn $case() {
            $crate::program::conformance::$case(&($factory)());
        }
    )*};
}
