//! What the manager starts.

use std::sync::Arc;
use std::time::Duration;

use faas_core::SandboxId;

use super::{Fixture, Recorder};
use crate::workload::WorkloadEvent;

/// "A start that takes too long has failed; `Waiting` says so, and it is tried again."
pub async fn starts_are_bounded(fixture: Fixture) {
    let Some(stuck) = &fixture.stuck else {
        return;
    };
    let (spec, mut events) = (fixture.spec_of(stuck), fixture.manager.watch());
    fixture.apply(&spec).await;
    fixture.scale(spec.id, [1, 0, 0]).await;
    let error = fixture.waiting(&mut events, spec.id).await;
    assert!(!error.message().is_empty(), "no reason");
    let first = fixture.gone(&mut events, spec.id).await.sandbox;
    let second = fixture.gone(&mut events, spec.id).await.sandbox;
    assert_ne!(first, second, "it was not tried again");
    // Nobody else is held up by it.
    let (_, _, _) = fixture.run(1).await;
}

/// "No more sandboxes are started than were ever wanted at once, plus those that ended or were
/// lost."
pub async fn starts_nothing_twice(fixture: Fixture) {
    let (spec, ..) = fixture.run(3).await;
    let before = (fixture.running)().await;
    for _ in 0..3 {
        fixture.scale(spec.id, [3, 0, 0]).await;
    }
    let fixture = fixture.next_life().await;
    fixture.scale(spec.id, [3, 0, 0]).await;
    let mut events = fixture.manager.watch();
    fixture.scale(spec.id, [4, 0, 0]).await;
    let wanted = |event| match event {
        WorkloadEvent::Ready(_, new) if !before.contains(&new.sandbox) => Some(new.sandbox),
        _ => None,
    };
    let new = fixture.event("the fourth", &mut events, wanted).await;
    let mut all = before.clone();
    all.insert(new);
    assert_eq!((fixture.running)().await, all, "not the three and one more");
}

/// "The hook named in the spec prepares before every start and is released after every end; a spec
/// that names a hook that the manager does not offer is refused."
pub async fn hook_before_start(fixture: Fixture) {
    let mut spec = fixture.spec();
    spec.sandbox.hook = Some("nobody-offers-this".parse().expect("a name"));
    let refused = fixture.manager.apply(spec.clone()).await;
    assert!(refused.is_err(), "it cannot prepare what it starts");
    assert!(fixture.manager.get(spec.id).await.is_err());
    let Some((name, recorder)) = fixture.hook.clone() else {
        return;
    };
    spec.sandbox.hook = Some(name);
    calls(fixture, spec, recorder).await;
}

async fn calls(fixture: Fixture, spec: crate::WorkloadSpec, recorder: Arc<Recorder>) {
    let mut events = fixture.manager.watch();
    fixture.apply(&spec).await;
    fixture.scale(spec.id, [1, 0, 0]).await;
    let first = fixture.ready(&mut events, spec.id).await.sandbox;
    assert_eq!(recorder.told(first), ["prepare"], "when it had started");
    (fixture.end)(first).await;
    let second = fixture.ready(&mut events, spec.id).await.sandbox;
    assert_eq!(recorder.told(second), ["prepare"], "for its replacement");
    told(&fixture, &recorder, first, &["prepare", "release"]).await;
    let fixture = fixture.next_life().await;
    let mut events = fixture.manager.watch();
    fixture.scale(spec.id, [1, 0, 0]).await;
    told(&fixture, &recorder, second, &["prepare", "resume"]).await;
    let running = (fixture.running)().await;
    assert!(running.contains(&second), "it was not adopted");
    fixture.remove(spec.id).await;
    fixture.removed(&mut events, spec.id).await;
    let all = ["prepare", "resume", "release"];
    told(&fixture, &recorder, second, &all).await;
}

/// Waits until the hook has been told just this of a sandbox; nobody reports that.
async fn told(fixture: &Fixture, recorder: &Recorder, sandbox: SandboxId, what: &[&str]) {
    let poll = async {
        while recorder.told(sandbox) != what {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    fixture
        .soon(&format!("telling the hook {what:?}"), poll)
        .await;
}
