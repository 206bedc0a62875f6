//! The control loop, between parts that only write down what it tells them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::explain::{DecisionLog, Reason};
use faas_core::store::{MemoryStore, Revision};
use faas_core::{
    AliasName, Clock, Description, Error, HandlerName, IdSource, InstanceId, Invocation, Monotonic,
    Namespace, PolicyContext, PrewarmHint, Response, Result, RevisionNumber, RuntimeName,
    TokioClock, WorkloadId,
};
use faas_function::autoscaler::{Fleet, FleetChange, RevisionLoad, ScaleDecision};
use faas_function::control::{Control, ControlParts};
use faas_function::deployer::{Deploy, DeployerEvent, Plan};
use faas_function::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    RegistryEvent, RevisionId, StoreMetadata,
};
use faas_function::router::AddInstance;
use faas_function::{FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};

/// A stream of what a channel sends.
fn subscribe<T: Clone + Send + 'static>(sender: &broadcast::Sender<T>) -> BoxStream<'static, T> {
    stream::unfold(sender.subscribe(), |mut receiver| async move {
        receiver.recv().await.ok().map(|item| (item, receiver))
    })
    .boxed()
}

fn function(name: &str) -> FunctionId {
    name.parse().expect("a function")
}

fn id(name: &str, number: u64) -> RevisionId {
    RevisionId {
        function: function(name),
        number: RevisionNumber(number),
    }
}

fn config(min: u32) -> FunctionConfig {
    let runtime = RuntimeName::new("handler").expect("a name");
    let handler = HandlerName::new("h").expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
    config.min_instances = min;
    config
}

/// A registry whose watches can be broken off.
#[derive(Clone)]
struct Registry {
    inner: StoreMetadata,
    broken: Arc<Notify>,
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
struct Deployer {
    events: broadcast::Sender<DeployerEvent>,
    told: mpsc::UnboundedSender<String>,
    /// What comes of the next deployments.
    errors: Arc<Mutex<VecDeque<Error>>>,
    /// The deployments of `slow` wait for this.
    gate: Arc<Semaphore>,
    /// What an earlier life has left.
    left: Vec<RevisionId>,
}

impl Deployer {
    fn tell(&self, what: String) {
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
struct Router {
    demand: broadcast::Sender<(RevisionId, RevisionLoad)>,
    told: mpsc::UnboundedSender<String>,
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
struct AsMany {
    wake: Option<Monotonic>,
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

struct World {
    registry: Registry,
    router: Router,
    deployer: Deployer,
    clock: Arc<dyn Clock>,
    told: mpsc::UnboundedReceiver<String>,
    control: Option<Control>,
}

impl World {
    fn new() -> Self {
        Self::after(Vec::new())
    }

    /// After an earlier life that has left something.
    fn after(left: Vec<RevisionId>) -> Self {
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

    fn start(self) -> Self {
        self.start_with(AsMany { wake: None })
    }

    fn start_with(mut self, policy: AsMany) -> Self {
        let clock = self.clock.clone();
        let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
        let parts = ControlParts::new(
            Arc::new(self.registry.clone()),
            Arc::new(self.deployer.clone()),
            Arc::new(self.router.clone()),
            clock,
            log,
        );
        self.control = Some(Control::start(parts, Box::new(policy), 7));
        self
    }

    async fn create(&self, name: &str, min: u32) {
        let created = self.registry.create(function(name), config(min)).await;
        created.expect("created");
    }

    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
        next.expect("in time").expect("the loop runs")
    }

    async fn expect(&mut self, told: &[&str]) {
        for expected in told {
            assert_eq!(self.next().await, *expected);
        }
    }

    /// Nothing more is told, although a minute passes.
    async fn silence(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
        assert!(next.is_err(), "{next:?}");
    }

    fn demand(&self, id: RevisionId, queued: u32, ready: u32) {
        let config = config(0);
        let mut load = RevisionLoad::idle(1, 0, config.max_instances, config.resources);
        (load.queued, load.ready) = (queued, ready);
        let _ = self.router.demand.send((id, load));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_registered_is_prepared_and_minimum_instances_need_no_demand() {
    let mut world = World::new().start();
    world.create("none", 0).await;
    world.expect(&["prepare default/none@1"]).await;
    world.create("some", 2).await;
    let told = ["prepare default/some@1", "deploy 2 of default/some@1"];
    world.expect(&told).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn demand_is_decided_on_once() {
    let mut world = World::new().start();
    world.create("f", 0).await;
    world.expect(&["prepare default/f@1"]).await;
    world.demand(id("f", 1), 3, 0);
    world.expect(&["deploy 3 of default/f@1"]).await;
    world.demand(id("f", 1), 4, 1);
    // Two more are being started.
    world.expect(&["deploy 4 of default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_superseded_revision_is_removed_once_unless_an_alias_names_it() {
    let mut world = World::new().start();
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let live = AliasName::new("live").expect("a name");
    let alias = |number| AliasChange::Set(Alias::to(live.clone(), RevisionNumber(number)));
    let set = world
        .registry
        .set_alias(&function("f"), alias(1), None)
        .await;
    set.expect("set");
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world.expect(&["prepare default/f@2"]).await;
    let moved = world
        .registry
        .set_alias(&function("f"), alias(2), None)
        .await;
    moved.expect("moved");
    world.expect(&["remove default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_revision_that_is_called_by_its_number_has_instances_until_nobody_calls_it() {
    let mut world = World::new();
    world.create("f", 0).await;
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world = world.start();
    world.expect(&["prepare default/f@2"]).await;
    world.demand(id("f", 1), 1, 0);
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    world.demand(id("f", 1), 0, 1);
    world.expect(&["remove default/f@1"]).await;
    world.demand(id("f", 1), 0, 0);
    world.silence().await;
    // Nobody has seen revision 9.
    world.demand(id("f", 9), 1, 0);
    assert!(world.next().await.starts_with("refuse default/f@9: "));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_noticed_though_the_watch_was_broken() {
    let mut world = World::new().start();
    for name in ["kept", "lost"] {
        world.create(name, 1).await;
        let told = [
            format!("prepare default/{name}@1"),
            format!("deploy 1 of default/{name}@1"),
        ];
        let told = told.each_ref().map(String::as_str);
        world.expect(&told).await;
    }
    world.registry.broken.notify_one();
    // The watch is over before time passes, and the next list is after it has.
    tokio::task::yield_now().await;
    let deleted = world.registry.delete(&function("lost"), None).await;
    deleted.expect("deleted");
    world.expect(&["remove default/lost@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_left_is_removed() {
    let mut world = World::after(vec![id("f", 1), id("gone", 1)]);
    world.create("f", 0).await;
    let updated = world.registry.update(&function("f"), config(0), None).await;
    updated.expect("updated");
    world = world.start();
    let mut told = [world.next().await, world.next().await, world.next().await];
    told.sort();
    let expected = [
        "prepare default/f@2",
        "remove default/f@1",
        "remove default/gone@1",
    ];
    assert_eq!(told, expected);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_left_counts() {
    let mut world = World::after(vec![id("f", 1)]);
    world.create("f", 1).await;
    world = world.start();
    // One is the minimum, and two are there: the policy knows of both.
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let mut world = World::after(vec![id("f", 1)]);
    world.create("f", 2).await;
    world = world.start();
    world.expect(&["prepare default/f@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_deployment_holds_up_no_other() {
    let mut world = World::new().start();
    world.create("slow", 1).await;
    let told = ["prepare default/slow@1", "deploy 1 of default/slow@1"];
    world.expect(&told).await;
    world.create("fast", 1).await;
    let told = ["prepare default/fast@1", "deploy 1 of default/fast@1"];
    world.expect(&told).await;
    world.demand(id("slow", 1), 2, 0);
    world.demand(id("slow", 1), 3, 0);
    world.silence().await;
    // Only the newest wish is carried out then.
    world.deployer.gate.add_permits(2);
    world.expect(&["deploy 3 of default/slow@1"]).await;
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_is_tried_again() {
    let mut world = World::new().start();
    let away = Error::unavailable("deploy", "it is away");
    *world.deployer.errors.lock().expect("nobody panics") = [away.clone(), away].into();
    let begin = world.clock.now();
    world.create("f", 1).await;
    world.expect(&["prepare default/f@1"]).await;
    world.expect(&["deploy 1 of default/f@1"; 3]).await;
    let took = world.clock.now().since(begin);
    assert!(
        took >= Duration::from_millis(300),
        "without a pause: {took:?}"
    );
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_cannot_be_is_refused_and_does_not_spin() {
    let mut world = World::new().start();
    world.create("f", 0).await;
    world.expect(&["prepare default/f@1"]).await;
    let never = Error::unsupported("deploy", "no such contract");
    *world.deployer.errors.lock().expect("nobody panics") = vec![never; 100].into();
    world.demand(id("f", 1), 1, 0);
    let told = [
        "deploy 1 of default/f@1",
        "refuse default/f@1: no such contract",
    ];
    world.expect(&told).await;
    // As the policy still wants it, it is tried now and then.
    let mut tries = 0;
    let minute = tokio::time::sleep(Duration::from_secs(60));
    tokio::pin!(minute);
    loop {
        tokio::select! {
            () = &mut minute => break,
            told = world.told.recv() => tries += usize::from(told.is_some()),
        }
    }
    assert!((1..40).contains(&tries), "{tries} in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_never_content_does_not_make_it_spin() {
    let policy = AsMany {
        wake: Some(Monotonic::ZERO),
    };
    let mut world = World::new().start_with(policy);
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    // Paused time goes on only while nothing runs.
    let next = tokio::time::timeout(Duration::from_secs(1), world.told.recv()).await;
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_deleted_function_is_not_asked_for() {
    let mut world = World::new().start();
    world.create("f", 1).await;
    let told = ["prepare default/f@1", "deploy 1 of default/f@1"];
    world.expect(&told).await;
    let deleted = world.registry.delete(&function("f"), None).await;
    deleted.expect("deleted");
    world.expect(&["remove default/f@1"]).await;
    world.demand(id("f", 1), 0, 1);
    world.silence().await;
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_told_of_the_limit() {
    let world = World::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let clock = world.clock.clone();
    let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
    let mut parts = ControlParts::new(
        Arc::new(world.registry.clone()),
        Arc::new(world.deployer.clone()),
        Arc::new(world.router.clone()),
        clock,
        log,
    );
    let limit = faas_core::Resources::new(faas_core::Millicpu(7), faas_core::ByteSize::gib(1));
    parts.limit = Some(limit.clone());
    let _control = Control::start(parts, Box::new(Spy(sender)), 7);
    assert_eq!(seen.recv().await, Some(Some(limit)));
}

/// Tells what it sees.
struct Spy(mpsc::UnboundedSender<Option<faas_core::Resources>>);

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
