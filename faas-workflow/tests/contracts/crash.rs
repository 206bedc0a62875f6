//! An engine is dropped at arbitrary points; the next one over the same store goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Description, ExecutionId, FunctionError, Invocation, Invoker, Payload, PrewarmHint, Response,
    Result,
};
use faas_workflow::builder::{Expression as E, Fallback, RetryRule, WorkflowBuilder};
use faas_workflow::engine::StartExecution;
use faas_workflow::engine::conformance::Harness;
use faas_workflow::engine::core::ExecutionCore;
use faas_workflow::execution_store::{EngineEvent, StoredExecution};
use faas_workflow::program::EventKind;
use faas_workflow::{
    Definition, Ending, ExecutionHead, RegisterWorkflow, StoreExecutionStore,
    WorkflowExecutionStore,
};
use serde_json::{Value, json};

use crate::fixtures::Place;

/// Answers by what it is asked alone, takes a while, and remembers who asked.
#[derive(Default)]
pub(crate) struct World {
    answered: Mutex<HashMap<Arc<str>, usize>>,
}

#[async_trait]
impl Invoker for World {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let input: Value = invocation.payload.to_json()?;
        let key = invocation.idempotency_key.clone().unwrap_or_default();
        let pause = input.as_i64().unwrap_or(3).unsigned_abs() % 7;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        *self.answered.lock().unwrap().entry(key).or_default() += 1;
        let answer = match invocation.function.name.as_str() {
            "double" => json!(input.as_i64().unwrap_or(0) * 2),
            "sum" => json!(
                input
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_i64)
                    .sum::<i64>()
            ),
            _ => {
                return Ok(Response::failure(
                    invocation.id,
                    FunctionError::new("Boom", "always"),
                ));
            }
        };
        Ok(Response::success(invocation.id, Payload::json(&answer)?))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("World")
    }
}

/// Branches, a map, retries by timer and a catch.
fn definition() -> Definition {
    let retry = RetryRule::new(3, Duration::from_millis(5));
    WorkflowBuilder::new()
        .task("map", "double", |t| {
            t.map(E::input("/list"), 4).input(E::item(""))
        })
        .task("left", "double", |t| t.input(E::input("/n")))
        .task("bad", "boom", |t| {
            t.retry(retry)
                .catch(["Boom"], Fallback::Value(E::literal(5)))
        })
        .task("total", "sum", |t| t.input(E::result("map", "")))
        .task("all", "sum", |t| {
            t.input(E::list([
                E::result("total", ""),
                E::result("left", ""),
                E::result("bad", ""),
            ]))
        })
        .output(E::object([
            ("all", E::result("all", "")),
            ("map", E::result("map", "")),
        ]))
        .build()
        .unwrap()
}

pub(crate) async fn place() -> Place {
    furnish(Place::default()).await
}

/// Registers the workflow.
pub(crate) async fn furnish(place: Place) -> Place {
    let (namespace, name) = ("default".parse().unwrap(), "w".parse().unwrap());
    place
        .registry
        .register(RegisterWorkflow::new(namespace, name, definition()))
        .await
        .unwrap();
    place
}

pub(crate) fn start(items: u32) -> StartExecution {
    let list: Vec<_> = (0..items).collect();
    let input = json!({ "list": list, "n": 21 });
    StartExecution::new("w".parse().unwrap(), "one".try_into().unwrap(), input)
}

/// Runs to the end, with a crash every `crash` milliseconds.
pub(crate) async fn run(place: &Place, items: u32, crash: Option<u64>) -> ExecutionHead {
    let world = Arc::new(World::default());
    let mut id: Option<ExecutionId> = None;
    for _ in 0..10_000 {
        let engine = place.open(world.clone()).await;
        let work = async {
            let started = match id {
                Some(id) => id,
                None => engine.start(start(items)).await.unwrap().id,
            };
            id = Some(started);
            engine.wait(started).await.unwrap()
        };
        match crash {
            None => return work.await,
            Some(after) => {
                let ended = tokio::time::timeout(Duration::from_millis(after), work).await;
                if let Ok(head) = ended {
                    return head;
                }
            }
        }
        drop(engine);
        recorded_once(&load(place, id.unwrap()).await);
    }
    panic!("it makes no progress");
}

pub(crate) async fn load(place: &Place, id: ExecutionId) -> StoredExecution {
    StoreExecutionStore::new(place.store.clone())
        .load(id)
        .await
        .unwrap()
}

/// No task has two results, and none starts again after its result.
pub(crate) fn recorded_once(stored: &StoredExecution) {
    let mut ended = std::collections::BTreeSet::new();
    for event in &stored.events {
        match event {
            EngineEvent::Program(event) => {
                if let EventKind::TaskEnded { task, .. } = &event.kind {
                    assert!(ended.insert(*task), "task {task} has two results");
                }
            }
            EngineEvent::Started { task, .. } => {
                assert!(
                    !ended.contains(task),
                    "task {task} started again after its result"
                );
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_changes_nothing_of_the_outcome() {
    let whole = run(&place().await, 40, None).await;
    assert!(
        matches!(whole.ending, Some(Ending::Succeeded(_))),
        "{:?}",
        whole.ending
    );
    for crash in 8..60 {
        let crashed = run(&place().await, 40, Some(crash)).await;
        assert_eq!(crashed.ending, whole.ending, "crashing every {crash} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn replay_of_any_prefix_gives_the_same_state() {
    let place = place().await;
    let head = run(&place, 40, Some(20)).await;
    let program = place
        .registry
        .get(&head.workflow)
        .await
        .unwrap()
        .program
        .clone();
    let stored = load(&place, head.id).await;
    assert!(stored.snapshot.is_none(), "the history is short");
    let mut open = head.clone();
    open.ending = None;
    let restore = |events: &[EngineEvent]| {
        let stored = StoredExecution::new(open.clone(), None, events.to_vec());
        ExecutionCore::restore(stored, program.clone()).unwrap()
    };
    let mut live = restore(&stored.events[..1]);
    for (index, event) in stored.events.iter().enumerate().skip(1) {
        assert_eq!(
            restore(&stored.events[..index]).save().unwrap(),
            live.save().unwrap()
        );
        live.apply(event.clone()).unwrap();
    }
    assert_eq!(live.head().ending, head.ending);
    // From a snapshot in the middle as well.
    let middle = stored.events.len() / 2;
    let snapshot = restore(&stored.events[..middle]).save().unwrap();
    let rest = stored.events[middle..].to_vec();
    let resumed = StoredExecution::new(open.clone(), Some(snapshot), rest);
    let resumed = ExecutionCore::restore(resumed, program.clone()).unwrap();
    assert_eq!(resumed.save().unwrap(), live.save().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_second_engine_fences_the_first() {
    let place = place().await;
    let world = Arc::new(World::default());
    let old = place.open(world.clone()).await;
    let id = old.start(start(40)).await.unwrap().id;
    let new = place.open(world.clone()).await;
    let head = tokio::time::timeout(Duration::from_secs(60), new.wait(id)).await;
    assert!(head.unwrap().unwrap().status().is_ended());
    assert!(
        old.cancel(id, "too late").await.is_err()
            || old
                .describe_execution(id)
                .await
                .unwrap()
                .status()
                .is_ended()
    );
    recorded_once(&load(&place, id).await);
}

#[tokio::test(start_paused = true)]
async fn a_long_history_goes_on_from_a_snapshot() {
    let place = place().await;
    let whole = run(&self::place().await, 500, None).await;
    let head = run(&place, 500, Some(97)).await;
    assert_eq!(head.ending, whole.ending);
    assert!(
        load(&place, head.id).await.snapshot.is_some(),
        "none was made"
    );
}
