//! Stores that fail, engines that hand over, and requests that come too late.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use faas_core::{ErrorKind, MemoryStore};
use faas_workflow::engine::conformance::{Harness, Probe};
use faas_workflow::execution_store::EngineEvent;
use faas_workflow::{EngineOptions, ExecutionStatus, Signal, WorkflowEngine, WorkflowLayer};
use serde_json::json;

use crate::crash::{World, furnish, load, place, recorded_once, run, start};
use crate::fixtures::{Judged, Place, Verdict};

/// Fails every seventh commit: in turn without, and in spite of, having done it.
fn flaky() -> Arc<Judged> {
    Arc::new(Judged {
        inner: Arc::new(MemoryStore::new()),
        commits: AtomicUsize::new(0),
        judge: |number| match number % 14 {
            // The first few make the registry and the epoch.
            _ if number < 6 => Verdict::Done,
            6 => Verdict::Refused,
            13 => Verdict::Ambiguous,
            _ => Verdict::Done,
        },
    })
}

#[tokio::test(start_paused = true)]
async fn failing_appends_change_nothing_of_the_outcome() {
    let whole = run(&place().await, 40, None).await;
    let place = furnish(Place::over(flaky())).await;
    let head = tokio::time::timeout(Duration::from_secs(600), run(&place, 40, None)).await;
    let head = head.expect("it goes on");
    assert_eq!(head.ending, whole.ending);
    let stored = load(&place, head.id).await;
    recorded_once(&stored);
    let adopted = |event: &&EngineEvent| matches!(event, EngineEvent::Adopted { .. });
    let adopted = stored.events.iter().filter(adopted).count();
    assert!(adopted > 1, "appends failed {adopted} times");
}

fn shared() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.exclusive = false;
    options
}

#[tokio::test(start_paused = true)]
async fn an_engine_takes_over_from_one_that_is_silent() {
    let place = place().await;
    let world = Arc::new(World::default());
    let other = place.layer(world.clone(), shared()).await;
    let one = place.layer(world.clone(), shared()).await;
    let id = one.engine().start(start(40)).await.unwrap().id;
    drop(one);
    let head = tokio::time::timeout(Duration::from_secs(60), other.engine().wait(id)).await;
    assert_eq!(head.unwrap().unwrap().status(), ExecutionStatus::Succeeded);
    recorded_once(&load(&place, id).await);
}

#[tokio::test(start_paused = true)]
async fn engines_that_live_leave_each_other_alone() {
    let place = place().await;
    let probe = Arc::new(Probe::default());
    probe.hold("double");
    let one = place.layer(probe.clone(), shared()).await;
    let id = one.engine().start(start(1)).await.unwrap().id;
    let other = place.layer(probe.clone(), shared()).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(other.durable().unwrap().recover().await.unwrap(), 0);
    assert_eq!(
        other
            .engine()
            .describe_execution(id)
            .await
            .unwrap()
            .status(),
        ExecutionStatus::Running
    );
    assert_eq!(
        probe.calls("double").len(),
        2,
        "the item and the other task, once each"
    );
}

async fn busy(probe: &Arc<Probe>) -> (Place, WorkflowLayer, faas_core::ExecutionId) {
    let place = place().await;
    probe.hold("double");
    let layer = place.layer(probe.clone(), EngineOptions::default()).await;
    let id = layer.engine().start(start(1)).await.unwrap().id;
    probe.called("double", 2).await;
    (place, layer, id)
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_runs_and_hands_over_the_rest() {
    let probe = Arc::new(Probe::default());
    let (place, layer, id) = busy(&probe).await;
    let engine = layer.durable().unwrap().clone();
    let shutdown = tokio::spawn(async move { engine.shutdown(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    probe.release();
    shutdown.await.unwrap().unwrap();
    let error = layer.engine().start(start(2)).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Unavailable | ErrorKind::AlreadyExists
        ),
        "{error}"
    );
    let next = place.open(probe.clone()).await;
    next.wait(id).await.unwrap();
    assert_eq!(
        probe.calls("double").len(),
        2,
        "their results were recorded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_at_its_deadline() {
    let probe = Arc::new(Probe::default());
    let (_place, layer, _id) = busy(&probe).await;
    let error = layer
        .durable()
        .unwrap()
        .shutdown(Duration::from_secs(5))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    probe.idle().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_is_a_conflict() {
    let place = place().await;
    let engine = place.open(Arc::new(World::default())).await;
    let id = engine.start(start(3)).await.unwrap().id;
    engine.wait(id).await.unwrap();
    let signal = Signal::new("late".parse().unwrap(), json!(1));
    let error = engine.signal(id, signal).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_layer_tells_all_its_faults() {
    let mut options = EngineOptions::default();
    (options.tasks, options.inbox) = (0, 0);
    let builder = WorkflowLayer::builder().options(options);
    let faults = builder.faults();
    assert_eq!(faults.len(), 2, "the invoker may still come: {faults:?}");
    let error = builder.build().await.unwrap_err();
    assert!(error.message().starts_with("3 faults"), "{error}");
    assert!(faults.iter().all(|fault| error.message().contains(fault)));
}
