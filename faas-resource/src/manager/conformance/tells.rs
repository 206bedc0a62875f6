//! What the manager answers and reports.

use std::collections::BTreeSet;

use faas_core::{ErrorKind, SandboxId};

use super::Fixture;

/// "`scale`, `assign` and `get` of an unknown workload, and `assign` of an unknown sandbox, answer
/// `NotFound`; removing one is no fault."
pub async fn unknown_workload(fixture: Fixture) {
    let (id, sandbox) = (fixture.spec().id, SandboxId::from_u128(1));
    let scaled = fixture.try_scale(id, [1, 0, 0]).await;
    let assigned = fixture.assign(sandbox, id).await;
    let got = fixture.manager.get(id).await.map(drop);
    let known = fixture.spec();
    fixture.apply(&known).await;
    let nobody = fixture.assign(sandbox, known.id).await;
    for answer in [scaled, assigned, got, nobody] {
        let error = answer.expect_err("nobody knows it");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    fixture.remove(id).await;
}

/// "`watch` reports every replica that becomes ready and every one that goes […], in order for
/// each replica."
pub async fn watch_pushes(fixture: Fixture) {
    let (spec, replicas, mut events) = fixture.run(2).await;
    assert!(replicas.iter().all(|replica| replica.endpoint.is_some()));
    let mut late = fixture.manager.watch();
    fixture.scale(spec.id, [0, 0, 0]).await;
    for events in [&mut events, &mut late] {
        let mut gone = BTreeSet::new();
        while gone.len() < 2 {
            gone.insert(fixture.gone(events, spec.id).await.sandbox);
        }
        let all = replicas
            .iter()
            .all(|replica| gone.contains(&replica.sandbox));
        assert!(all, "others went");
    }
}

/// "When no node can take a replica, `Waiting` is reported with the reasons, and it is tried again
/// when something changes."
pub async fn waiting_is_explained(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.sandbox = fixture.giant.clone();
    let mut events = fixture.manager.watch();
    fixture.apply(&spec).await;
    fixture.scale(spec.id, [1, 0, 0]).await;
    let error = fixture.waiting(&mut events, spec.id).await;
    assert!(!error.message().is_empty(), "no reason");
    let status = fixture.get(spec.id).await;
    assert!(status.waiting.is_some(), "`get` does not say why");
    spec.sandbox = fixture.sandbox.clone();
    fixture.apply(&spec).await;
    fixture.ready(&mut events, spec.id).await;
}
