//! The rules of [`Assign`]'s contract as tests: run them with
//! [`assign_conformance!`](crate::assign_conformance).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Digest, ErrorKind, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::future::BoxFuture;

use super::fixture::{id, running, to};
use crate::NodeAgent;
use crate::agent::{
    Assign, AssignSandbox, ExitCause, NodeEvent, SandboxPhase, SandboxState, SandboxStatus,
};
use crate::hook::Cookie;
use crate::spec::SandboxSpec;

/// Whether a running sandbox is what `other` says.
pub type Serves = Box<dyn Fn(SandboxStatus) -> BoxFuture<'static, bool> + Send + Sync>;
/// Ends a sandbox from outside.
pub type End = Box<dyn Fn(SandboxId) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fresh agent that can assign, and what it can be asked to run.
#[non_exhaustive]
pub struct Fixture {
    /// The agent; it runs nothing yet.
    pub agent: Arc<dyn NodeAgent>,
    /// Runs until it is stopped.
    pub pooled: SandboxSpec,
    /// Something else that runs until it is stopped, of the same kind and size.
    pub other: SandboxSpec,
    /// Whether what runs is `other`.
    pub serves_other: Serves,
    /// Ends one.
    pub end: End,
    /// Of a kind that the agent does not run; `None` if it runs all.
    pub foreign: Option<SandboxSpec>,
    /// The states in which it can assign: those that the node offers, unless it is set.
    pub states: Vec<SandboxState>,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the agent: directories, runtimes.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Fixture {
    /// A fixture without a foreign spec.
    pub fn new(
        agent: Arc<dyn NodeAgent>,
        pooled: SandboxSpec,
        other: SandboxSpec,
        serves_other: Serves,
        end: End,
    ) -> Self {
        let states = agent.node().states.into_iter().collect();
        Self {
            agent,
            pooled,
            other,
            serves_other,
            end,
            foreign: None,
            states,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    fn capability(&self) -> Arc<dyn Assign> {
        self.agent.assign().expect("an agent that can assign")
    }

    async fn assign(&self, request: AssignSandbox) -> faas_core::Result<SandboxStatus> {
        self.soon("assign", self.capability().assign(request)).await
    }

    /// A sandbox of the pool, in a state.
    async fn pooled(&self, state: SandboxState) -> SandboxId {
        let id = id();
        let mut request = to(id, &self.pooled, state);
        request.prepared.cookie = Cookie("remember".into());
        let ensured = self.soon("ensure", self.agent.ensure(request)).await;
        assert!(ensured.expect("it starts").phase == SandboxPhase::In(state));
        id
    }

    async fn listed(&self, id: SandboxId) -> SandboxStatus {
        let all = self.soon("list", self.agent.list()).await.expect("a list");
        let found = all.into_iter().find(|status| status.id == id);
        found.expect("it is listed")
    }

    async fn stop(&self, id: SandboxId) {
        let stopped = self.agent.stop(id, Duration::from_secs(1));
        let stopped = self.soon("stop", stopped).await;
        stopped.expect("it can be stopped");
    }

    fn request(&self, id: SandboxId) -> AssignSandbox {
        let spec = Arc::new(self.other.clone());
        AssignSandbox::new(id, WorkloadId::from_u128(2), spec, Digest::of(b"other"))
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
cases! { takes_identity serves_the_new assign_once refuses_whole needs_sandbox }

/// Expands to one `#[tokio::test]` per rule of [`Assign`](crate::agent::Assign)'s contract. Takes
/// an `async` closure that makes a fresh
/// [`Fixture`](crate::agent::conformance::assign::Fixture).
#[macro_export]
macro_rules! assign_conformance {
    ($factory:expr) => {
        $crate::assign_conformance! { @cases $factory;
            takes_identity serves_the_new assign_once refuses_whole needs_sandbox
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::agent::conformance::assign::$case(($factory)().await).await;
        }
    )*};
}

/// "When `assign` has answered, the sandbox is listed with the new workload and digest, and with the
/// id, state and cookie that it had; its watchers are told."
pub async fn takes_identity(fixture: Fixture) {
    for state in fixture.states.clone() {
        let id = fixture.pooled(state).await;
        let mut events = fixture.agent.watch();
        let request = fixture.request(id);
        let answer = fixture.assign(request.clone()).await.expect("it can");
        let told = async {
            while let Some(event) = events.next().await {
                if let NodeEvent::Sandbox(status) = event
                    && status.id == id
                {
                    return status;
                }
            }
            panic!("the watch ended")
        };
        let told = fixture.soon("the report", told).await;
        for status in [answer, fixture.listed(id).await, told] {
            assert_eq!(status.id, id);
            assert_eq!(status.workload, request.workload);
            assert_eq!(status.digest, request.digest);
            assert_eq!(status.phase, SandboxPhase::In(state));
            assert_eq!(&status.cookie.0[..], b"remember", "the cookie is lost");
        }
        fixture.stop(id).await;
    }
}

/// "What runs in it, now or when it is started later, is what the new spec says."
pub async fn serves_the_new(fixture: Fixture) {
    for state in fixture.states.clone() {
        let id = fixture.pooled(state).await;
        fixture.assign(fixture.request(id)).await.expect("it can");
        let mut request = running(id, &fixture.other);
        (request.workload, request.digest) = (WorkloadId::from_u128(2), Digest::of(b"other"));
        let runs = fixture.soon("ensure", fixture.agent.ensure(request)).await;
        let runs = runs.expect("it runs");
        assert!(
            (fixture.serves_other)(runs).await,
            "it is what it was: {state:?}"
        );
        fixture.stop(id).await;
    }
}

/// "The same again changes nothing."
pub async fn assign_once(fixture: Fixture) {
    for state in fixture.states.clone() {
        let id = fixture.pooled(state).await;
        fixture.assign(fixture.request(id)).await.expect("it can");
        let before = fixture.listed(id).await;
        let again = fixture.assign(fixture.request(id)).await;
        assert_eq!(again.expect("it is").phase, before.phase);
        let after = fixture.listed(id).await;
        let same = |status: SandboxStatus| (status.workload, status.digest, status.phase);
        assert_eq!(same(after), same(before));
        fixture.stop(id).await;
    }
}

/// "What cannot be changed any more in the sandbox's state […] answers `Unsupported`, an executable
/// of another kind `Unsupported`, a sandbox that has ended `Conflict`; and nothing is changed."
pub async fn refuses_whole(fixture: Fixture) {
    let offered = fixture.agent.node().states;
    for state in offered
        .into_iter()
        .filter(|state| !fixture.states.contains(state))
    {
        let id = fixture.pooled(state).await;
        refused(&fixture, fixture.request(id), ErrorKind::Unsupported).await;
        fixture.stop(id).await;
    }
    if let Some(foreign) = &fixture.foreign {
        let id = fixture.pooled(fixture.states[0]).await;
        let mut request = fixture.request(id);
        request.spec = Arc::new(foreign.clone());
        refused(&fixture, request, ErrorKind::Unsupported).await;
        fixture.stop(id).await;
    }
    let id = fixture.pooled(SandboxState::Running).await;
    fixture.soon("its end", (fixture.end)(id)).await;
    let ended = async {
        while !matches!(fixture.listed(id).await.phase, SandboxPhase::Exited(_)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    fixture.soon("its end", ended).await;
    refused(&fixture, fixture.request(id), ErrorKind::Conflict).await;
    let phase = fixture.listed(id).await.phase;
    assert_ne!(phase, SandboxPhase::Exited(ExitCause::Stopped));
    fixture.stop(id).await;
}

async fn refused(fixture: &Fixture, request: AssignSandbox, kind: ErrorKind) {
    let before = fixture.listed(request.id).await;
    let error = fixture.assign(request.clone()).await;
    let error = error.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    let after = fixture.listed(request.id).await;
    let same = |status: SandboxStatus| (status.workload, status.digest, status.phase);
    assert_eq!(same(after), same(before), "it was changed");
}

/// "A sandbox that is not there answers `NotFound`."
pub async fn needs_sandbox(fixture: Fixture) {
    let nobody = fixture.assign(fixture.request(id())).await;
    let error = nobody.expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let all = fixture.soon("list", fixture.agent.list()).await;
    assert!(all.expect("a list").is_empty(), "it came into being");
}
