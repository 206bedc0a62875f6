//! What becomes of a workload that is scaled.

use std::time::Duration;

use faas_core::explain::Finding;
use faas_core::{Clock, ErrorKind, Resources};
use faas_resource::NodeAgent;
use faas_resource::agent::{ExitCause, SandboxPhase};
use faas_resource::workload::{Priority, ScaleRequest, WorkloadEvent};

use crate::common::{apply, cluster, gone, next, ready, scale};

#[tokio::test(start_paused = true)]
async fn scales_up_and_down_and_removes() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("echo");
    let mut events = layer.manager().watch();
    apply(&layer, &spec).await;
    scale(&layer, spec.id, 3).await;
    let first = ready(&mut events).await;
    ready(&mut events).await;
    ready(&mut events).await;
    assert_eq!(cluster.running().await, 3);
    assert!(first.endpoint.is_some());
    let mut request = ScaleRequest::running(spec.id, 2);
    request.retiring = vec![first.sandbox];
    layer.manager().scale(request).await.expect("a good test");
    assert_eq!(gone(&mut events).await.sandbox, first.sandbox);
    assert_eq!(
        layer.decisions().explain(first.sandbox).finding,
        Finding::Found
    );
    layer.manager().remove(spec.id).await.expect("a good test");
    while !matches!(next(&mut events).await, WorkloadEvent::Removed(_)) {}
    assert!(cluster.node.list().await.expect("a good test").is_empty());
    assert_eq!(
        layer
            .manager()
            .capacity()
            .await
            .expect("a good test")
            .allocated,
        Resources::default()
    );
    let error = layer.manager().get(spec.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let told = cluster.hook.0.lock().expect("a good test");
    let count = |what| told.iter().filter(|(told, _)| *told == what).count();
    assert_eq!((count("prepare"), count("release")), (3, 3));
    let ends = cluster.hook.1.lock().expect("a good test");
    assert!(
        ends.iter().all(|end| *end == ExitCause::Stopped),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn replaces_the_dead_and_backs_off() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.min = 1;
    let mut events = layer.manager().watch();
    apply(&layer, &spec).await;
    for _ in 0..4 {
        let replica = ready(&mut events).await;
        cluster
            .node
            .end(replica.sandbox, ExitCause::Code(3))
            .expect("a good test");
        let ended = gone(&mut events).await;
        assert_eq!(ended.phase, SandboxPhase::Exited(ExitCause::Code(3)));
    }
    let before = cluster.clock.now();
    ready(&mut events).await;
    assert!(
        cluster.clock.now().since(before) >= Duration::from_millis(300),
        "no back-off"
    );
    assert_eq!(cluster.running().await, 1);
    let ends = cluster.hook.1.lock().expect("a good test");
    assert_eq!(
        *ends,
        vec![ExitCause::Code(3); 4],
        "its hook is told how each ended"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_is_explained_and_ends() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let (a, b) = (cluster.spec("echo"), cluster.spec("echo"));
    let mut events = layer.manager().watch();
    for spec in [&a, &b] {
        apply(&layer, spec).await;
    }
    scale(&layer, a.id, 10).await;
    for _ in 0..10 {
        ready(&mut events).await;
    }
    scale(&layer, b.id, 1).await;
    let WorkloadEvent::Waiting(id, error) = next(&mut events).await else {
        panic!("it must wait");
    };
    assert!(id == b.id && !error.message().is_empty(), "{error}");
    scale(&layer, a.id, 9).await;
    ready(&mut events).await;
    let status = layer.manager().get(b.id).await.expect("a good test");
    assert!(status.waiting.is_none() && status.replicas.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_told_and_tried_again() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("missing");
    let mut events = layer.manager().watch();
    apply(&layer, &spec).await;
    scale(&layer, spec.id, 1).await;
    for _ in 0..3 {
        let replica = gone(&mut events).await;
        assert!(matches!(
            replica.phase,
            SandboxPhase::Exited(ExitCause::StartFailure(_))
        ));
    }
    assert!(
        layer
            .manager()
            .get(spec.id)
            .await
            .expect("a good test")
            .waiting
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn the_higher_priority_gets_room() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let (low, mut high) = (cluster.spec("echo"), cluster.spec("echo"));
    high.priority = Priority(1);
    let mut events = layer.manager().watch();
    for spec in [&low, &high] {
        apply(&layer, spec).await;
    }
    scale(&layer, low.id, 10).await;
    for _ in 0..10 {
        ready(&mut events).await;
    }
    scale(&layer, high.id, 2).await;
    for _ in 0..2 {
        ready(&mut events).await;
    }
    let replicas = async |id| layer.manager().get(id).await.expect("known").replicas.len();
    assert_eq!((replicas(low.id).await, replicas(high.id).await), (8, 2));
    let status = layer.manager().get(low.id).await.expect("known");
    assert!(status.waiting.is_some() && status.wanted == 10);
    assert_eq!(cluster.running().await, 10);
}
