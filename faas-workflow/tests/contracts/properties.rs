//! Properties of the core without I/O, over random graphs, outcomes and orders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_core::policy::SeededRandom;
use faas_core::{IdSource, Monotonic, TokioClock};
use faas_workflow::builder::{Expression as E, RetryRule, WorkflowBuilder};
use faas_workflow::engine::core::{Due, EngineCore, ExecutionCore, Moment};
use faas_workflow::execution_store::EngineEvent;
use faas_workflow::execution_store::{Epoch, StoredExecution};
use faas_workflow::program::{EventKind, Program, ProgramEvent, TaskRequest};
use faas_workflow::{Definition, Eager, Ending, ExecutionHead, Language, RustBuilder, TaskError};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// For each task: which earlier ones it depends on (by bit), and how often it fails.
type Graph = Vec<(u8, u8)>;

fn dependencies(graph: &Graph, task: usize) -> impl Iterator<Item = usize> + '_ {
    let bits = graph[task].0;
    (0..task).filter(move |other| bits & (1 << (other % 8)) != 0)
}

fn definition(graph: &Graph) -> Definition {
    let mut builder = WorkflowBuilder::new();
    for task in 0..graph.len() {
        let retry = RetryRule::new(2, Duration::from_secs(1));
        let inputs = dependencies(graph, task).map(|other| E::result(format!("t{other}"), ""));
        let input = E::list(inputs.collect::<Vec<_>>());
        builder = builder.task(&format!("t{task}"), "f", |t| t.retry(retry).input(input));
    }
    builder.build().unwrap()
}

struct Drive {
    core: EngineCore,
    program: Arc<dyn Program>,
    head: ExecutionHead,
    now: Timestamp,
    log: Vec<EngineEvent>,
    running: Vec<TaskRequest>,
    starts: Vec<String>,
    answered: BTreeSet<String>,
    ending: Option<Ending>,
}

impl Drive {
    fn new(definition: &Definition) -> Self {
        let clock = Arc::new(TokioClock::new());
        let core = EngineCore::new(
            Box::new(Eager::new()),
            SeededRandom::new(1),
            IdSource::new(clock, 1),
            3,
        );
        let program = RustBuilder::default().compile(definition).unwrap();
        let (id, name) = (7u128.into(), "one".try_into().unwrap());
        let mut head = ExecutionHead::new(id, name, "w".parse().unwrap(), Epoch(1));
        head.digest = program.digest();
        let now = Timestamp::UNIX_EPOCH;
        let mut drive = Self {
            core,
            program,
            head,
            now,
            log: Vec::new(),
            running: Vec::new(),
            starts: Vec::new(),
            answered: BTreeSet::new(),
            ending: None,
        };
        let (head, program) = (drive.head.clone(), drive.program.clone());
        let begun = drive
            .core
            .begin(head, program, Arc::new(json!(null)), Monotonic::ZERO);
        begun.unwrap();
        drive.turn();
        drive
    }

    fn turn(&mut self) {
        let moment = Moment {
            now: Monotonic::ZERO,
            wall: self.now,
        };
        for step in self.core.turn(moment, Epoch(1), true).steps {
            self.log.extend(step.append.events);
            self.ending = step.append.head.ending;
            for launch in step.launches {
                self.starts.push(launch.request.label.clone());
                self.running.push(launch.request);
            }
        }
        assert!(self.core.running() <= 3, "more run than may");
    }

    fn event(&mut self, kind: EventKind) {
        let event = ProgramEvent {
            at: self.now,
            entropy: 0,
            kind,
        };
        self.core
            .apply(self.head.id, EngineEvent::Program(event), Monotonic::ZERO)
            .unwrap();
        self.turn();
    }

    /// Ends a running task, or lets time pass.
    fn advance(&mut self, choice: usize, failures: &mut BTreeMap<String, u8>) {
        if self.running.is_empty() {
            self.now = self.core.next_due().expect("it waits for nothing");
            for due in self.core.execution(self.head.id).unwrap().due(self.now) {
                let Due::Timer(timer) = due else {
                    panic!("functions have no deadline here: {due:?}");
                };
                self.event(EventKind::TimerFired { timer });
            }
            return;
        }
        let request = self.running.swap_remove(choice % self.running.len());
        let left = failures.entry(request.label.clone()).or_default();
        let result = if *left > 0 {
            *left -= 1;
            Err(TaskError::new("Boom", "as it was told"))
        } else {
            self.answered.insert(request.label.clone());
            Ok(Arc::new(Value::Null))
        };
        self.event(EventKind::TaskEnded {
            task: request.task,
            result,
        });
    }

    fn replay(&self, events: usize) -> ExecutionCore {
        let stored = StoredExecution::new(self.head.clone(), None, self.log[..events].to_vec());
        ExecutionCore::restore(stored, self.program.clone()).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_starts_early_and_every_prefix_replays(
        graph in prop::collection::vec((any::<u8>(), 0u8..4), 1..9),
        choices in prop::collection::vec(any::<usize>(), 64),
    ) {
        let mut drive = Drive::new(&definition(&graph));
        let label = |task: usize| format!("t{task}");
        let mut failures: BTreeMap<_, _> =
            graph.iter().enumerate().map(|(task, (_, fails))| (label(task), *fails)).collect();
        let doomed = graph.iter().any(|(_, fails)| *fails > 2);
        for choice in choices {
            if drive.ending.is_some() {
                break;
            }
            let before = drive.starts.len();
            drive.advance(choice, &mut failures);
            for started in &drive.starts[before..] {
                let task: usize = started[1..].parse().unwrap();
                for needed in dependencies(&graph, task) {
                    prop_assert!(drive.answered.contains(&label(needed)), "{started} started early");
                }
            }
        }
        let succeeded = matches!(drive.ending, Some(Ending::Succeeded(_)));
        prop_assert_eq!(succeeded, !doomed, "{:?}", drive.ending);
        let mut live = drive.replay(1);
        for index in 1..drive.log.len() {
            prop_assert_eq!(drive.replay(index).save().unwrap(), live.save().unwrap());
            live.apply(drive.log[index].clone()).unwrap();
        }
    }

    #[test]
    fn no_definition_panics(text in ".{0,200}") {
        let language = RustBuilder::default();
        let _ = language.compile(&Definition::new(language.name(), text));
    }
}

#[test]
fn hostile_definitions_are_refused() {
    let language = RustBuilder::default();
    let compile = |text: String| {
        language
            .compile(&Definition::new(language.name(), text))
            .is_err()
    };
    let deep = format!(
        "{{\"tasks\":[],\"output\":{}{}}}",
        "{\"list\":[".repeat(60),
        "]}".repeat(60)
    );
    assert!(compile(deep), "it nests too deep");
    assert!(compile("[".repeat(100_000)), "it nests far too deep");
    assert!(compile(format!(
        "{{\"tasks\":[],\"output\":{{\"literal\":\"{}\"}}}}",
        "x".repeat(10 << 20)
    )));
    let task = |i: usize| format!("{{\"name\":\"t{i}\",\"run\":{{\"function\":\"f\"}}}}");
    let wide: Vec<_> = (0..5000).map(task).collect();
    assert!(
        compile(format!("{{\"tasks\":[{}]}}", wide.join(","))),
        "it is too wide"
    );
    assert!(compile(
        "{\"tasks\":[{\"name\":\"a\",\"run\":{\"function\":\"f\"},\"after\":[\"a\"]}]}".into()
    ));
}
