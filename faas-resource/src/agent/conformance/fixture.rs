//! What a case is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::agent::{
    EnsureSandbox, ExitCause, NodeAgent, NodeEvent, SandboxPhase, SandboxState, SandboxStatus,
};
use crate::spec::SandboxSpec;

/// Whether anything of this sandbox is left outside of the agent: processes, sockets, directories;
/// answers what.
pub type LeftOf = Box<dyn Fn(SandboxId) -> BoxFuture<'static, Option<String>> + Send + Sync>;
/// Ends a running sandbox from outside, where its end cannot be part of its spec.
pub type End = Box<dyn Fn(SandboxId) -> BoxFuture<'static, ()> + Send + Sync>;

/// Whether a sandbox is seen to be frozen from outside of the agent.
pub type Frozen = Box<dyn Fn(SandboxId) -> BoxFuture<'static, bool> + Send + Sync>;
/// Has another process run sandboxes of such an agent and kills it, by a signal that it cannot
/// handle; answers what is left of them.
pub type Killed = Box<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

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
    /// Where it can be seen: whether a sandbox is frozen.
    pub frozen: Option<Frozen>,
    /// Where sandboxes are outside of this process: what is left of them when it is killed.
    pub killed: Option<Killed>,
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
            frozen: None,
            killed: None,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    pub(super) async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    pub(super) async fn ensure(&self, request: EnsureSandbox) -> SandboxStatus {
        let ensured = self.soon("ensure", self.agent.ensure(request)).await;
        ensured.expect("the sandbox starts")
    }

    pub(super) async fn refused(&self, request: EnsureSandbox) -> ErrorKind {
        let ensured = self.soon("ensure", self.agent.ensure(request)).await;
        let error = ensured.expect_err("it must be refused");
        assert!(!error.message().is_empty(), "an error must say why");
        error.kind()
    }

    pub(super) async fn stop(&self, sandbox: SandboxId, grace: Duration) {
        let stopped = self.soon("stop", self.agent.stop(sandbox, grace)).await;
        stopped.expect("it can be stopped");
    }

    pub(super) async fn list(&self) -> Vec<SandboxStatus> {
        let listed = self.soon("list", self.agent.list()).await;
        listed.expect("the node can be listed")
    }

    pub(super) async fn listed(&self, sandbox: SandboxId) -> Option<SandboxStatus> {
        let mut all = self.list().await;
        let count = all.iter().filter(|status| status.id == sandbox).count();
        assert!(count < 2, "a sandbox is listed {count} times");
        all.retain(|status| status.id == sandbox);
        all.pop()
    }

    pub(super) async fn nothing_left(&self, sandbox: SandboxId) {
        assert!(self.listed(sandbox).await.is_none(), "it is still listed");
        let left = (self.left)(sandbox).await;
        assert!(left.is_none(), "left of it: {}", left.unwrap_or_default());
    }

    /// Waits for the end of a sandbox to be reported.
    pub(super) async fn ended(
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

/// Ids that no other case of this process uses, so that what is left of one cannot be mistaken
/// for another's.
pub(super) fn id() -> SandboxId {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let high = u128::from(RandomState::new().hash_one(0u8));
    SandboxId::from_u128((high << 64) | u128::from(COUNT.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn running(id: SandboxId, spec: &SandboxSpec) -> EnsureSandbox {
    EnsureSandbox::running(id, WorkloadId::from_u128(1), Arc::new(spec.clone()))
}

pub(super) fn to(id: SandboxId, spec: &SandboxSpec, state: SandboxState) -> EnsureSandbox {
    let mut request = running(id, spec);
    request.state = state;
    request
}
