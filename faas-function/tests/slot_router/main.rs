//! What `SlotRouter` does beyond the contract of routers: dead instances, timelines, decisions, spans,
//! metrics.

mod counts;
mod stage;

use std::time::Duration;

use faas_core::{ErrorKind, Phase, StartKind};
use faas_function::router::SlotRouterOptions;
use faas_function::{FunctionRouter, MetadataStore};
use futures::StreamExt;
use stage::{Mood, Stage, function};

#[tokio::test(start_paused = true)]
async fn a_dead_instance_goes_and_another_is_tried() {
    let stage = Stage::new(SlotRouterOptions::default()).await;
    stage.add(Mood::Well);
    // The last one added is picked first.
    stage.add(Mood::Dead);
    let call = stage.call();
    let id = call.id;
    let answer = FunctionRouter::invoke(&*stage.router, call).await;
    answer.expect("the other one runs it");
    let (_, load) = stage.router.demand().next().await.expect("a load");
    assert_eq!((load.ready, load.running), (1, 0));
    let story = stage.decisions.explain(id).to_string();
    assert!(story.contains("its instance was gone"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_is_told_in_the_trailer_and_in_the_decisions() {
    let stage = Stage::new(SlotRouterOptions::default()).await;
    let call = stage.call();
    let id = call.id;
    let router = stage.router.clone();
    let waiting = tokio::spawn(async move { FunctionRouter::invoke(&*router, call).await });
    stage
        .clock
        .sleep_until(stage.clock.now() + Duration::from_secs(2))
        .await;
    stage.add(Mood::Well);
    let response = waiting.await.expect("no panic").expect("it runs");
    let done = response.collect(100).await.expect("a body");
    assert_eq!(done.start, StartKind::Cold);
    assert!(done.trailer.timeline[Phase::Queue] >= Duration::from_secs(2));
    let story = stage.decisions.explain(id).to_string();
    assert!(
        story.contains("is free") && story.contains("got a slot"),
        "{story}"
    );
    let warm = FunctionRouter::invoke(&*stage.router, stage.call()).await;
    assert_eq!(warm.expect("it runs").start, StartKind::Warm);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_the_wait() {
    let stage = Stage::new(SlotRouterOptions::default()).await;
    let (router, call) = (stage.router.clone(), stage.call());
    let waiting = tokio::spawn(async move { FunctionRouter::invoke(&*router, call).await });
    stage
        .clock
        .sleep_until(stage.clock.now() + Duration::from_secs(1))
        .await;
    stage
        .metadata
        .delete(&function(), None)
        .await
        .expect("deleted");
    let error = waiting.await.expect("no panic").expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
