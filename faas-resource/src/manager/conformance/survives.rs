//! What the manager makes of deaths: of sandboxes, of nodes, of itself.

use std::collections::BTreeSet;

use super::Fixture;
use crate::workload::WorkloadEvent;

/// "A replica that ends while it is wanted is replaced."
pub async fn replaces_the_dead(fixture: Fixture) {
    let (spec, replicas, mut events) = fixture.run(1).await;
    (fixture.end)(replicas[0].sandbox).await;
    let gone = fixture.gone(&mut events, spec.id).await;
    assert_eq!(gone.sandbox, replicas[0].sandbox);
    let ready = fixture.ready(&mut events, spec.id).await;
    assert_ne!(ready.sandbox, replicas[0].sandbox);
}

/// "Replicas of a node that does not answer for a bounded time are reported `Gone` and replaced
/// elsewhere; when it answers again, what it still runs is adopted if it is wanted, and stopped if
/// not."
pub async fn replaces_the_lost(fixture: Fixture) {
    let Some(silence) = &fixture.silence else {
        return;
    };
    let (spec, replicas, mut events) = fixture.run(2).await;
    let node = replicas[0].node.clone();
    let on_it = replicas.iter().filter(|replica| replica.node == node);
    let lost: BTreeSet<_> = on_it.map(|replica| replica.sandbox).collect();
    silence(node.clone(), true);
    let mut gone = BTreeSet::new();
    let mut new = BTreeSet::new();
    let replaced = |event| {
        match event {
            WorkloadEvent::Gone(_, replica) => drop(gone.insert(replica.sandbox)),
            WorkloadEvent::Ready(_, replica) => {
                assert_ne!(replica.node, node, "on the node that is lost");
                new.insert(replica.sandbox);
            }
            _ => {}
        }
        (gone == lost && new.len() == lost.len()).then_some(())
    };
    fixture
        .event("the replacement", &mut events, replaced)
        .await;
    let mut wanted: BTreeSet<_> = replicas.iter().map(|replica| replica.sandbox).collect();
    wanted.retain(|sandbox| !lost.contains(sandbox));
    wanted.extend(new);
    silence(node, false);
    // They are not wanted any more: replicas took their places.
    fixture
        .until_running("what the lost node ran is stopped", |all| *all == wanted)
        .await;
    fixture.scale(spec.id, [2, 0, 0]).await;
    assert_eq!(fixture.get(spec.id).await.replicas.len(), 2);
}

/// "After a restart, what still runs and is of its workload's present spec is adopted; what is of
/// another is replaced."
pub async fn adopts_the_present(fixture: Fixture) {
    let (mut spec, replicas, _) = fixture.run(1).await;
    let (kept, kept_replicas, _) = fixture.run(1).await;
    let (old, kept_sandbox) = (replicas[0].sandbox, kept_replicas[0].sandbox);
    // The change is stored, and this life ends before it can act on it: its nodes stand still.
    let Some(silence) = &fixture.silence else {
        return restarted_plainly(fixture, &[old, kept_sandbox]).await;
    };
    silence(replicas[0].node.clone(), true);
    (spec.min, spec.max) = (1, 7);
    spec.sandbox.environment.insert("A".into(), "1".into());
    fixture.apply(&spec).await;
    silence(replicas[0].node.clone(), false);
    let fixture = fixture.next_life().await;
    fixture.scale(kept.id, [1, 0, 0]).await;
    fixture.scale(spec.id, [1, 0, 0]).await;
    fixture
        .until_running("the outdated one is replaced", |all| {
            all.len() == 2 && all.contains(&kept_sandbox) && !all.contains(&old)
        })
        .await;
}

async fn restarted_plainly(fixture: Fixture, before: &[faas_core::SandboxId]) {
    let fixture = fixture.next_life().await;
    let running = (fixture.running)().await;
    let all = before.iter().all(|sandbox| running.contains(sandbox));
    assert!(all, "not all were adopted");
}

/// "After `remove` has answered and its `Removed` was reported, no replica is left on any node that
/// answers."
pub async fn remove_leaves_nothing(fixture: Fixture) {
    let (spec, _, mut events) = fixture.run(2).await;
    fixture.remove(spec.id).await;
    fixture.removed(&mut events, spec.id).await;
    assert!((fixture.running)().await.is_empty(), "replicas are left");
    assert!(fixture.manager.get(spec.id).await.is_err());
    let fixture = fixture.next_life().await;
    assert!(fixture.manager.get(spec.id).await.is_err(), "it came back");
}
