//! What `ensure` does.

use std::time::Duration;

use faas_core::{ErrorKind, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::fixture::{Fixture, id, running, to};
use crate::agent::{NodeEvent, SandboxPhase, SandboxState};

const ALL: [SandboxState; 3] = [
    SandboxState::Created,
    SandboxState::Paused,
    SandboxState::Running,
];

/// "`ensure(…, Running)` answers when the sandbox runs, with its endpoint."
pub async fn ensure_running(fixture: Fixture) {
    let id = id();
    let mut request = running(id, &fixture.lasting);
    request.prepared.cookie = crate::hook::Cookie("remember".into());
    let status = fixture.ensure(request).await;
    assert_eq!((status.id, status.workload), (id, WorkloadId::from_u128(1)));
    assert!(status.is_running(), "it is {:?}", status.phase);
    assert!(status.endpoint.is_some(), "it runs and cannot be reached");
    let listed = fixture.listed(id).await.expect("it is listed");
    assert!(listed.is_running() && listed.endpoint.is_some());
    assert_eq!(&listed.cookie.0[..], b"remember", "the cookie is lost");
    fixture.stop(id, Duration::from_secs(1)).await;
}

/// "However often and from however many callers a sandbox is ensured, it is started once; the same
/// state again changes nothing."
pub async fn ensure_once(fixture: Fixture) {
    let id = id();
    let mut events = fixture.agent.watch();
    let callers = (0..8).map(|_| fixture.ensure(running(id, &fixture.lasting)));
    for status in futures::future::join_all(callers).await {
        assert!(status.is_running());
    }
    fixture.ensure(running(id, &fixture.lasting)).await;
    assert_eq!(fixture.list().await.len(), 1);
    fixture.stop(id, Duration::from_secs(1)).await;
    // All that is to be heard of it comes before the start of another one.
    let last = self::id();
    fixture.ensure(running(last, &fixture.lasting)).await;
    let mut starts = 0;
    let until_last = async {
        while let Some(event) = events.next().await {
            match event {
                NodeEvent::Sandbox(status) if status.is_running() && status.id == last => return,
                NodeEvent::Sandbox(status) if status.is_running() => starts += 1,
                _ => {}
            }
        }
        panic!("the watch ended")
    };
    fixture.soon("the reports of the starts", until_last).await;
    fixture.stop(last, Duration::from_secs(1)).await;
    assert_eq!(starts, 1, "it was started {starts} times");
    fixture.nothing_left(id).await;
}

/// "Each state that `node().states` names, `Running` among them, is reached from nothing; one that it
/// does not name answers `Unsupported` and changes nothing."
pub async fn ensure_states(fixture: Fixture) {
    let states = fixture.agent.node().states;
    assert!(
        states.contains(&SandboxState::Running),
        "a node that cannot run sandboxes"
    );
    for state in ALL {
        let id = id();
        let request = to(id, &fixture.lasting, state);
        if states.contains(&state) {
            let status = fixture.ensure(request).await;
            assert_eq!(status.phase, SandboxPhase::In(state));
            let reached = status.endpoint.is_some();
            assert_eq!(reached, state == SandboxState::Running, "in {state:?}");
            fixture.stop(id, Duration::from_secs(1)).await;
        } else {
            assert_eq!(fixture.refused(request).await, ErrorKind::Unsupported);
        }
        fixture.nothing_left(id).await;
    }
}

/// "Of the states that it names, each is reached from each other, except that what ran is never
/// `Created` again: that answers `Conflict` and changes nothing."
pub async fn ensure_moves(fixture: Fixture) {
    let states = fixture.agent.node().states;
    for from in ALL.into_iter().filter(|state| states.contains(state)) {
        for state in ALL.into_iter().filter(|state| states.contains(state)) {
            let id = id();
            fixture.ensure(to(id, &fixture.lasting, from)).await;
            let mut events = fixture.agent.watch();
            let request = to(id, &fixture.lasting, state);
            let back = state == SandboxState::Created && from != state;
            if back {
                assert_eq!(fixture.refused(request).await, ErrorKind::Conflict);
            } else {
                let phase = fixture.ensure(request).await.phase;
                assert_eq!(phase, SandboxPhase::In(state), "from {from:?}");
            }
            let now = if back { from } else { state };
            let listed = fixture.listed(id).await.expect("it is listed");
            assert_eq!(listed.phase, SandboxPhase::In(now));
            if now != from {
                told(&fixture, &mut events, id, now).await;
            }
            fixture.stop(id, Duration::from_secs(1)).await;
            fixture.nothing_left(id).await;
        }
    }
}

async fn told(
    fixture: &Fixture,
    events: &mut BoxStream<'static, NodeEvent>,
    id: SandboxId,
    state: SandboxState,
) {
    let report = async {
        while let Some(event) = events.next().await {
            if let NodeEvent::Sandbox(status) = event
                && status.id == id
                && status.phase == SandboxPhase::In(state)
            {
                return;
            }
        }
        panic!("the watch ended")
    };
    fixture.soon("the report of its state", report).await;
}

/// "A paused sandbox does no work and has no endpoint; when it runs again, it goes on where it was."
pub async fn paused_is_frozen(fixture: Fixture) {
    if !fixture.agent.node().states.contains(&SandboxState::Paused) {
        return;
    }
    let (id, other) = (id(), self::id());
    fixture.ensure(running(other, &fixture.lasting)).await;
    fixture.ensure(running(id, &fixture.lasting)).await;
    let frozen = async |id| match &fixture.frozen {
        Some(frozen) => Some(frozen(id).await),
        None => None,
    };
    assert_ne!(frozen(id).await, Some(true), "it is frozen while it runs");
    let paused = to(id, &fixture.lasting, SandboxState::Paused);
    let status = fixture.ensure(paused.clone()).await;
    assert!(status.endpoint.is_none(), "who would answer there?");
    let listed = fixture.listed(id).await.expect("it is listed");
    assert!(listed.endpoint.is_none(), "who would answer there?");
    assert_ne!(frozen(id).await, Some(false), "it works on");
    assert_ne!(
        frozen(other).await,
        Some(true),
        "another one is frozen with it"
    );
    fixture.ensure(paused).await;
    let status = fixture.ensure(running(id, &fixture.lasting)).await;
    assert!(status.endpoint.is_some(), "it runs and cannot be reached");
    assert_ne!(frozen(id).await, Some(true), "it does not go on");
    for id in [id, other] {
        fixture.stop(id, Duration::from_secs(1)).await;
        fixture.nothing_left(id).await;
    }
}

/// "An executable of a kind that `node().executables` does not name answers `Unsupported`."
pub async fn ensure_refuses_foreign(fixture: Fixture) {
    let kinds = fixture.agent.node().executables;
    assert!(kinds.contains(&fixture.lasting.executable.kind()));
    if let Some(foreign) = &fixture.foreign {
        assert!(!kinds.contains(&foreign.executable.kind()));
        let id = id();
        let kind = fixture.refused(running(id, foreign)).await;
        assert_eq!(kind, ErrorKind::Unsupported);
        fixture.nothing_left(id).await;
    }
}

/// "Dropping the future of `ensure` leaves a sandbox that `list` shows, or none."
pub async fn cancel_safe(fixture: Fixture) {
    for polls in 0..8u32 {
        let id = id();
        let mut ensure = fixture.agent.ensure(running(id, &fixture.lasting));
        for _ in 0..polls {
            if futures::poll!(ensure.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(ensure);
        let shown = fixture.listed(id).await;
        if shown.is_none() {
            let left = (fixture.left)(id).await;
            assert!(left.is_none(), "not listed, but there: {left:?}");
        }
        // Either way it can be ensured, and stopped.
        let status = fixture.ensure(running(id, &fixture.lasting)).await;
        assert!(status.is_running());
        fixture.stop(id, Duration::ZERO).await;
        fixture.nothing_left(id).await;
    }
}
