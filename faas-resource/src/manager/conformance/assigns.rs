//! What `assign` does.

use faas_core::{ByteSize, ErrorKind, Name, SandboxId, WorkloadId};

use super::Fixture;
use crate::agent::{SandboxPhase, SandboxState};
use crate::workload::{Constraint, WorkloadEvent, WorkloadSpec};

/// "A replica with which nothing is under way becomes one of another workload, in the state that it
/// is in […]."
pub async fn assign_specialises(fixture: Fixture) {
    if !fixture.assigns {
        return;
    }
    for (state, counts) in [
        (SandboxState::Running, [1, 0, 0]),
        (SandboxState::Paused, [0, 1, 0]),
        (SandboxState::Created, [0, 0, 1]),
    ] {
        if fixture.offers(state) {
            specialise(&fixture, state, counts).await;
        }
    }
}

async fn specialise(fixture: &Fixture, state: SandboxState, counts: [u32; 3]) {
    let (pool, mut target) = (fixture.spec(), fixture.spec());
    target.sandbox.environment.insert("A".into(), "1".into());
    let mut events = fixture.manager.watch();
    fixture.apply(&pool).await;
    fixture.apply(&target).await;
    fixture.scale(pool.id, counts).await;
    let sandbox = settled(fixture, &mut events, pool.id).await;
    fixture
        .assign(sandbox, target.id)
        .await
        .expect("it can be assigned");
    let moved = fixture.gone(&mut events, pool.id).await;
    assert_eq!(
        (moved.sandbox, moved.phase),
        (sandbox, SandboxPhase::In(state))
    );
    // The pool is filled again, and the other workload has it and keeps it.
    let mut refilled = None;
    let mut arrived = false;
    let both = |event| {
        match event {
            WorkloadEvent::Ready(of, replica) | WorkloadEvent::Pooled(of, replica) => {
                arrived |= of == target.id && replica.sandbox == sandbox;
                if of == pool.id {
                    refilled = Some(replica.sandbox);
                }
            }
            WorkloadEvent::Gone(of, _) => assert_ne!(of, target.id, "it does not keep it"),
            _ => {}
        }
        (arrived && refilled.is_some()).then_some(())
    };
    fixture.event("both", &mut events, both).await;
    let status = fixture.get(target.id).await;
    let ids: Vec<_> = status.replicas.iter().map(|found| found.sandbox).collect();
    assert_eq!(ids, [sandbox]);
    let again = fixture.assign(sandbox, target.id).await;
    again.expect("it is there already");
    if state != SandboxState::Running {
        fixture.scale(target.id, [1, 0, 0]).await;
        let ready = fixture.ready(&mut events, target.id).await.sandbox;
        assert_eq!(ready, sandbox, "another was started");
    }
    for id in [pool.id, target.id] {
        fixture.remove(id).await;
        fixture.removed(&mut events, id).await;
    }
}

/// The next replica that is where it is to be.
async fn settled(
    fixture: &Fixture,
    events: &mut futures::stream::BoxStream<'static, WorkloadEvent>,
    of: WorkloadId,
) -> SandboxId {
    let there = |event| match event {
        WorkloadEvent::Ready(id, replica) | WorkloadEvent::Pooled(id, replica) if id == of => {
            Some(replica.sandbox)
        }
        _ => None,
    };
    fixture.event("a replica", events, there).await
}

/// "A sandbox whose spec differs […] answers `InvalidArgument` with every difference; a place that
/// the workload's rules forbid, or a sandbox that is busy, `Conflict`; a workload with all of its
/// replicas `Exhausted`; what its node cannot do `Unsupported`; and nothing is changed."
pub async fn assign_refuses(fixture: Fixture) {
    let (pool, replicas, _) = fixture.run(1).await;
    let sandbox = replicas[0].sandbox;
    let refused = async |change: &(dyn Fn(&mut WorkloadSpec) + Sync)| {
        let mut target = fixture.spec();
        change(&mut target);
        fixture.apply(&target).await;
        let answer = fixture.assign(sandbox, target.id).await;
        let error = answer.expect_err("it must be refused");
        let status = fixture.get(pool.id).await;
        let kept = status.replicas.iter().any(|found| found.sandbox == sandbox);
        assert!(kept, "the pool has lost it");
        assert!(fixture.get(target.id).await.replicas.is_empty());
        assert!(
            (fixture.running)().await.contains(&sandbox),
            "it was stopped"
        );
        error
    };
    let other = |target: &mut WorkloadSpec| target.sandbox.resources.memory = ByteSize::kib(4);
    let error = refused(&other).await;
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    if !fixture.assigns {
        let error = refused(&|_| {}).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        return;
    }
    let elsewhere = |target: &mut WorkloadSpec| {
        let node = Name::new("node").expect("a name");
        let here = Name::new(replicas[0].node.as_str()).expect("a name");
        let unlike = Constraint::Unlike(node, [here].into());
        target.rules.constraints.push(unlike);
    };
    let error = refused(&elsewhere).await;
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let (full, full_replicas, _) = {
        let mut spec = fixture.spec();
        spec.max = 1;
        let mut events = fixture.manager.watch();
        fixture.apply(&spec).await;
        fixture.scale(spec.id, [1, 0, 0]).await;
        let replica = fixture.ready(&mut events, spec.id).await;
        (spec, replica.sandbox, events)
    };
    let error = fixture
        .assign(sandbox, full.id)
        .await
        .expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    let running = (fixture.running)().await;
    assert!(running.contains(&sandbox) && running.contains(&full_replicas));
}
