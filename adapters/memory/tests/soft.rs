//! `scale` waits for no store: a replica starts while the store never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space,
};
use faas_core::{Result, Store, WorkloadId};
use faas_memory::{Handlers, MemoryNode, MemoryStore};
use faas_resource::scheduler::FilterScore;
use faas_resource::workload::{ScaleRequest, WorkloadEvent};
use faas_resource::{Executable, ResourceLayer, ResourceManager, SandboxSpec, WorkloadSpec};
use futures::future::{self, BoxFuture};
use futures::stream::{BoxStream, StreamExt};

/// Never answers once it is stuck.
#[derive(Debug, Default)]
struct Sticky {
    inner: MemoryStore,
    stuck: AtomicBool,
}

impl Sticky {
    async fn pass(&self) {
        if self.stuck.load(Ordering::SeqCst) {
            future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Sticky {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.pass().await;
        self.inner.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.pass().await;
        self.inner.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        if self.stuck.load(Ordering::SeqCst) {
            return Box::pin(future::pending());
        }
        self.inner.commit(batch)
    }
    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.inner.watch(space, prefix, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.inner.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    fn name(&self) -> &'static str {
        "sticky"
    }
}

#[tokio::test(start_paused = true)]
async fn scale_is_soft() {
    let store = Arc::new(Sticky::default());
    let handlers = Handlers::new();
    let echo = |text: String| async move { Ok(text) };
    handlers.register_json("echo".parse().expect("a name"), echo);
    let node = MemoryNode::new("one".parse().expect("a name"), Arc::new(handlers));
    let layer = ResourceLayer::builder()
        .agent(Arc::new(node))
        .scheduler(FilterScore::default())
        .store(store.clone());
    let layer = layer.build().await.expect("a layer");
    let sandbox = SandboxSpec::new(Executable::Handler("echo".parse().expect("a name")));
    let id = WorkloadId::from_u128(1);
    let mut events = layer.manager().watch();
    let spec = WorkloadSpec::new(id, sandbox);
    layer.manager().apply(spec).await.expect("it is applied");
    store.stuck.store(true, Ordering::SeqCst);
    let start = async {
        let request = ScaleRequest::running(id, 1);
        layer.manager().scale(request).await.expect("it is scaled");
        while !matches!(events.next().await, Some(WorkloadEvent::Ready(..))) {}
    };
    let started = tokio::time::timeout(Duration::from_secs(5), start).await;
    started.expect("scale waited for the store");
}
