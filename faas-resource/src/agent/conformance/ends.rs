//! How sandboxes end.

use std::time::Duration;

use super::fixture::{Fixture, id, running, to};
use crate::agent::{ExitCause, ExitCauseKind, SandboxPhase};

/// "A sandbox that cannot start answers an error that says why, and leaves nothing behind."
pub async fn start_failure(fixture: Fixture) {
    let id = id();
    fixture.refused(running(id, &fixture.broken)).await;
    fixture.nothing_left(id).await;
    // The id is as free as it was.
    fixture.ensure(running(id, &fixture.lasting)).await;
    fixture.stop(id, Duration::from_secs(1)).await;
}

/// "When `stop` has answered, the sandbox, whatever its state was, does not run, is not listed, and
/// nothing of it is left […]. It is graceful first, and forced after `grace`."
pub async fn stop_ends(fixture: Fixture) {
    for state in fixture.agent.node().states {
        for grace in [Duration::ZERO, Duration::from_millis(100)] {
            let (id, other) = (id(), self::id());
            fixture.ensure(to(id, &fixture.lasting, state)).await;
            fixture.ensure(running(other, &fixture.lasting)).await;
            fixture.stop(id, grace).await;
            fixture.nothing_left(id).await;
            let other_status = fixture.listed(other).await;
            assert!(
                other_status.is_some_and(|status| status.is_running()),
                "another one was stopped with it"
            );
            fixture.stop(other, grace).await;
            fixture.nothing_left(other).await;
        }
    }
}

/// "Stopping what is not there is no fault."
pub async fn stop_unknown(fixture: Fixture) {
    let id = id();
    fixture.stop(id, Duration::ZERO).await;
    fixture.ensure(running(id, &fixture.lasting)).await;
    fixture.stop(id, Duration::ZERO).await;
    fixture.stop(id, Duration::ZERO).await;
    fixture.nothing_left(id).await;
}

/// "Every end of a sandbox is reported by `watch`, with a cause of those that `node().exit_causes`
/// names; until it is stopped, `list` shows it as exited."
pub async fn exit_reported(fixture: Fixture) {
    let Some((spec, expected)) = &fixture.ending else {
        return;
    };
    let id = id();
    let mut events = fixture.agent.watch();
    fixture.ensure(running(id, spec)).await;
    if let Some(end) = &fixture.end {
        fixture.soon("its end", end(id)).await;
    }
    let cause = fixture.ended(&mut events, id).await;
    assert_eq!(&cause, expected);
    let kind = match &cause {
        ExitCause::Code(_) => Some(ExitCauseKind::Code),
        ExitCause::Signal(_) => Some(ExitCauseKind::Signal),
        ExitCause::OutOfMemory => Some(ExitCauseKind::OutOfMemory),
        ExitCause::StartFailure(_) => Some(ExitCauseKind::StartFailure),
        ExitCause::Stopped | ExitCause::NodeLost | ExitCause::Unknown => None,
    };
    let named = fixture.agent.node().exit_causes;
    assert!(
        kind.is_none_or(|kind| named.contains(&kind)),
        "{kind:?} is not named"
    );
    let listed = fixture.listed(id).await.expect("it is listed as exited");
    assert_eq!(listed.phase, SandboxPhase::Exited(cause));
    assert!(listed.endpoint.is_none(), "nobody is there to be reached");
    fixture.stop(id, Duration::ZERO).await;
    fixture.nothing_left(id).await;
}

/// "Unless `sandboxes_outlive_us`, no sandbox outlives this process."
pub async fn dies_with_us(fixture: Fixture) {
    let outlives = fixture.agent.node().sandboxes_outlive_us;
    if let (Some(killed), false) = (&fixture.killed, outlives) {
        let left = fixture.soon("the end of the sandboxes", killed()).await;
        assert!(left.is_none(), "left of them: {}", left.unwrap_or_default());
    }
}
