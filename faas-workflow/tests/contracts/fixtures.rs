//! Fresh components over a volatile store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space,
};
use faas_core::{Clock, Error, Invoker, MemoryStore, Result, Retry, Store, TokioClock};
use faas_workflow::asl::StatesLanguage;
use faas_workflow::engine::TaskResources;
use faas_workflow::engine::conformance::Harness;
use faas_workflow::registry::WorkflowSettings;
use faas_workflow::{
    CriticalPath, Definition, Eager, EngineOptions, FairShare, PoolMember, Pools, PrewarmHorizon,
    RegisterWorkflow, StartExecution, StoreExecutionStore, StoreWorkflowRegistry, WorkflowEngine,
    WorkflowExecutionStore, WorkflowLayer, WorkflowRegistry, WorkflowScheduler,
};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::Value;

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

pub(crate) async fn registry() -> Arc<dyn WorkflowRegistry> {
    Arc::new(StoreWorkflowRegistry::new(
        Arc::new(MemoryStore::new()),
        clock(),
    ))
}

pub(crate) async fn execution_store() -> Arc<dyn WorkflowExecutionStore> {
    Arc::new(StoreExecutionStore::new(Arc::new(MemoryStore::new())))
}

pub(crate) fn eager() -> Box<dyn WorkflowScheduler> {
    Box::new(Eager::new())
}

pub(crate) fn fair_share() -> Box<dyn WorkflowScheduler> {
    Box::new(FairShare::new())
}

/// The suite's tasks are those of one function; it is in no pool that they would wait for.
pub(crate) fn pools() -> Box<dyn WorkflowScheduler> {
    let all = PoolMember::Namespace(Default::default());
    Box::new(Pools::new(FairShare::new()).pool(all, 1000))
}

pub(crate) fn critical_path() -> Box<dyn WorkflowScheduler> {
    Box::new(CriticalPath::new())
}

pub(crate) fn prewarm_horizon() -> Box<dyn WorkflowScheduler> {
    Box::new(PrewarmHorizon::new(CriticalPath::new()))
}

/// A store whose commits are judged by a function of their number.
pub(crate) struct Judged {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) commits: AtomicUsize,
    pub(crate) judge: fn(usize) -> Verdict,
}

/// What becomes of a commit.
pub(crate) enum Verdict {
    Done,
    /// It is not done, and fails.
    Refused,
    /// It is done, and fails nevertheless.
    Ambiguous,
}

impl std::fmt::Debug for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Judged")
    }
}

#[async_trait]
impl Store for Judged {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.inner.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.inner.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let error = Error::unavailable("commit", "the connection is lost");
        match (self.judge)(self.commits.fetch_add(1, Ordering::Relaxed)) {
            Verdict::Done => self.inner.commit(batch),
            Verdict::Refused => async { Err(error) }.boxed(),
            Verdict::Ambiguous => {
                let done = self.inner.commit(batch);
                async move { done.await.and(Err(error.with_retry(Retry::Ambiguous))) }.boxed()
            }
        }
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
        "judged"
    }
}

/// Stores over one place, for the suite of retention.
#[derive(Default)]
pub(crate) struct Kept(MemoryStore);

#[async_trait]
impl faas_workflow::execution_store::retention::conformance::Harness for Kept {
    async fn open(&self) -> Arc<dyn WorkflowExecutionStore> {
        Arc::new(StoreExecutionStore::new(Arc::new(self.0.clone())))
    }

    async fn failing(&self, writes: usize) -> Arc<dyn WorkflowExecutionStore> {
        let judged = Judged {
            inner: Arc::new(self.0.clone()),
            // The number of a commit is how many are left.
            commits: AtomicUsize::new(0usize.wrapping_sub(writes)),
            judge: |number| match number > usize::MAX / 2 {
                true => Verdict::Done,
                false => Verdict::Refused,
            },
        };
        Arc::new(StoreExecutionStore::new(Arc::new(judged)))
    }
}

pub(crate) async fn kept()
-> Arc<dyn faas_workflow::execution_store::retention::conformance::Harness> {
    Arc::new(Kept::default())
}

/// One store, and layers over it.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<dyn WorkflowRegistry>,
    /// One for all engines: wall time goes on from one to the next.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resources: Option<Arc<dyn TaskResources>>,
    pub(crate) objects: Arc<dyn ObjectStore>,
}

impl Default for Place {
    fn default() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }
}

impl Place {
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let expressions = Arc::new(faas_jsonata::StatesExpressions::default());
        let language = StatesLanguage::new().with_expressions(expressions);
        let registry = StoreWorkflowRegistry::new(store.clone(), clock());
        Self {
            store,
            registry: Arc::new(registry.with_language(Arc::new(language))),
            clock: clock(),
            resources: None,
            objects: Arc::new(InMemory::new()),
        }
    }

    /// Registers a workflow.
    pub(crate) async fn register(&self, name: &str, definition: Definition) {
        self.register_with(name, definition, WorkflowSettings::new())
            .await;
    }

    pub(crate) async fn register_with(
        &self,
        name: &str,
        definition: Definition,
        settings: WorkflowSettings,
    ) {
        let (namespace, name) = ("default".parse().unwrap(), name.parse().unwrap());
        let mut request = RegisterWorkflow::new(namespace, name, definition);
        request.settings = settings;
        self.registry.register(request).await.unwrap();
    }

    pub(crate) async fn layer(
        &self,
        invoker: Arc<dyn Invoker>,
        options: EngineOptions,
    ) -> WorkflowLayer {
        let layer = WorkflowLayer::builder()
            .store(self.store.clone())
            .registry(self.registry.clone())
            .clock(self.clock.clone())
            .objects(self.objects.clone())
            .invoker(invoker)
            .options(options);
        let layer = match &self.resources {
            Some(resources) => layer.resources(resources.clone()),
            None => layer,
        };
        layer.build().await.unwrap()
    }
}

#[async_trait]
impl Harness for Place {
    fn registry(&self) -> Arc<dyn WorkflowRegistry> {
        self.registry.clone()
    }

    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine> {
        let layer = self.layer(invoker, EngineOptions::default()).await;
        layer.engine().clone()
    }
}

/// A start of the workflow `name`.
pub(crate) fn start_of(name: &str, as_: &str, input: Value) -> StartExecution {
    StartExecution::new(name.parse().unwrap(), as_.try_into().unwrap(), input)
}

/// What comes within a minute of paused time.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let minute = std::time::Duration::from_secs(60);
    tokio::time::timeout(minute, future)
        .await
        .expect("it comes")
}

pub(crate) async fn harness() -> Arc<dyn Harness> {
    Arc::new(Place::default())
}
