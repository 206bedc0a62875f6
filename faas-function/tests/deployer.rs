//! What `LayeredDeployer` does beyond the contract of deployers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Error, ErrorKind, HandlerName, HookName, IdSource, InstanceId, Monotonic, Result,
    RevisionNumber, RuntimeName, TokioClock,
};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::deployer::conformance::{InstantManager, Puppets};
use faas_function::deployer::plan::workload_id;
use faas_function::deployer::{Deploy, DeployerEvent, LayeredDeployer};
use faas_function::registry::FunctionConfig;
use faas_function::{FunctionDeployer, FunctionInstance, FunctionRevision};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, SandboxHook};
use futures::stream::{BoxStream, StreamExt};

const WAIT: Duration = Duration::from_secs(3600);

fn revision() -> Arc<FunctionRevision> {
    let runtime = RuntimeName::new("handler").expect("a name");
    let handler = HandlerName::new("h").expect("a name");
    Arc::new(FunctionRevision {
        function: "hello".parse().expect("a function"),
        number: RevisionNumber(1),
        config: FunctionConfig::new(runtime, Executable::Handler(handler)),
    })
}

struct World {
    clock: Arc<dyn Clock>,
    manager: Arc<InstantManager>,
    deployer: LayeredDeployer,
    events: BoxStream<'static, DeployerEvent>,
}

impl World {
    fn new(contract: impl Contract) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
        let contract: Arc<dyn Contract> = Arc::new(contract);
        let runtime = RuntimeName::new("handler").expect("a name");
        let manager = Arc::new(InstantManager::new());
        let contracts = [(runtime, contract)].into();
        let deployer = LayeredDeployer::new(manager.clone(), contracts, clock.clone(), log);
        Self {
            clock,
            manager,
            events: deployer.watch(),
            deployer,
        }
    }

    async fn deploy(&self, instances: u32) {
        let request = Deploy::new(revision(), instances, Monotonic::ZERO);
        self.deployer.deploy(request).await.expect("deployed");
    }

    async fn next(&mut self) -> DeployerEvent {
        let next = tokio::time::timeout(WAIT, self.events.next()).await;
        next.expect("an event in time").expect("an event")
    }

    async fn ready(&mut self) -> InstanceId {
        match self.next().await {
            DeployerEvent::Ready { instance, .. } => instance.id(),
            other => panic!("{other:?} instead of an instance"),
        }
    }

    async fn gone(&mut self) -> InstanceId {
        match self.next().await {
            DeployerEvent::Gone { instance, .. } => instance,
            other => panic!("{other:?} instead of an end"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_does_not_speak_is_replaced_after_a_longer_and_longer_pause() {
    let puppets = Puppets::default();
    puppets.refuse(3);
    let mut world = World::new(puppets);
    world.deploy(1).await;
    let mut waited = Vec::new();
    for _ in 0..3 {
        let event = world.next().await;
        assert!(matches!(event, DeployerEvent::Waiting { .. }), "{event:?}");
        waited.push(world.clock.now());
    }
    assert_eq!(world.ready().await.as_u128(), 4);
    waited.push(world.clock.now());
    let pauses: Vec<_> = waited
        .windows(2)
        .map(|w| w[1].since(w[0]).as_millis())
        .collect();
    assert!(
        pauses[0] >= 100 && pauses[1] >= 200 && pauses[2] >= 400,
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_lets_go_of_the_manager() {
    let mut world = World::new(Puppets::default());
    world.deploy(2).await;
    world.ready().await;
    world.ready().await;
    let World {
        manager,
        deployer,
        mut events,
        ..
    } = world;
    let held = Arc::downgrade(&manager);
    drop(manager);
    let second = deployer.clone();
    drop(deployer);
    assert!(held.upgrade().is_some(), "a handle is left");
    drop(second);
    assert!(held.upgrade().is_none(), "something else holds the manager");
    let end = tokio::time::timeout(WAIT, events.next()).await;
    assert!(end.expect("in time").is_none(), "the watch ends");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_manager_refuses_is_tried_again() {
    let puppets = Puppets::default();
    let mut world = World::new(puppets.clone());
    world.deploy(2).await;
    let (first, second) = (world.ready().await, world.ready().await);
    puppets.occupy(first);
    let mut request = Deploy::new(revision(), 1, Monotonic::ZERO);
    request.retiring = vec![first];
    world.deployer.deploy(request).await.expect("deployed");
    assert_eq!(world.gone().await, first);
    let mut ends = faas_resource::ResourceManager::watch(&*world.manager);
    world
        .manager
        .fail(Some(Error::unavailable("scale", "it is away")));
    puppets.release(first);
    let later = world.clock.now() + Duration::from_secs(60);
    world.clock.sleep_until(later).await;
    let running = || world.manager.running(workload_id(&revision().id())).len();
    assert_eq!(running(), 2, "the manager does not answer");
    world.manager.fail(None);
    tokio::time::timeout(WAIT, ends.next())
        .await
        .expect("in time");
    assert_eq!(running(), 1);
    world.deploy(1).await;
    assert_eq!(running(), 1, "and {second} stays");
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_while_it_leaves_is_not_replaced() {
    let puppets = Puppets::default();
    let mut world = World::new(puppets.clone());
    world.deploy(2).await;
    let (first, second) = (world.ready().await, world.ready().await);
    puppets.occupy(first);
    let mut request = Deploy::new(revision(), 1, Monotonic::ZERO);
    request.retiring = vec![first];
    world.deployer.deploy(request).await.expect("deployed");
    assert_eq!(world.gone().await, first);
    let mut events = faas_resource::ResourceManager::watch(&*world.manager);
    world
        .manager
        .crash(faas_function::deployer::plan::sandbox_id(first));
    let workload = workload_id(&revision().id());
    let settled = async {
        while world.manager.running(workload).len() != 1 {
            events.next().await.expect("it does not end");
        }
    };
    tokio::time::timeout(WAIT, settled)
        .await
        .expect("one stays");
    let kept = world.manager.running(workload)[0];
    assert_eq!(kept.as_u128(), second.as_u128());
}

/// The puppets, with an environment.
struct Dressed(SandboxEnvironment);

#[async_trait]
impl Contract for Dressed {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        self.0.clone()
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        Puppets::default().connect(connect).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_contracts_environment_is_merged_and_what_it_reserves_is_refused() {
    let mut dress = SandboxEnvironment::default();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    dress.defaults = [pair("COLOUR", "grey"), pair("SHAPE", "round")].into();
    dress.fixed = [pair("NAME", "hello")].into();
    dress.code_root = ["ROOT".to_owned()].into();
    dress.reserved = ["DOOR".to_owned()].into();
    let deployer = World::new(Dressed(dress)).deployer;
    let plan = |own: &[(String, String)]| {
        let mut revision = (*revision()).clone();
        revision.config.environment = own.iter().cloned().collect();
        deployer.plan(&Deploy::new(Arc::new(revision), 1, Monotonic::ZERO))
    };
    let planned = plan(&[pair("COLOUR", "red")]).expect("nothing is reserved");
    let sandbox = planned.workload.sandbox;
    let merged = [
        pair("COLOUR", "red"),
        pair("NAME", "hello"),
        pair("SHAPE", "round"),
    ];
    assert_eq!(sandbox.environment, merged.into());
    assert!(sandbox.code_root_variables.contains("ROOT"));
    let error = plan(&[pair("NAME", ""), pair("ROOT", ""), pair("DOOR", "")])
        .expect_err("all three are reserved");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for name in ["NAME", "ROOT", "DOOR"] {
        assert!(error.message().contains(name), "{error}");
    }
}
