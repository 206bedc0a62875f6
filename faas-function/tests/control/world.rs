//! A control loop between parts that only write down what it tells them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::explain::{DecisionLog, Reason};
use faas_core::store::{MemoryStore, Revision};
use faas_core::{
    Clock, Description, Error, HandlerName, IdSource, InstanceId, Invocation, Monotonic, Namespace,
    PolicyContext, PrewarmHint, Response, Result, RevisionNumber, RuntimeName, TokioClock,
    WorkloadId,
};
use faas_function::autoscaler::{Fleet, FleetChange, RevisionLoad, ScaleDecision};
use faas_function::control::{Control, ControlParts};
use faas_function::deployer::{Deploy, DeployerEvent, Plan};
use faas_function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    RegistryEvent, RevisionId, StoreMetadata,
};
use faas_function::router::AddInstance;
use faas_function::{FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};

/// A stream of what a channel sends.
pub(crate) fn subscribe<T: Clone + Send + 'static>(
    sender: &broadcast::Sender<T>,
) -> BoxStream<'static, T> {
    stream::unfold(sender.subscribe(), |mut receiver| async move {
        receiver.recv().await.ok().map(|item| (item, receiver))
    })
    .boxed()
}

pub(crate) fn function(name: &str) -> FunctionId {
    name.parse().expect("a function")
}

pub(crate) fn id(name: &str, number: u64) -> RevisionId {
    RevisionId {
        function: function(name),
        number: RevisionNumber(number),
    }
}

pub(crate) fn config(min: u32) -> FunctionConfig {
    let runtime = RuntimeName::new("handler").expect("a name");
    let handler = HandlerName::new("h").expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
    config.min_instances = min;
    config
}

/// A registry whose watches can be broken off.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) inner: StoreMetadata,
    pub(crate) broken: Arc<Notify>,
}

#[async_trait]
impl MetadataStore for Registry {
    async fn create(&self, id: FunctionId, config: FunctionConfig) -> Result<Arc<FunctionRecord>> {
        self.inner.create(id, config).await
    }
    async fn update(
        &self,
        id: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.update(id, config, expected).await
    }
    async fn set_alias(
        &self,
        id: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.set_alias(id, change, expected).await
    }
    async fn get(&self, id: &FunctionId) -> Result<Arc<FunctionRecord>> {
        self.inner.get(id).await
    }
    async fn revision(
        &self,
        id: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        self.inner.revision(id, number).await
    }
    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        self.inner.list(namespace).await
    }
    async fn delete(&self, id: &FunctionId, expected: Option<Generation>) -> Result<()> {
        self.inner.delete(id, expected).await
    }
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        let broken = self.broken.clone();
        let broken = async move { broken.notified().await };
        self.inner.watch(after).take_until(Box::pin(broken)).boxed()
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

/// A deployer that fails as it is told to, and says nothing.
#[derive(Clone)]
pub(crate) struct Deployer {
    pub(crate) events: broadcast::Sender<DeployerEvent>,
    pub(crate) told: mpsc::UnboundedSender<String>,
    /// What comes of the next deployments.
    pub(crate) errors: Arc<Mutex<VecDeque<Error>>>,
    /// The deployments of `slow` wait for this.
    pub(crate) gate: Arc<Semaphore>,
    /// What an earlier life has left.
    pub(crate) left: Vec<RevisionId>,
}

impl Deployer {
    pub(crate) fn tell(&self, what: String) {
        // An error means that the test is over.
        let _ = self.told.send(what);
    }
}

#[async_trait]
impl FunctionDeployer for Deployer {
    fn plan(&self, _: &Deploy) -> Result<Plan> {
        Err(Error::unsupported("plan", "not here"))
    }
    async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32> {
        self.tell(format!("prepare {}", revision.id()));
        Ok(if self.left.contains(&revision.id()) {
            2
        } else {
            0
        })
    }
    async fn deploy(&self, request: Deploy) -> Result<WorkloadId> {
        assert!(request.caused_by.is_some(), "a decision is the cause");
        let id = request.revision.id();
        self.tell(format!("deploy {} of {id}", request.instances));
        if id.function == function("slow") {
            let opened = self.gate.acquire().await;
            opened.expect("it is not closed").forget();
        }
        let error = self.errors.lock().expect("nobody panics").pop_front();
        error.map_or(Ok(WorkloadId::from_u128(1)), Err)
    }
    async fn remove(&self, revision: &RevisionId) -> Result<()> {
        self.tell(format!("remove {revision}"));
        Ok(())
    }
    async fn list(&self) -> Result<Vec<RevisionId>> {
        Ok(self.left.clone())
    }
    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        subscribe(&self.events)
    }
    fn describe(&self) -> Description {
        Description::new("Deployer")
    }
}

#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) demand: broadcast::Sender<(RevisionId, RevisionLoad)>,
    pub(crate) told: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl FunctionRouter for Router {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn add(&self, _: AddInstance) {}
    fn remove(&self, _: InstanceId) {}
    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        subscribe(&self.demand)
    }
    fn refuse(&self, revision: &RevisionId, error: Error) {
        let _ = self
            .told
            .send(format!("refuse {revision}: {}", error.message()));
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("Router")
    }
}

/// Wants as many as wait, and never fewer than the minimum.
pub(crate) struct AsMany {
    pub(crate) wake: Option<Monotonic>,
}

impl FunctionAutoscaler for AsMany {
    fn observe(&mut self, _: &mut PolicyContext, _: &FleetChange) {}
    fn decide(&mut self, _: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        const WHY: Reason = Reason::new("test.demand", "as many as wait");
        let decide = |(id, load): (&RevisionId, &RevisionLoad)| {
            let wanted = (load.queued + load.running).clamp(load.min, load.max);
            let other = wanted != load.ready + load.starting;
            other.then(|| ScaleDecision::new(id.clone(), wanted, WHY))
        };
        fleet.revisions.iter().filter_map(decide).collect()
    }
    fn wake_at(&self) -> Option<Monotonic> {
        self.wake
    }
    fn save(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("AsMany")
    }
}

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) router: Router,
    pub(crate) deployer: Deployer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) told: mpsc::UnboundedReceiver<String>,
    pub(crate) control: Option<Control>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::after(Vec::new())
    }

    /// After an earlier life that has left something.
    pub(crate) fn after(left: Vec<RevisionId>) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let registry = Registry {
            inner: StoreMetadata::new(Arc::new(MemoryStore::new())),
            broken: Arc::default(),
        };
        let deployer = Deployer {
            events: broadcast::Sender::new(16),
            told: sender.clone(),
            errors: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            left,
        };
        let router = Router {
            demand: broadcast::Sender::new(16),
            told: sender,
        };
        Self {
            registry,
            router,
            deployer,
            clock: Arc::new(TokioClock::for_paused_time()),
            told,
            control: None,
        }
    }

    pub(crate) fn start(self) -> Self {
        self.start_with(AsMany { wake: None })
    }

    pub(crate) fn start_with(mut self, policy: AsMany) -> Self {
        self.control = Some(Control::start(self.parts(), Box::new(policy), 7));
        self
    }

    pub(crate) fn parts(&self) -> ControlParts {
        let clock = self.clock.clone();
        let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
        ControlParts::new(
            Arc::new(self.registry.clone()),
            Arc::new(self.deployer.clone()),
            Arc::new(self.router.clone()),
            clock,
            log,
        )
    }

    pub(crate) async fn create(&self, name: &str, min: u32) {
        let created = self.registry.create(function(name), config(min)).await;
        created.expect("created");
    }

    pub(crate) async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
        next.expect("in time").expect("the loop runs")
    }

    pub(crate) async fn expect(&mut self, told: &[&str]) {
        for expected in told {
            assert_eq!(self.next().await, *expected);
        }
    }

    /// Nothing more is told, although a minute passes.
    pub(crate) async fn silence(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
        assert!(next.is_err(), "{next:?}");
    }

    pub(crate) fn demand(&self, id: RevisionId, queued: u32, ready: u32) {
        let config = config(0);
        let mut load = RevisionLoad::idle(1, 0, config.max_instances, config.resources);
        (load.queued, load.ready) = (queued, ready);
        let _ = self.router.demand.send((id, load));
    }
}

/// Tells what it sees.
pub(crate) struct Spy(pub(crate) mpsc::UnboundedSender<Option<faas_core::Resources>>);

impl FunctionAutoscaler for Spy {
    fn observe(&mut self, _: &mut PolicyContext, _: &FleetChange) {}
    fn decide(&mut self, _: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        let _ = self.0.send(fleet.limit.clone());
        Vec::new()
    }
    fn wake_at(&self) -> Option<Monotonic> {
        None
    }
    fn save(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("Spy")
    }
}
