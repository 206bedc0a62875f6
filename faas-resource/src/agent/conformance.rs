//! The rules of [`NodeAgent`]'s contract as tests: run them with
//! [`node_agent_conformance!`](crate::node_agent_conformance).
//!
//! Cases drive real things (processes, containers), so they use real time, bounded by
//! [`Fixture::patience`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::{
    EnsureSandbox, ExitCause, ExitCauseKind, NodeAgent, NodeEvent, SandboxPhase, SandboxState,
    SandboxStatus,
};
use crate::spec::SandboxSpec;

/// Whether anything of this sandbox is left outside of the agent: processes, sockets, directories;
/// answers what.
pub type LeftOf = Box<dyn Fn(SandboxId) -> BoxFuture<'static, Option<String>> + Send + Sync>;
/// Ends a running sandbox from outside, where its end cannot be part of its spec.
pub type End = Box<dyn Fn(SandboxId) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fresh agent, and what it can be asked to run.
#[non_exhaustive]
pub struct Fixture {
    /// The agent; it runs nothing yet.
    pub agent: Arc<dyn NodeAgent>,
    /// Runs until it is stopped.
    pub lasting: SandboxSpec,
    /// Starts, and then ends in a way that the agent reports with this cause: by itself, or when
    /// [`end`](Self::end) ends it. `None` if nothing of this agent ever ends.
    pub ending: Option<(SandboxSpec, ExitCause)>,
    /// How those of `ending` are ended that do not by themselves.
    pub end: Option<End>,
    /// Cannot start.
    pub broken: SandboxSpec,
    /// Of a kind that the agent does not run; `None` if it runs all.
    pub foreign: Option<SandboxSpec>,
    /// What is left of a sandbox.
    pub left: LeftOf,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the agent: directories, runtimes.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Fixture {
    /// An agent whose sandboxes never end by themselves, that runs every kind, and that leaves
    /// nothing outside of this process; the other fields can be set.
    pub fn new(agent: Arc<dyn NodeAgent>, lasting: SandboxSpec, broken: SandboxSpec) -> Self {
        Self {
            agent,
            lasting,
            ending: None,
            end: None,
            broken,
            foreign: None,
            left: Box::new(|_| Box::pin(async { None })),
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    async fn ensure(&self, request: EnsureSandbox) -> SandboxStatus {
        let ensured = self.soon("ensure", self.agent.ensure(request)).await;
        ensured.expect("the sandbox starts")
    }

    async fn refused(&self, request: EnsureSandbox) -> ErrorKind {
        let ensured = self.soon("ensure", self.agent.ensure(request)).await;
        let error = ensured.expect_err("it must be refused");
        assert!(!error.message().is_empty(), "an error must say why");
        error.kind()
    }

    async fn stop(&self, sandbox: SandboxId, grace: Duration) {
        let stopped = self.soon("stop", self.agent.stop(sandbox, grace)).await;
        stopped.expect("it can be stopped");
    }

    async fn list(&self) -> Vec<SandboxStatus> {
        let listed = self.soon("list", self.agent.list()).await;
        listed.expect("the node can be listed")
    }

    async fn listed(&self, sandbox: SandboxId) -> Option<SandboxStatus> {
        let mut all = self.list().await;
        let count = all.iter().filter(|status| status.id == sandbox).count();
        assert!(count < 2, "a sandbox is listed {count} times");
        all.retain(|status| status.id == sandbox);
        all.pop()
    }

    async fn nothing_left(&self, sandbox: SandboxId) {
        assert!(self.listed(sandbox).await.is_none(), "it is still listed");
        let left = (self.left)(sandbox).await;
        assert!(left.is_none(), "left of it: {}", left.unwrap_or_default());
    }

    /// Waits for the end of a sandbox to be reported.
    async fn ended(
        &self,
        events: &mut BoxStream<'static, NodeEvent>,
        sandbox: SandboxId,
    ) -> ExitCause {
        let end = async {
            while let Some(event) = events.next().await {
                match event {
                    NodeEvent::Sandbox(status) if status.id == sandbox => {
                        if let SandboxPhase::Exited(cause) = status.phase {
                            return cause;
                        }
                    }
                    _ => {}
                }
            }
            panic!("the watch ended")
        };
        self.soon("the report of the end", end).await
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// One case: takes a fresh fixture, and panics if the rule does not hold.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |fixture| Box::pin($case(fixture)))),*];
    };
}
cases! {
    ensure_running ensure_once ensure_states ensure_refuses_foreign start_failure stop_ends
    stop_unknown list_shows_all exit_reported watch_pushes cancel_safe
}

/// Expands to one `#[tokio::test]` per rule of [`NodeAgent`](crate::NodeAgent)'s contract. Takes
/// an `async` closure that makes a fresh [`Fixture`](crate::agent::conformance::Fixture).
///
/// That sandboxes die with the process (`dies_with_us`) cannot be seen from inside of it: an
/// adapter with sandboxes outside of the process tests that with a process of its own.
#[macro_export]
macro_rules! node_agent_conformance {
    ($factory:expr) => {
        $crate::node_agent_conformance! { @cases $factory;
            ensure_running ensure_once ensure_states ensure_refuses_foreign start_failure
            stop_ends stop_unknown list_shows_all exit_reported watch_pushes cancel_safe
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::agent::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// Ids that no other case of this process uses, so that what is left of one cannot be mistaken
/// for another's.
fn id() -> SandboxId {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let high = u128::from(RandomState::new().hash_one(0u8));
    SandboxId::from_u128((high << 64) | u128::from(COUNT.fetch_add(1, Ordering::Relaxed)))
}

fn running(id: SandboxId, spec: &SandboxSpec) -> EnsureSandbox {
    EnsureSandbox::running(id, WorkloadId::from_u128(1), Arc::new(spec.clone()))
}

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

/// "A state that `node().states` does not name answers `Unsupported` and changes nothing."
pub async fn ensure_states(fixture: Fixture) {
    let states = fixture.agent.node().states;
    assert!(
        states.contains(&SandboxState::Running),
        "a node that cannot run sandboxes"
    );
    for state in [SandboxState::Created, SandboxState::Paused] {
        let id = id();
        let mut request = running(id, &fixture.lasting);
        request.state = state;
        if states.contains(&state) {
            let phase = fixture.ensure(request).await.phase;
            assert_eq!(phase, SandboxPhase::In(state));
            let status = fixture.ensure(running(id, &fixture.lasting)).await;
            assert!(status.is_running(), "{state:?} does not lead to Running");
            fixture.stop(id, Duration::from_secs(1)).await;
        } else {
            assert_eq!(fixture.refused(request).await, ErrorKind::Unsupported);
        }
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

/// "A sandbox that cannot start answers an error that says why, and leaves nothing behind."
pub async fn start_failure(fixture: Fixture) {
    let id = id();
    fixture.refused(running(id, &fixture.broken)).await;
    fixture.nothing_left(id).await;
    // The id is as free as it was.
    fixture.ensure(running(id, &fixture.lasting)).await;
    fixture.stop(id, Duration::from_secs(1)).await;
}

/// "When `stop` has answered, the sandbox does not run, is not listed, and nothing of it is left
/// […]. It is graceful first, and forced after `grace`."
pub async fn stop_ends(fixture: Fixture) {
    for grace in [Duration::ZERO, Duration::from_millis(100)] {
        let (id, other) = (id(), id());
        fixture.ensure(running(id, &fixture.lasting)).await;
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

/// "Stopping what is not there is no fault."
pub async fn stop_unknown(fixture: Fixture) {
    let id = id();
    fixture.stop(id, Duration::ZERO).await;
    fixture.ensure(running(id, &fixture.lasting)).await;
    fixture.stop(id, Duration::ZERO).await;
    fixture.stop(id, Duration::ZERO).await;
    fixture.nothing_left(id).await;
}

/// "`list` shows every sandbox that was ensured and not stopped."
pub async fn list_shows_all(fixture: Fixture) {
    assert!(fixture.list().await.is_empty(), "the fixture is not fresh");
    let ids: BTreeSet<_> = (0..3).map(|_| id()).collect();
    for id in &ids {
        fixture.ensure(running(*id, &fixture.lasting)).await;
    }
    let listed: BTreeSet<_> = fixture.list().await.iter().map(|one| one.id).collect();
    assert_eq!(listed, ids);
    for id in &ids {
        fixture.stop(*id, Duration::from_secs(1)).await;
    }
    assert!(fixture.list().await.is_empty(), "stopped ones are listed");
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

/// "`watch` reports what happens from the call on."
pub async fn watch_pushes(fixture: Fixture) {
    let before = id();
    fixture.ensure(running(before, &fixture.lasting)).await;
    let mut events = fixture.agent.watch();
    let id = id();
    fixture.ensure(running(id, &fixture.lasting)).await;
    let first = fixture.soon("an event", events.next()).await;
    let Some(NodeEvent::Sandbox(status)) = first else {
        panic!("{first:?} instead of the start");
    };
    assert_eq!(status.id, id, "an event of before the call");
    fixture.stop(id, Duration::from_secs(1)).await;
    let removed = async {
        while let Some(event) = events.next().await {
            if matches!(event, NodeEvent::Removed(removed) if removed == id) {
                return;
            }
        }
        panic!("the watch ended")
    };
    fixture
        .soon("the report that it left the list", removed)
        .await;
    fixture.stop(before, Duration::from_secs(1)).await;
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
