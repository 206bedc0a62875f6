//! Callbacks, signals, sleep, and histories that are followed.

use std::sync::Arc;
use std::time::Duration;

use faas_workflow::builder::{Expression as E, Fallback, WorkflowBuilder};
use faas_workflow::engine::WorkflowEngineExt;
use faas_workflow::engine::conformance::Harness;
use faas_workflow::program::TaskToken;
use faas_workflow::{Signal, WorkflowEngine};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Echo, echo, failure, output};
use crate::fixtures::{Place, start_of, within};

const HOUR: Duration = Duration::from_secs(3600);

async fn approval() -> Place {
    let place = Place::default();
    let definition = WorkflowBuilder::new()
        .callback("approve", "ask-human", |task| {
            let letter = [("token", E::token()), ("order", E::input(""))];
            task.input(E::object(letter)).timeout(HOUR)
        })
        .output(E::result("approve", "/by"));
    place
        .register("approval", definition.build().unwrap())
        .await;
    place
}

async fn token(functions: &Arc<Echo>) -> TaskToken {
    let called = async {
        while functions.called("ask-human").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(called).await;
    let (_, input) = functions.called("ask-human").remove(0);
    assert_eq!(input["order"], json!(5));
    input["token"].as_str().unwrap().parse().unwrap()
}

async fn complete(engine: &Arc<dyn WorkflowEngine>, token: &TaskToken) {
    let tasks = engine.external_tasks().unwrap();
    let answer = Ok(json!({"by": "ada"}).into());
    tasks.complete(token, answer).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_callback_ends_its_task_even_after_a_restart() {
    let place = approval().await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let id = engine
        .start(start_of("approval", "one", json!(5)))
        .await
        .unwrap()
        .id;
    let token = token(&functions).await;
    let history = Arc::clone(&engine).records(id);
    let kinds: Vec<_> = history.map(|record| record.unwrap().kind).collect().await;
    assert_eq!(
        kinds,
        ["ExecutionStarted", "TaskScheduled", "TaskSubmitted"]
    );
    drop(engine);
    tokio::time::sleep(HOUR / 2).await;
    let engine = place.open(functions.clone()).await;
    complete(&engine, &token).await;
    let head = within(engine.wait(id)).await.unwrap();
    assert_eq!(output(&head), json!("ada"));
    assert_eq!(
        functions.called("ask-human").len(),
        1,
        "it had taken the task"
    );
}

#[tokio::test(start_paused = true)]
async fn a_callbacks_timeout_counts_from_its_start_whatever_engine_counts() {
    let place = approval().await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let begin = place.clock.now();
    let id = engine
        .start(start_of("approval", "one", json!(5)))
        .await
        .unwrap()
        .id;
    let token = token(&functions).await;
    drop(engine);
    tokio::time::sleep(HOUR / 2).await;
    let engine = place.open(functions.clone()).await;
    let head = tokio::time::timeout(HOUR, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(failure(&head), "Function.Timeout");
    let took = place.clock.now().since(begin);
    assert!(
        took >= HOUR && took < HOUR + Duration::from_secs(1),
        "{took:?}"
    );
    let tasks = engine.external_tasks().unwrap();
    let late = tasks.complete(&token, Ok(json!(1).into())).await;
    assert_eq!(late.unwrap_err().kind(), faas_core::ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn sleep_goes_on_through_a_restart() {
    let place = Place::default();
    let definition = WorkflowBuilder::new()
        .sleep("night", HOUR * 8, |task| task)
        .task("morning", "echo", |task| task.after("night"))
        .output(E::result("morning", ""));
    place.register("sleeper", definition.build().unwrap()).await;
    let engine = place.open(echo()).await;
    let begin = place.clock.now();
    let id = engine
        .start(start_of("sleeper", "one", json!("good")))
        .await
        .unwrap()
        .id;
    drop(engine);
    tokio::time::sleep(HOUR * 3).await;
    let engine = place.open(echo()).await;
    let head = tokio::time::timeout(HOUR * 9, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output(&head), json!("good"));
    let slept = place.clock.now().since(begin);
    assert!(
        slept >= HOUR * 8 && slept < HOUR * 8 + Duration::from_secs(1),
        "{slept:?}"
    );
}

fn signal(name: &str, data: Value) -> Signal {
    Signal::new(name.parse().unwrap(), data)
}

#[tokio::test(start_paused = true)]
async fn signals_end_the_tasks_that_wait_for_them_early_or_late() {
    let place = Place::default();
    let definition = WorkflowBuilder::new()
        .signal("first", "go", |task| task)
        .signal("second", "go", |task| task.after("first"))
        .signal("never", "stop", |task| {
            let nothing = Fallback::Value(E::literal("nobody"));
            task.timeout(HOUR).catch(["Function.Timeout"], nothing)
        })
        .output(E::list([
            E::result("first", ""),
            E::result("second", ""),
            E::result("never", ""),
        ]));
    place.register("signals", definition.build().unwrap()).await;
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("signals", "one", json!(null)))
        .await
        .unwrap()
        .id;
    engine.signal(id, signal("other", json!(0))).await.unwrap();
    engine.signal(id, signal("go", json!(1))).await.unwrap();
    drop(engine);
    let engine = place.open(echo()).await;
    engine.signal(id, signal("go", json!(2))).await.unwrap();
    let head = tokio::time::timeout(HOUR * 2, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output(&head), json!([1, 2, "nobody"]));
}

#[tokio::test(start_paused = true)]
async fn a_history_is_followed_to_its_end_as_it_grows() {
    let place = Place::default();
    let definition = WorkflowBuilder::new()
        .signal("first", "go", |task| task)
        .task("then", "echo", |task| task.after("first"));
    place
        .register("followed", definition.build().unwrap())
        .await;
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("followed", "one", json!(null)))
        .await
        .unwrap()
        .id;
    let mut history = engine.follow(id);
    assert_eq!(
        within(history.next()).await.unwrap().unwrap().kind,
        "ExecutionStarted"
    );
    assert!(
        futures::poll!(history.next()).is_pending(),
        "no more has happened"
    );
    engine.signal(id, signal("go", json!(1))).await.unwrap();
    let rest: Vec<_> = within(history.map(|record| record.unwrap()).collect()).await;
    let ids: Vec<_> = rest.iter().map(|record| record.id).collect();
    assert_eq!(ids, (2..2 + ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(rest.last().unwrap().kind, "ExecutionSucceeded");
}
