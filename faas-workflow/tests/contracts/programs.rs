//! The Rust builder's programs keep the contract of programs; for each rule, one that breaks it
//! alone is caught.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faas_core::Result;
use faas_workflow::builder::{Expression as E, Fallback, RetryRule, WorkflowBuilder};
use faas_workflow::program::conformance::{CASES, Sample, run};
use faas_workflow::program::{
    Beginning, Command, Data, DefinitionDigest, EventKind, Program, ProgramEvent, ProgramState,
    TaskNumber, TaskRequest, TimerNumber, Transition,
};
use faas_workflow::{HistoryRecord, Language, RustBuilder, TaskError};
use jiff::Timestamp;
use serde_json::json;

fn answer(request: &TaskRequest, drawn: u64) -> Result<Data, TaskError> {
    match drawn % 3 {
        0 if request.label != "left" => Err(TaskError::new("Boom", "as it was drawn")),
        _ => Ok(Arc::new(json!({ "of": request.label }))),
    }
}

/// Branches, a map, retries with jitter, a catch and a sleep.
pub(crate) fn graph() -> Sample {
    let retry = || RetryRule::new(3, Duration::from_secs(1));
    let nothing = Fallback::Value(E::literal("nothing"));
    let definition = WorkflowBuilder::new()
        .task("left", "f", |task| task.input(E::input("/n")))
        .task("map", "f", |task| {
            let each = E::object([("item", E::item("")), ("left", E::input("/n"))]);
            task.map(E::input("/list"), 2).input(each).retry(retry())
        })
        .sleep("pause", Duration::from_secs(5), |task| task.after("left"))
        .task("caught", "f", |task| {
            task.after("pause").retry(retry()).catch(["*"], nothing)
        })
        .task("all", "f", |task| {
            let all = ["map", "caught"].map(|name| E::result(name, ""));
            task.input(E::list(all)).retry(retry())
        })
        .output(E::result("all", ""))
        .build()
        .unwrap();
    Sample {
        program: RustBuilder::default().compile(&definition).unwrap(),
        input: json!({ "n": 1, "list": [1, 2, 3, 4, 5] }),
        answer,
    }
}

mod task_graph {
    faas_workflow::program_conformance!(super::graph);
}

#[derive(Debug)]
struct Broken {
    rule: &'static str,
    inner: Arc<dyn Program>,
    count: AtomicU64,
}

impl Broken {
    fn spoil(&self, mut transition: Transition) -> Transition {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        for command in &mut transition.commands {
            match command {
                Command::RunTask(request) if self.rule == "keyed" => {
                    request.key = request.task.to_string();
                }
                Command::SetTimer(_, at) if self.rule == "deterministic" => {
                    *at = Timestamp::from_second(count as i64).unwrap();
                }
                Command::SetTimer(timer, _) if self.rule == "numbered_once" => {
                    *timer = TimerNumber(1);
                }
                _ => {}
            }
        }
        transition
    }
}

impl Program for Broken {
    fn digest(&self) -> DefinitionDigest {
        self.inner.digest()
    }

    fn begin(&self, beginning: Beginning) -> Result<Transition> {
        self.inner.begin(beginning).map(|begun| self.spoil(begun))
    }

    fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition> {
        let stale = match &event.kind {
            EventKind::TaskEnded { task, .. } => *task == TaskNumber(u64::MAX),
            _ => false,
        };
        let late = matches!(&event.kind, EventKind::Signalled(_));
        let at = event.at;
        let mut stepped = self.spoil(self.inner.step(state, event)?);
        let record = HistoryRecord::new(99, at, "Surplus", json!(null));
        if (stale && self.rule == "tolerant") || (late && self.rule == "ends_once") {
            stepped.records.push(record);
        }
        Ok(stepped)
    }

    fn save(&self, state: &ProgramState) -> Result<Bytes> {
        self.inner.save(state)
    }

    fn restore(&self, bytes: &[u8]) -> Result<ProgramState> {
        if self.rule == "saved" {
            // It forgets that a task was retried.
            let text = String::from_utf8_lossy(bytes).replace("\"renewals\":1", "\"renewals\":0");
            return self.inner.restore(text.as_bytes());
        }
        self.inner.restore(bytes)
    }
}

#[test]
fn every_rule_is_caught() {
    for &rule in CASES {
        let good = graph();
        let program = Arc::new(Broken {
            rule,
            inner: good.program.clone(),
            count: AtomicU64::new(0),
        });
        let broken = Sample { program, ..good };
        let case = std::panic::AssertUnwindSafe(|| run(rule, &broken));
        let caught = std::panic::catch_unwind(case).is_err();
        assert!(caught, "{rule} was not caught");
    }
}
