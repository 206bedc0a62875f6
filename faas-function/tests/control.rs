//! The control loop, between parts that only write down what it tells them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::explain::{DecisionLog, Reason};
use faas_core::store::Revision;
use faas_core::{
    Clock, Description, Error, HandlerName, IdSource, InstanceId, Invocation, Monotonic, Name,
    Namespace, PolicyContext, PrewarmHint, Response, Result, RevisionNumber, RuntimeName,
    TokioClock, WorkloadId,
};
use faas_function::autoscaler::{Fleet, FleetChange, RevisionId, RevisionLoad, ScaleDecision};
use faas_function::control::{Control, ControlParts};
use faas_function::deployer::{Deploy, DeployerEvent, Plan};
use faas_function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    RegistryEvent,
};
use faas_function::router::AddInstance;
use faas_function::{FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

/// A stream of what a channel sends.
fn subscribe<T: Clone + Send + 'static>(sender: &broadcast::Sender<T>) -> BoxStream<'static, T> {
    stream::unfold(sender.subscribe(), |mut receiver| async move {
        receiver.recv().await.ok().map(|item| (item, receiver))
    })
    .boxed()
}

fn function() -> FunctionId {
    FunctionId {
        namespace: Namespace::default(),
        name: Name::new("hello").expect("it is as the test set it up"),
    }
}

fn revision(number: u64) -> Arc<FunctionRevision> {
    let executable =
        Executable::Handler(HandlerName::new("h").expect("it is as the test set it up"));
    let mut config = FunctionConfig::new(
        RuntimeName::new("handler").expect("it is as the test set it up"),
        executable,
    );
    config.min_instances = if number == 1 { 2 } else { 0 };
    Arc::new(FunctionRevision {
        function: function(),
        number: RevisionNumber(number),
        config,
    })
}

fn record(number: u64) -> Arc<FunctionRecord> {
    Arc::new(FunctionRecord::new(
        revision(number),
        Default::default(),
        Generation(number),
    ))
}

#[derive(Clone)]
struct Registry(broadcast::Sender<u64>);

#[async_trait]
impl MetadataStore for Registry {
    async fn create(&self, _: FunctionId, _: FunctionConfig) -> Result<Arc<FunctionRecord>> {
        Err(Error::unsupported("create", "not here"))
    }
    async fn update(
        &self,
        _: &FunctionId,
        _: FunctionConfig,
        _: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        Err(Error::unsupported("update", "not here"))
    }
    async fn set_alias(
        &self,
        _: &FunctionId,
        _: AliasChange,
        _: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        Err(Error::unsupported("set alias", "not here"))
    }
    async fn get(&self, _: &FunctionId) -> Result<Arc<FunctionRecord>> {
        Ok(record(1))
    }
    async fn revision(
        &self,
        _: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        Ok(revision(number.0))
    }
    async fn list(&self, _: Option<Namespace>) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        Ok((vec![record(1)], Revision(1)))
    }
    async fn delete(&self, _: &FunctionId, _: Option<Generation>) -> Result<()> {
        Ok(())
    }
    fn watch(&self, _: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        let change = |number| Ok(RegistryEvent::Changed(record(number)));
        subscribe(&self.0).map(change).boxed()
    }
    fn describe(&self) -> Description {
        Description::new("Registry")
    }
}

#[derive(Clone)]
struct Deployer {
    events: broadcast::Sender<DeployerEvent>,
    told: broadcast::Sender<String>,
}

#[async_trait]
impl FunctionDeployer for Deployer {
    fn plan(&self, _: &Deploy) -> Result<Plan> {
        Err(Error::unsupported("plan", "not here"))
    }
    async fn deploy(&self, request: Deploy) -> Result<WorkloadId> {
        assert!(
            request.caused_by.is_some(),
            "a scaling decision is the cause"
        );
        let _ = self.told.send(format!(
            "deploy {} of {}",
            request.instances, request.revision.number
        ));
        Ok(WorkloadId::from_u128(1))
    }
    async fn prepare(&self, _: Arc<FunctionRevision>) -> Result<WorkloadId> {
        Ok(WorkloadId::from_u128(1))
    }
    async fn remove(&self, revision: &RevisionId) -> Result<()> {
        let _ = self.told.send(format!("remove {}", revision.number));
        Ok(())
    }
    async fn list(&self) -> Result<Vec<RevisionId>> {
        Ok(Vec::new())
    }
    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        subscribe(&self.events)
    }
    fn describe(&self) -> Description {
        Description::new("Deployer")
    }
}

#[derive(Clone)]
struct Router(broadcast::Sender<(RevisionId, RevisionLoad)>);

#[async_trait]
impl FunctionRouter for Router {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn add(&self, _: AddInstance) {}
    fn remove(&self, _: InstanceId) {}
    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        subscribe(&self.0)
    }
    fn refuse(&self, _: &RevisionId, _: Error) {}
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("Router")
    }
}

/// Wants as many as wait, and never fewer than the minimum.
struct AsMany;

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
        None
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

struct World {
    registry: Registry,
    router: Router,
    told: BoxStream<'static, String>,
    _control: Control,
}

impl World {
    fn new() -> Self {
        let registry = Registry(broadcast::Sender::new(16));
        let told = broadcast::Sender::new(64);
        let deployer = Deployer {
            events: broadcast::Sender::new(16),
            told: told.clone(),
        };
        let router = Router(broadcast::Sender::new(16));
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
        let parts = ControlParts::new(
            Arc::new(registry.clone()),
            Arc::new(deployer),
            Arc::new(router.clone()),
            clock,
            log,
        );
        let told = subscribe(&told);
        let control = Control::start(parts, Box::new(AsMany), 7);
        Self {
            registry,
            router,
            told,
            _control: control,
        }
    }

    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.next()).await;
        next.expect("in time").expect("the loop runs")
    }

    fn demand(&self, number: u64, queued: u32, ready: u32) {
        let config = &revision(number).config;
        let mut load = RevisionLoad::idle(1, config.min_instances, 100, config.resources.clone());
        (load.queued, load.ready) = (queued, ready);
        let id = RevisionId {
            function: function(),
            number: RevisionNumber(number),
        };
        let _ = self.router.0.send((id, load));
    }
}

#[tokio::test(start_paused = true)]
async fn minimum_instances_need_no_demand() {
    let mut world = World::new();
    assert_eq!(world.next().await, "deploy 2 of 1");
}

#[tokio::test(start_paused = true)]
async fn demand_is_decided_on_once() {
    let mut world = World::new();
    assert_eq!(world.next().await, "deploy 2 of 1");
    world.demand(5, 3, 0);
    assert_eq!(world.next().await, "deploy 3 of 5");
    world.demand(5, 4, 1);
    assert_eq!(
        world.next().await,
        "deploy 4 of 5",
        "two more are being started"
    );
}

#[tokio::test(start_paused = true)]
async fn a_superseded_revision_is_removed() {
    let mut world = World::new();
    assert_eq!(world.next().await, "deploy 2 of 1");
    world
        .registry
        .0
        .send(2)
        .expect("it is as the test set it up");
    assert_eq!(world.next().await, "remove 1");
    world.demand(2, 1, 0);
    assert_eq!(
        world.next().await,
        "deploy 1 of 2",
        "and it is removed once"
    );
}
