//! Executions that run as tasks of others.

use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::{ExecutionStatus, HistoryQuery, WorkflowEngine};
use serde_json::json;

use super::{echo, failure, output};
use crate::fixtures::{Place, start_of, within};

async fn place(function: &str) -> Place {
    let place = Place::default();
    let inner = WorkflowBuilder::new()
        .task("work", function, |task| task)
        .output(E::object([("worked", E::result("work", ""))]));
    place.register("inner", inner.build().unwrap()).await;
    let outer = WorkflowBuilder::new()
        .workflow("child", "inner", |task| task.input(E::input("/n")))
        .output(E::result("child", "/worked"));
    place.register("outer", outer.build().unwrap()).await;
    place
}

async fn running(engine: &std::sync::Arc<dyn WorkflowEngine>) -> Vec<faas_workflow::ExecutionHead> {
    let running = faas_workflow::execution_store::ExecutionFilter::new(ExecutionStatus::Running);
    engine.list(running).await.unwrap().executions
}

#[tokio::test(start_paused = true)]
async fn a_childs_output_is_the_tasks_result() {
    let place = place("echo").await;
    let engine = place.open(echo()).await;
    let head = engine
        .start(start_of("outer", "one", json!({"n": 7})))
        .await
        .unwrap();
    let head = within(engine.wait(head.id)).await.unwrap();
    assert_eq!(output(&head), json!(7));
}

#[tokio::test(start_paused = true)]
async fn a_childs_failure_is_the_tasks() {
    let place = place("fail").await;
    let engine = place.open(echo()).await;
    let head = engine
        .start(start_of("outer", "one", json!({"n": 7})))
        .await
        .unwrap();
    assert_eq!(
        failure(&within(engine.wait(head.id)).await.unwrap()),
        "Boom"
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_parent_reaches_the_childs_function() {
    let place = place("hang").await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let parent = engine
        .start(start_of("outer", "one", json!({"n": 7})))
        .await
        .unwrap();
    within(functions.running(1)).await;
    let heads = running(&engine).await;
    let child = heads.iter().find(|head| head.id != parent.id).unwrap();
    assert_eq!(child.parent.unwrap().execution, parent.id);
    engine.cancel(parent.id, "enough").await.unwrap();
    within(functions.running(0)).await;
    let child = within(engine.wait(child.id)).await.unwrap();
    assert_eq!(child.status(), ExecutionStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_crash_starts_no_second_child() {
    let place = place("hang").await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let parent = engine
        .start(start_of("outer", "one", json!({"n": 7})))
        .await
        .unwrap();
    within(functions.running(1)).await;
    drop(engine);
    within(functions.running(0)).await;
    let engine = place.open(functions.clone()).await;
    within(functions.running(1)).await;
    assert_eq!(
        running(&engine).await.len(),
        2,
        "the parent and its only child"
    );
    let calls = functions.called("hang");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1], "the same call, under the same key");
    engine.cancel(parent.id, "enough").await.unwrap();
    within(functions.running(0)).await;
    while !running(&engine).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_parent_ended_while_nobody_ran_is_cancelled() {
    let place = place("hang").await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let parent = engine
        .start(start_of("outer", "one", json!({"n": 7})))
        .await
        .unwrap();
    within(functions.running(1)).await;
    let heads = running(&engine).await;
    let child = heads.iter().find(|head| head.id != parent.id).unwrap().id;
    // The engine dies between the parent's end and telling the child of it.
    let cancelled = engine.cancel(parent.id, "enough").await;
    drop(engine);
    cancelled.unwrap();
    let engine = place.open(functions.clone()).await;
    let child = within(engine.wait(child)).await.unwrap();
    assert_eq!(child.status(), ExecutionStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn nesting_is_bounded() {
    let place = Place::default();
    let itself = WorkflowBuilder::new().workflow("again", "russian-doll", |task| task);
    place
        .register("russian-doll", itself.build().unwrap())
        .await;
    let engine = place.open(echo()).await;
    let head = engine
        .start(start_of("russian-doll", "one", json!(1)))
        .await
        .unwrap();
    let head = within(engine.wait(head.id)).await.unwrap();
    assert_eq!(failure(&head), "Platform.LimitExceeded");
    let history = engine.history(HistoryQuery::new(head.id)).await.unwrap();
    assert_eq!(history.records.last().unwrap().kind, "ExecutionFailed");
}
