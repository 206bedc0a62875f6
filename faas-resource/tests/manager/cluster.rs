//! The cluster manager over memory nodes, in paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::Finding;
use faas_core::store::Revision;
use faas_core::{
    Clock, ErrorKind, HookName, IdSource, MemoryStore, Millicpu, Resources, Result, SandboxId,
    Store, TokioClock, WorkloadId,
};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::{ExitCause, NodeInfo, SandboxPhase};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};
use faas_resource::layer::ResourceLayer;
use faas_resource::naming::{NamingEvent, Path, StoreNaming};
use faas_resource::scheduler::FilterScore;
use faas_resource::spec::ExecutableKind;
use faas_resource::workload::{Priority, Replica, ScaleRequest, WorkloadEvent};
use faas_resource::{
    Executable, NamingService, NodeAgent, ResourceManager, SandboxHook, SandboxSpec, WorkloadSpec,
};
use futures::StreamExt;
use futures::stream::BoxStream;

struct Cluster {
    node: Arc<MemoryNode>,
    store: Arc<dyn Store>,
    clock: Arc<TokioClock>,
    ids: IdSource,
    hook: Arc<Recorder>,
}

/// Remembers what it was told.
#[derive(Default)]
struct Recorder(Mutex<Vec<(&'static str, SandboxId)>>, Mutex<Vec<ExitCause>>);

impl Recorder {
    fn note(&self, what: &'static str, sandbox: SandboxId) {
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

fn hook_name() -> HookName {
    "recorder".parse().expect("a good test")
}

/// A cluster of one node with room for ten sandboxes.
fn cluster() -> Cluster {
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
    async fn start(&self) -> ResourceLayer {
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

    fn spec(&self, handler: &str) -> WorkloadSpec {
        let executable = Executable::Handler(handler.parse().expect("a good test"));
        let mut sandbox = SandboxSpec::new(executable);
        sandbox.hook = Some(hook_name());
        WorkloadSpec::new(self.ids.next(), sandbox)
    }

    async fn running(&self) -> usize {
        let all = self.node.list().await.expect("a good test");
        all.iter().filter(|status| status.is_running()).count()
    }
}

async fn next(events: &mut BoxStream<'static, WorkloadEvent>) -> WorkloadEvent {
    let next = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    next.expect("an event in time").expect("not the end")
}

async fn ready(events: &mut BoxStream<'static, WorkloadEvent>) -> Replica {
    loop {
        if let WorkloadEvent::Ready(_, replica) = next(events).await {
            return replica;
        }
    }
}

async fn gone(events: &mut BoxStream<'static, WorkloadEvent>) -> Replica {
    loop {
        if let WorkloadEvent::Gone(_, replica) = next(events).await {
            return replica;
        }
    }
}

async fn scale(layer: &ResourceLayer, workload: WorkloadId, running: u32) {
    let request = ScaleRequest::running(workload, running);
    layer.manager().scale(request).await.expect("a good test");
}

#[tokio::test(start_paused = true)]
async fn scales_up_and_down_and_removes() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("echo");
    let mut events = layer.manager().watch();
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    scale(&layer, spec.id, 3).await;
    let first = ready(&mut events).await;
    ready(&mut events).await;
    ready(&mut events).await;
    assert_eq!(cluster.running().await, 3);
    assert!(first.endpoint.is_some());
    let mut request = ScaleRequest::running(spec.id, 2);
    request.retiring = vec![first.sandbox];
    layer.manager().scale(request).await.expect("a good test");
    assert_eq!(gone(&mut events).await.sandbox, first.sandbox);
    assert_eq!(
        layer.decisions().explain(first.sandbox).finding,
        Finding::Found
    );
    layer.manager().remove(spec.id).await.expect("a good test");
    while !matches!(next(&mut events).await, WorkloadEvent::Removed(_)) {}
    assert!(cluster.node.list().await.expect("a good test").is_empty());
    assert_eq!(
        layer
            .manager()
            .capacity()
            .await
            .expect("a good test")
            .allocated,
        Resources::default()
    );
    let error = layer.manager().get(spec.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let told = cluster.hook.0.lock().expect("a good test");
    let count = |what| told.iter().filter(|(told, _)| *told == what).count();
    assert_eq!((count("prepare"), count("release")), (3, 3));
    let ends = cluster.hook.1.lock().expect("a good test");
    assert!(
        ends.iter().all(|end| *end == ExitCause::Stopped),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn replaces_the_dead_and_backs_off() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.min = 1;
    let mut events = layer.manager().watch();
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    for _ in 0..4 {
        let replica = ready(&mut events).await;
        cluster
            .node
            .end(replica.sandbox, ExitCause::Code(3))
            .expect("a good test");
        let ended = gone(&mut events).await;
        assert_eq!(ended.phase, SandboxPhase::Exited(ExitCause::Code(3)));
    }
    let before = cluster.clock.now();
    ready(&mut events).await;
    assert!(
        cluster.clock.now().since(before) >= Duration::from_millis(300),
        "no back-off"
    );
    assert_eq!(cluster.running().await, 1);
    let ends = cluster.hook.1.lock().expect("a good test");
    assert_eq!(
        *ends,
        vec![ExitCause::Code(3); 4],
        "its hook is told how each ended"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_is_explained_and_ends() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let (a, b) = (cluster.spec("echo"), cluster.spec("echo"));
    let mut events = layer.manager().watch();
    for spec in [&a, &b] {
        layer
            .manager()
            .apply(spec.clone())
            .await
            .expect("a good test");
    }
    scale(&layer, a.id, 10).await;
    for _ in 0..10 {
        ready(&mut events).await;
    }
    scale(&layer, b.id, 1).await;
    let WorkloadEvent::Waiting(id, error) = next(&mut events).await else {
        panic!("it must wait");
    };
    assert!(id == b.id && !error.message().is_empty(), "{error}");
    scale(&layer, a.id, 9).await;
    ready(&mut events).await;
    let status = layer.manager().get(b.id).await.expect("a good test");
    assert!(status.waiting.is_none() && status.replicas.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_told_and_tried_again() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("missing");
    let mut events = layer.manager().watch();
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    scale(&layer, spec.id, 1).await;
    for _ in 0..3 {
        let replica = gone(&mut events).await;
        assert!(matches!(
            replica.phase,
            SandboxPhase::Exited(ExitCause::StartFailure(_))
        ));
    }
    assert!(
        layer
            .manager()
            .get(spec.id)
            .await
            .expect("a good test")
            .waiting
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_adopts_and_starts_nothing_twice() {
    let cluster = cluster();
    let spec = cluster.spec("echo");
    {
        let layer = cluster.start().await;
        let mut events = layer.manager().watch();
        layer
            .manager()
            .apply(spec.clone())
            .await
            .expect("a good test");
        scale(&layer, spec.id, 3).await;
        for _ in 0..3 {
            ready(&mut events).await;
        }
    }
    let before = cluster.node.list().await.expect("a good test");
    let layer = cluster.start().await;
    let mut events = layer.manager().watch();
    scale(&layer, spec.id, 4).await;
    while layer
        .manager()
        .get(spec.id)
        .await
        .expect("a good test")
        .replicas
        .len()
        < 4
    {
        next(&mut events).await;
    }
    ready(&mut events).await;
    let told = cluster.hook.0.lock().expect("a good test").clone();
    assert_eq!(told.iter().filter(|(what, _)| *what == "resume").count(), 3);
    assert_eq!(
        told.iter().filter(|(what, _)| *what == "prepare").count(),
        4
    );
    let after = cluster.node.list().await.expect("a good test");
    assert!(
        before
            .iter()
            .all(|old| after.iter().any(|new| new.id == old.id))
    );
    layer
        .shutdown(Duration::from_secs(5))
        .await
        .expect("a good test");
    assert!(cluster.node.list().await.expect("a good test").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_replaces_the_replicas() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.min = 1;
    let mut events = layer.manager().watch();
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    let old = ready(&mut events).await;
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    spec.sandbox.environment.insert("A".into(), "1".into());
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    assert_eq!(gone(&mut events).await.sandbox, old.sandbox);
    let status = layer.manager().get(spec.id).await.expect("a good test");
    assert!(
        status
            .replicas
            .iter()
            .all(|replica| replica.sandbox != old.sandbox)
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_it_leaves_no_task() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let spec = cluster.spec("echo");
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good test");
    scale(&layer, spec.id, 2).await;
    drop(layer);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&cluster.node), 1, "a task holds the node");
}

#[tokio::test(start_paused = true)]
async fn the_builder_names_every_fault() {
    let error = ResourceLayer::builder()
        .concurrent_starts(0)
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("3 faults"), "{error}");
    let cluster = cluster();
    let layer = cluster.start().await;
    let mut spec = cluster.spec("echo");
    spec.max = 0;
    spec.sandbox.hook = Some("nobody".parse().expect("a good test"));
    let error = layer.manager().apply(spec).await.unwrap_err();
    assert!(error.message().starts_with("2 faults"), "{error}");
    assert!(
        layer
            .manager()
            .list()
            .await
            .expect("a good test")
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_bound_and_unbound() {
    let cluster = cluster();
    let naming = Arc::new(StoreNaming::new(
        cluster.store.clone(),
        cluster.clock.clone(),
    ));
    let layer = ResourceLayer::builder()
        .agent(cluster.node.clone())
        .scheduler(FilterScore::default())
        .naming(naming.clone())
        .hook(hook_name(), cluster.hook.clone())
        .build()
        .await
        .expect("a layer");
    let spec = cluster.spec("echo");
    let mut events = layer.manager().watch();
    layer
        .manager()
        .apply(spec.clone())
        .await
        .expect("a good spec");
    let prefix = Path::new("sandboxes").expect("a path");
    let mut names = naming.watch(&prefix, Revision::default());
    scale(&layer, spec.id, 1).await;
    let replica = ready(&mut events).await;
    let bound = names.next().await.expect("no end").expect("no error");
    let NamingEvent::Bound(record) = bound else {
        panic!("{bound:?} instead of a name");
    };
    let path = format!("sandboxes/one/{}", replica.sandbox);
    assert_eq!(record.path.as_str(), path);
    scale(&layer, spec.id, 0).await;
    let unbound = names.next().await.expect("no end").expect("no error");
    assert!(matches!(unbound, NamingEvent::Unbound(name, _) if name.as_str() == path));
}

#[tokio::test(start_paused = true)]
async fn the_higher_priority_gets_room() {
    let cluster = cluster();
    let layer = cluster.start().await;
    let (low, mut high) = (cluster.spec("echo"), cluster.spec("echo"));
    high.priority = Priority(1);
    let mut events = layer.manager().watch();
    for spec in [&low, &high] {
        layer
            .manager()
            .apply(spec.clone())
            .await
            .expect("a good spec");
    }
    scale(&layer, low.id, 10).await;
    for _ in 0..10 {
        ready(&mut events).await;
    }
    scale(&layer, high.id, 2).await;
    for _ in 0..2 {
        ready(&mut events).await;
    }
    let replicas = async |id| layer.manager().get(id).await.expect("known").replicas.len();
    assert_eq!((replicas(low.id).await, replicas(high.id).await), (8, 2));
    let status = layer.manager().get(low.id).await.expect("known");
    assert!(status.waiting.is_some() && status.wanted == 10);
    assert_eq!(cluster.running().await, 10);
}
