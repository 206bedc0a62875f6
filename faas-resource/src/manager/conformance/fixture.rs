//! What a case is given.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Error, HookName, NodeName, Result, SandboxId, WorkloadId};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::agent::{ExitCause, SandboxState};
use crate::hook::{Cookie, Prepared, Reach, ReachKind, SandboxHook};
use crate::manager::ResourceManager;
use crate::spec::SandboxSpec;
use crate::workload::{Replica, ScaleRequest, WorkloadEvent, WorkloadSpec, WorkloadStatus};

/// The sandboxes that run on the nodes.
pub type Running = Box<dyn Fn() -> BoxFuture<'static, BTreeSet<SandboxId>> + Send + Sync>;
/// Ends a running sandbox on its node, so that the manager has to notice.
pub type End = Box<dyn Fn(SandboxId) -> BoxFuture<'static, ()> + Send + Sync>;
/// Drops a manager and makes the next over the same store and nodes.
pub type Restart = Box<
    dyn Fn(Arc<dyn ResourceManager>) -> BoxFuture<'static, Arc<dyn ResourceManager>> + Send + Sync,
>;
/// Silences a node, or lets it answer again.
pub type Silence = Box<dyn Fn(NodeName, bool) + Send + Sync>;
/// Keeps the store from answering, or lets it answer again.
pub type Stall = Box<dyn Fn(bool) + Send + Sync>;

/// A fresh manager over nodes with room for at least four of `sandbox`, on each node if there are
/// several.
#[non_exhaustive]
pub struct Fixture {
    /// The manager; it has no workloads.
    pub manager: Arc<dyn ResourceManager>,
    /// Runs until it is stopped.
    pub sandbox: SandboxSpec,
    /// Fits on no node.
    pub giant: SandboxSpec,
    /// What runs.
    pub running: Running,
    /// Ends one.
    pub end: End,
    /// The next life.
    pub restart: Restart,
    /// The states that all nodes offer: running alone, unless it is set.
    pub states: BTreeSet<SandboxState>,
    /// Whether all nodes can assign in these states: not, unless it is set.
    pub assigns: bool,
    /// Where there are several nodes: makes one fall silent, which the manager is to notice within
    /// the patience.
    pub silence: Option<Silence>,
    /// Where starts have a bound that ends within the patience: a start of this one never ends.
    pub stuck: Option<SandboxSpec>,
    /// Where the manager has a store of its own.
    pub stall: Option<Stall>,
    /// Where the manager calls hooks: one that it offers in each life.
    pub hook: Option<(HookName, Arc<Recorder>)>,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
}

impl Fixture {
    /// A fixture without anything optional.
    pub fn new(
        manager: Arc<dyn ResourceManager>,
        sandbox: SandboxSpec,
        giant: SandboxSpec,
        running: Running,
        end: End,
        restart: Restart,
    ) -> Self {
        Self {
            manager,
            sandbox,
            giant,
            running,
            end,
            restart,
            states: [SandboxState::Running].into(),
            assigns: false,
            silence: None,
            stuck: None,
            stall: None,
            hook: None,
            patience: Duration::from_secs(10),
        }
    }

    pub(super) fn offers(&self, state: SandboxState) -> bool {
        self.states.contains(&state)
    }

    /// A new workload of `sandbox`.
    pub(super) fn spec(&self) -> WorkloadSpec {
        self.spec_of(&self.sandbox)
    }

    pub(super) fn spec_of(&self, sandbox: &SandboxSpec) -> WorkloadSpec {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = WorkloadId::from_u128(COUNT.fetch_add(1, Ordering::Relaxed).into());
        WorkloadSpec::new(id, sandbox.clone())
    }

    pub(super) async fn apply(&self, spec: &WorkloadSpec) {
        let applied = self.soon("apply", self.manager.apply(spec.clone())).await;
        applied.expect("a good spec is applied");
    }

    /// Scales to so many running, paused and created replicas.
    pub(super) async fn scale(&self, workload: WorkloadId, counts: [u32; 3]) {
        let scaled = self.try_scale(workload, counts).await;
        scaled.expect("a known workload is scaled");
    }

    pub(super) async fn try_scale(&self, workload: WorkloadId, counts: [u32; 3]) -> Result<()> {
        let [running, paused, created] = counts;
        let mut request = ScaleRequest::running(workload, running);
        (request.paused, request.created) = (paused, created);
        self.soon("scale", self.manager.scale(request)).await
    }

    pub(super) async fn assign(&self, sandbox: SandboxId, to: WorkloadId) -> Result<()> {
        self.soon("assign", self.manager.assign(sandbox, to)).await
    }

    pub(super) async fn get(&self, workload: WorkloadId) -> WorkloadStatus {
        let status = self.soon("get", self.manager.get(workload)).await;
        status.expect("the workload is there")
    }

    pub(super) async fn remove(&self, workload: WorkloadId) {
        let removed = self.soon("remove", self.manager.remove(workload)).await;
        removed.expect("it is removed");
    }

    pub(super) async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    /// Waits for an event that `wanted` takes.
    pub(super) async fn event<T>(
        &self,
        what: &str,
        events: &mut BoxStream<'static, WorkloadEvent>,
        mut wanted: impl FnMut(WorkloadEvent) -> Option<T>,
    ) -> T {
        let found = async {
            while let Some(event) = events.next().await {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            panic!("the watch ended before {what}")
        };
        self.soon(what, found).await
    }

    pub(super) async fn ready(
        &self,
        events: &mut BoxStream<'static, WorkloadEvent>,
        of: WorkloadId,
    ) -> Replica {
        let wanted = |event| match event {
            WorkloadEvent::Ready(workload, replica) if workload == of => Some(replica),
            _ => None,
        };
        self.event("Ready", events, wanted).await
    }

    pub(super) async fn pooled(
        &self,
        events: &mut BoxStream<'static, WorkloadEvent>,
        of: WorkloadId,
    ) -> Replica {
        let wanted = |event| match event {
            WorkloadEvent::Pooled(workload, replica) if workload == of => Some(replica),
            _ => None,
        };
        self.event("Pooled", events, wanted).await
    }

    pub(super) async fn gone(
        &self,
        events: &mut BoxStream<'static, WorkloadEvent>,
        of: WorkloadId,
    ) -> Replica {
        let wanted = |event| match event {
            WorkloadEvent::Gone(workload, replica) if workload == of => Some(replica),
            _ => None,
        };
        self.event("Gone", events, wanted).await
    }

    pub(super) async fn removed(
        &self,
        events: &mut BoxStream<'static, WorkloadEvent>,
        of: WorkloadId,
    ) {
        let wanted =
            |event| matches!(event, WorkloadEvent::Removed(removed) if removed == of).then_some(());
        self.event("Removed", events, wanted).await;
    }

    pub(super) async fn waiting(
        &self,
        events: &mut BoxStream<'static, WorkloadEvent>,
        of: WorkloadId,
    ) -> Error {
        let wanted = |event| match event {
            WorkloadEvent::Waiting(id, error) if id == of => Some(error),
            _ => None,
        };
        self.event("Waiting", events, wanted).await
    }

    /// Waits until what runs on the nodes is as it should be; nobody reports that. Bounded by the
    /// patience.
    pub(super) async fn until_running(
        &self,
        what: &str,
        is: impl Fn(&BTreeSet<SandboxId>) -> bool,
    ) {
        let poll = async {
            while !is(&(self.running)().await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.soon(what, poll).await;
    }

    /// Applies a workload and has so many replicas run.
    pub(super) async fn run(
        &self,
        count: u32,
    ) -> (
        WorkloadSpec,
        Vec<Replica>,
        BoxStream<'static, WorkloadEvent>,
    ) {
        let spec = self.spec();
        let mut events = self.manager.watch();
        self.apply(&spec).await;
        self.scale(spec.id, [count, 0, 0]).await;
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(self.ready(&mut events, spec.id).await);
        }
        (spec, replicas, events)
    }

    pub(super) async fn next_life(mut self) -> Self {
        // The last handle goes with the call, so that the old life ends before the next begins.
        let restarted = (self.restart)(self.manager);
        let bounded = tokio::time::timeout(self.patience, restarted).await;
        self.manager = bounded.expect("a restart ends in time");
        self
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// A hook that remembers what it was told, in order.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<(&'static str, SandboxId)>>);

impl Recorder {
    fn note(&self, what: &'static str, sandbox: SandboxId) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push((what, sandbox));
    }

    /// What it was told of a sandbox.
    pub(super) fn told(&self, sandbox: SandboxId) -> Vec<&'static str> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = told.iter().filter(|(_, id)| *id == sandbox);
        of.map(|(what, _)| *what).collect()
    }
}

#[async_trait]
impl SandboxHook for Recorder {
    fn needs(&self) -> Vec<ReachKind> {
        Vec::new()
    }

    async fn prepare(&self, sandbox: SandboxId, _: Option<Reach>) -> Result<Prepared> {
        self.note("prepare", sandbox);
        Ok(Prepared {
            cookie: Cookie(sandbox.to_string().into()),
            ..Prepared::default()
        })
    }

    async fn resume(&self, sandbox: SandboxId, _: Option<Reach>, cookie: &Cookie) -> Result<()> {
        self.note("resume", sandbox);
        if cookie.0 == sandbox.to_string().as_bytes() {
            return Ok(());
        }
        Err(Error::unavailable("resume sandbox", "its cookie is lost"))
    }

    async fn release(&self, sandbox: SandboxId, _: &ExitCause) {
        self.note("release", sandbox);
    }
}
