//! Many engines over one store.

use std::sync::Arc;
use std::time::Duration;

use faas_core::ErrorKind;
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::PollTask;
use faas_workflow::program::ResourceName;
use faas_workflow::{EngineOptions, ExecutionStatus, Signal, WorkflowEngine, WorkflowLayer};
use serde_json::json;

use super::{Echo, echo, output};
use crate::fixtures::{Place, start_of, within};

fn shared() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.exclusive = false;
    options
}

/// A workflow that waits for a signal, then for a worker.
async fn two() -> (Place, [(WorkflowLayer, Arc<Echo>); 2]) {
    let place = Place::default();
    let definition = WorkflowBuilder::new()
        .signal("go", "go", |task| task)
        .worker("work", "workers", |task| task.after("go"))
        .output(E::list([E::result("go", ""), E::result("work", "")]));
    place.register("shared", definition.build().unwrap()).await;
    let hanging = WorkflowBuilder::new().task("hang", "hang", |task| task);
    place.register("hanging", hanging.build().unwrap()).await;
    let (one, two) = (echo(), echo());
    let first = place.layer(one.clone(), shared()).await;
    let second = place.layer(two.clone(), shared()).await;
    (place, [(first, one), (second, two)])
}

fn go() -> Signal {
    Signal::new("go".parse().unwrap(), json!("now"))
}

#[tokio::test(start_paused = true)]
async fn whatever_engine_is_asked_the_one_that_runs_it_does_it() {
    let (place, [(one, _), (two, _)]) = two().await;
    let id = one
        .engine()
        .start(start_of("shared", "one", json!(1)))
        .await
        .unwrap()
        .id;
    let begin = place.clock.now();
    within(two.engine().signal(id, go())).await.unwrap();
    let name = ResourceName::new("workers").unwrap();
    let tasks = one.engine().external_tasks().unwrap();
    let work = within(tasks.poll(PollTask::new(Default::default(), name)))
        .await
        .unwrap();
    let elsewhere = two.engine().external_tasks().unwrap();
    within(elsewhere.heartbeat(&work.token)).await.unwrap();
    let engine = two.engine().clone();
    let waiting = tokio::spawn(async move { engine.wait(id).await });
    within(elsewhere.complete(&work.token, Ok(json!(7).into())))
        .await
        .unwrap();
    let head = within(waiting).await.unwrap().unwrap();
    assert_eq!(output(&head), json!(["now", 7]));
    assert_eq!(
        place.clock.now().since(begin),
        Duration::ZERO,
        "all of it was pushed, nothing polled"
    );
    let again = within(elsewhere.complete(&work.token, Ok(json!(7).into()))).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotFound);
    let late = within(two.engine().signal(id, go())).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_is_refused_by_the_engine_that_knows() {
    let (_place, [(one, _), (two, _)]) = two().await;
    let id = one
        .engine()
        .start(start_of("shared", "one", json!(1)))
        .await
        .unwrap()
        .id;
    let forged =
        faas_workflow::program::TaskToken::new(id, faas_workflow::program::TaskNumber(1), 1);
    let tasks = two.engine().external_tasks().unwrap();
    let refused = within(tasks.complete(&forged, Ok(json!(7).into()))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn cancelling_reaches_functions_that_another_engine_runs() {
    let (_place, [(one, functions), (two, _)]) = two().await;
    let id = one
        .engine()
        .start(start_of("hanging", "one", json!(1)))
        .await
        .unwrap()
        .id;
    within(functions.running(1)).await;
    within(two.engine().cancel(id, "enough")).await.unwrap();
    within(functions.running(0)).await;
    let head = within(two.engine().wait(id)).await.unwrap();
    assert_eq!(head.status(), ExecutionStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_letter_to_a_dead_engine_is_read_by_the_one_that_takes_over() {
    let (place, [(one, _), (two, _)]) = two().await;
    let id = one
        .engine()
        .start(start_of("shared", "one", json!(1)))
        .await
        .unwrap()
        .id;
    drop(one);
    tokio::task::yield_now().await;
    let lease = EngineOptions::default().lease;
    let begin = place.clock.now();
    two.engine().signal(id, go()).await.unwrap();
    let waited = place.clock.now().since(begin);
    assert!(waited <= lease * 2, "hand-over took {waited:?}");
    let name = ResourceName::new("workers").unwrap();
    let tasks = two.engine().external_tasks().unwrap();
    let work = within(tasks.poll(PollTask::new(Default::default(), name)))
        .await
        .unwrap();
    assert_eq!(work.token.execution, id);
}

#[tokio::test(start_paused = true)]
async fn ten_engines_share_a_hundred_executions_and_half_of_them_die() {
    let (place, first_two) = two().await;
    let mut layers = Vec::new();
    for _ in 0..10 {
        layers.push(place.layer(echo(), shared()).await);
    }
    let mut ids = Vec::new();
    for number in 0..100 {
        let start = start_of("shared", &format!("n{number}"), json!(number));
        let layer = &layers[number % 10];
        ids.push(layer.engine().start(start).await.unwrap().id);
    }
    layers.truncate(5);
    let signals = ids.iter().enumerate().map(|(number, id)| {
        let engine = layers[number % 5].engine();
        async move { engine.signal(*id, go()).await.unwrap() }
    });
    futures::future::join_all(signals).await;
    // Each engine hands out the work of its own executions; the place's first two have taken over
    // some as well.
    let all = layers
        .iter()
        .chain(first_two.iter().map(|(layer, _)| layer));
    let workers = all.map(|layer| work_off(layer.engine()));
    let rest = async {
        for (number, id) in ids.iter().enumerate() {
            let head = layers[0].engine().wait(*id).await.unwrap();
            assert_eq!(output(&head), json!(["now", number]));
        }
    };
    let all = async { tokio::join!(futures::future::join_all(workers), rest) };
    tokio::time::timeout(Duration::from_secs(600), all)
        .await
        .unwrap();
}

/// Works until there is no more for half a minute.
async fn work_off(engine: &Arc<dyn WorkflowEngine>) {
    let tasks = engine.external_tasks().unwrap();
    loop {
        let name = ResourceName::new("workers").unwrap();
        let poll = tasks.poll(PollTask::new(Default::default(), name));
        let Ok(work) = tokio::time::timeout(Duration::from_secs(30), poll).await else {
            return;
        };
        let work = work.unwrap();
        tasks.complete(&work.token, Ok(work.input)).await.unwrap();
    }
}
