//! What `scale` does.

use faas_core::ErrorKind;

use super::Fixture;
use crate::agent::SandboxState;
use crate::workload::ScaleRequest;

/// "After `scale`, as many replicas come to run, to be paused and to be created as are wanted,
/// within the spec's bounds; others are stopped."
pub async fn scale_converges(fixture: Fixture) {
    let (mut spec, _, mut events) = fixture.run(3).await;
    assert_eq!((fixture.running)().await.len(), 3);
    fixture.scale(spec.id, [1, 0, 0]).await;
    for _ in 0..2 {
        fixture.gone(&mut events, spec.id).await;
    }
    fixture
        .until_running("stopping two", |all| all.len() == 1)
        .await;
    spec = fixture.spec();
    (spec.min, spec.max) = (1, 2);
    fixture.apply(&spec).await;
    fixture.ready(&mut events, spec.id).await;
    fixture.scale(spec.id, [4, 0, 0]).await;
    fixture.ready(&mut events, spec.id).await;
    let replicas = fixture.get(spec.id).await.replicas;
    assert_eq!(replicas.len(), 2, "more than its bound");
    fixture.scale(spec.id, [0, 0, 0]).await;
    fixture.gone(&mut events, spec.id).await;
    let status = fixture.get(spec.id).await;
    assert_eq!(status.wanted, 1, "fewer than its bound");
    pools(&fixture).await;
}

/// Replicas that stand by.
async fn pools(fixture: &Fixture) {
    let mut events = fixture.manager.watch();
    for (state, counts) in [
        (SandboxState::Paused, [0, 2, 0]),
        (SandboxState::Created, [0, 0, 2]),
    ] {
        if !fixture.offers(state) {
            continue;
        }
        let before = (fixture.running)().await.len();
        let spec = fixture.spec();
        fixture.apply(&spec).await;
        fixture.scale(spec.id, counts).await;
        for _ in 0..2 {
            let replica = fixture.pooled(&mut events, spec.id).await;
            assert_eq!(replica.phase, crate::agent::SandboxPhase::In(state));
            assert!(replica.endpoint.is_none(), "it cannot be reached");
        }
        let now = (fixture.running)().await.len();
        assert_eq!(now, before, "one that is to stand by runs");
        fixture.scale(spec.id, [0, 0, 0]).await;
        for _ in 0..2 {
            fixture.gone(&mut events, spec.id).await;
        }
    }
}

/// "What is to run is taken from the paused replicas, then from the created ones, before another is
/// started; what runs and is wanted paused is paused, where its node can."
pub async fn scale_promotes(fixture: Fixture) {
    if fixture.offers(SandboxState::Created) {
        let (spec, mut events) = (fixture.spec(), fixture.manager.watch());
        fixture.apply(&spec).await;
        fixture.scale(spec.id, [0, 0, 1]).await;
        let created = fixture.pooled(&mut events, spec.id).await.sandbox;
        fixture.scale(spec.id, [1, 0, 0]).await;
        let ready = fixture.ready(&mut events, spec.id).await;
        assert_eq!(ready.sandbox, created, "another was started");
        assert!(ready.endpoint.is_some(), "it cannot be reached");
        fixture.remove(spec.id).await;
    }
    if !fixture.offers(SandboxState::Paused) {
        return;
    }
    let (spec, replicas, mut events) = fixture.run(2).await;
    fixture.scale(spec.id, [1, 1, 0]).await;
    let paused = fixture.pooled(&mut events, spec.id).await.sandbox;
    let ours = replicas.iter().any(|replica| replica.sandbox == paused);
    assert!(ours, "another was started to be paused");
    let still = |all: &std::collections::BTreeSet<_>| !all.contains(&paused);
    fixture.until_running("pausing", still).await;
    if fixture.offers(SandboxState::Created) {
        fixture.scale(spec.id, [1, 1, 1]).await;
        fixture.pooled(&mut events, spec.id).await;
        fixture.scale(spec.id, [2, 0, 1]).await;
    } else {
        fixture.scale(spec.id, [2, 0, 0]).await;
    }
    let ready = fixture.ready(&mut events, spec.id).await.sandbox;
    assert_eq!(ready, paused, "the paused one does not come first");
}

/// "A state that no node can keep answers `Unsupported` and changes nothing."
pub async fn scale_states(fixture: Fixture) {
    let (spec, replicas, _) = fixture.run(1).await;
    for (state, counts) in [
        (SandboxState::Paused, [0, 1, 0]),
        (SandboxState::Created, [0, 0, 1]),
    ] {
        if fixture.offers(state) {
            continue;
        }
        let refused = fixture.try_scale(spec.id, counts).await;
        let error = refused.expect_err("no node can keep that state");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let status = fixture.get(spec.id).await;
        assert_eq!((status.wanted, status.paused, status.created), (1, 0, 0));
        assert!((fixture.running)().await.contains(&replicas[0].sandbox));
    }
}

/// "`scale` waits for no store."
pub async fn scale_is_soft(fixture: Fixture) {
    let Some(stall) = &fixture.stall else {
        return;
    };
    let (spec, mut events) = (fixture.spec(), fixture.manager.watch());
    fixture.apply(&spec).await;
    stall(true);
    fixture.scale(spec.id, [2, 0, 0]).await;
    for _ in 0..2 {
        fixture.ready(&mut events, spec.id).await;
    }
    stall(false);
}

/// "Those named `retiring` are stopped whatever the counts, and replaced where the counts want it."
pub async fn retiring_go(fixture: Fixture) {
    let (spec, replicas, mut events) = fixture.run(2).await;
    let mut request = ScaleRequest::running(spec.id, 2);
    request.retiring = vec![replicas[0].sandbox];
    let scaled = fixture.manager.scale(request).await;
    scaled.expect("it is scaled");
    let gone = fixture.gone(&mut events, spec.id).await.sandbox;
    assert_eq!(gone, replicas[0].sandbox, "the wrong one went");
    fixture
        .until_running("its replacement", |all| {
            all.len() == 2 && all.contains(&replicas[1].sandbox) && !all.contains(&gone)
        })
        .await;
    let mut request = ScaleRequest::running(spec.id, 1);
    request.retiring = vec![replicas[1].sandbox];
    let scaled = fixture.manager.scale(request).await;
    scaled.expect("it is scaled");
    let gone = fixture.gone(&mut events, spec.id).await.sandbox;
    assert_eq!(gone, replicas[1].sandbox, "the wrong one went");
}
