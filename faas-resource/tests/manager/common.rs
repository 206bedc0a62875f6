//! A cluster of one node with room for ten sandboxes, in paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    HookName, IdSource, MemoryStore, Millicpu, Resources, Result, SandboxId, Store, TokioClock,
    WorkloadId,
};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::{ExitCause, NodeInfo};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};
use faas_resource::layer::ResourceLayer;
use faas_resource::scheduler::FilterScore;
use faas_resource::spec::ExecutableKind;
use faas_resource::workload::{Replica, ScaleRequest, WorkloadEvent};
use faas_resource::{Executable, NodeAgent, SandboxHook, SandboxSpec, WorkloadSpec};
use futures::StreamExt;
use futures::stream::BoxStream;

pub(crate) struct Cluster {
    pub(crate) node: Arc<MemoryNode>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) ids: IdSource,
    pub(crate) hook: Arc<Recorder>,
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Recorder(
    pub(crate) Mutex<Vec<(&'static str, SandboxId)>>,
    pub(crate) Mutex<Vec<ExitCause>>,
);

impl Recorder {
    pub(crate) fn note(&self, what: &'static str, sandbox: SandboxId) {
        self.0.lock().expect("a good test").push((what, sandbox));
    }
}

#[async_trait]
impl SandboxHook for Recorder {
    fn needs(&self) -> Vec<ReachKind> {
        vec![]
    }
    async fn prepare(&self, sandbox: SandboxId, _: Option<Reach>) -> Result<Prepared> {
        self.note("prepare", sandbox);
        Ok(Prepared::default())
    }
    async fn resume(&self, sandbox: SandboxId, _: Option<Reach>, _: &Cookie) -> Result<()> {
        self.note("resume", sandbox);
        Ok(())
    }
    async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
        self.note("release", sandbox);
        self.1.lock().expect("a good test").push(end.clone());
    }
}

pub(crate) fn hook_name() -> HookName {
    "recorder".parse().expect("a good test")
}

/// A cluster of one node with room for ten sandboxes.
pub(crate) fn cluster() -> Cluster {
    let handlers = Handlers::new();
    handlers.register_json(
        "echo".parse().expect("a good test"),
        |text: String| async move { Ok(text) },
    );
    let capacity = Resources::new(Millicpu(1000), faas_core::ByteSize::gib(64));
    let info = NodeInfo::new(
        "one".parse().expect("a good test"),
        capacity,
        ExecutableKind::Handler,
    );
    let clock = Arc::new(TokioClock::for_paused_time());
    Cluster {
        node: Arc::new(MemoryNode::with_info(info, Arc::new(handlers))),
        store: Arc::new(MemoryStore::new()),
        ids: IdSource::new(clock.clone(), 7),
        clock,
        hook: Arc::default(),
    }
}

impl Cluster {
    pub(crate) async fn start(&self) -> ResourceLayer {
        // Ids of another life are not ours, as after a real restart.
        ResourceLayer::builder()
            .agent(self.node.clone())
            .scheduler(FilterScore::default())
            .store(self.store.clone())
            .clock(self.clock.clone())
            .hook(hook_name(), self.hook.clone())
            .build()
            .await
            .expect("a good test")
    }

    pub(crate) fn spec(&self, handler: &str) -> WorkloadSpec {
        let executable = Executable::Handler(handler.parse().expect("a good test"));
        let mut sandbox = SandboxSpec::new(executable);
        sandbox.hook = Some(hook_name());
        WorkloadSpec::new(self.ids.next(), sandbox)
    }

    pub(crate) async fn running(&self) -> usize {
        let all = self.node.list().await.expect("a good test");
        all.iter().filter(|status| status.is_running()).count()
    }
}

pub(crate) async fn next(events: &mut BoxStream<'static, WorkloadEvent>) -> WorkloadEvent {
    let next = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    next.expect("an event in time").expect("not the end")
}

pub(crate) async fn ready(events: &mut BoxStream<'static, WorkloadEvent>) -> Replica {
    loop {
        if let WorkloadEvent::Ready(_, replica) = next(events).await {
            return replica;
        }
    }
}

pub(crate) async fn gone(events: &mut BoxStream<'static, WorkloadEvent>) -> Replica {
    loop {
        if let WorkloadEvent::Gone(_, replica) = next(events).await {
            return replica;
        }
    }
}

pub(crate) async fn apply(layer: &ResourceLayer, spec: &WorkloadSpec) {
    let applied = layer.manager().apply(spec.clone()).await;
    applied.expect("a good spec");
}

pub(crate) async fn scale(layer: &ResourceLayer, workload: WorkloadId, running: u32) {
    let request = ScaleRequest::running(workload, running);
    layer.manager().scale(request).await.expect("a good test");
}
