//! The deployer over a resource manager that does at once what it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Description, Error, ErrorKind, HandlerName, HookName, IdSource, InstanceId, Invocation,
    Monotonic, Name, Namespace, NodeName, Response, Result, RevisionNumber, RuntimeName, SandboxId,
    TokioClock, WorkloadId,
};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::deployer::{Deploy, DeployerEvent, LayeredDeployer, plan};
use faas_function::instance::{Health, Permit};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_function::{FunctionDeployer, FunctionInstance};
use faas_resource::agent::{SandboxPhase, SandboxState};
use faas_resource::endpoint::Address;
use faas_resource::manager::Capacity;
use faas_resource::spec::ExecutableKind;
use faas_resource::workload::{Replica, ScaleRequest, WorkloadEvent, WorkloadSpec, WorkloadStatus};
use faas_resource::{Executable, Hooks, ResourceManager, SandboxHook};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{Notify, broadcast};

const WAIT: Duration = Duration::from_secs(3600);

/// Starts and stops replicas at once, in memory.
#[derive(Clone)]
struct InstantManager {
    events: broadcast::Sender<WorkloadEvent>,
    replicas: Arc<Mutex<Vec<(WorkloadId, Replica)>>>,
    applied: Arc<Mutex<Vec<WorkloadSpec>>>,
    started: Arc<AtomicU64>,
}

impl InstantManager {
    fn new() -> Self {
        let events = broadcast::Sender::new(1024);
        let (replicas, applied, started) = Default::default();
        Self {
            events,
            replicas,
            applied,
            started,
        }
    }

    fn end(&self, sandbox: SandboxId) {
        let mut replicas = self.replicas.lock().expect("it is as the test set it up");
        let Some(index) = replicas.iter().position(|(_, r)| r.sandbox == sandbox) else {
            return;
        };
        let (workload, replica) = replicas.remove(index);
        let _ = self.events.send(WorkloadEvent::Gone(workload, replica));
    }
}

#[async_trait]
impl ResourceManager for InstantManager {
    async fn apply(&self, spec: WorkloadSpec) -> Result<()> {
        self.applied
            .lock()
            .expect("it is as the test set it up")
            .push(spec);
        Ok(())
    }
    async fn scale(&self, request: ScaleRequest) -> Result<()> {
        for sandbox in request.retiring {
            self.end(sandbox);
        }
        let mut replicas = self.replicas.lock().expect("it is as the test set it up");
        while replicas.len() < request.running as usize {
            let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
            let sandbox = SandboxId::from_u128(number.into());
            let phase = SandboxPhase::In(SandboxState::Running);
            let mut replica = Replica::new(
                sandbox,
                NodeName::new("node").expect("it is as the test set it up"),
                phase,
            );
            replica.endpoint = Some(
                Address::Handler(HandlerName::new("h").expect("it is as the test set it up"))
                    .into(),
            );
            replicas.push((request.workload, replica.clone()));
            let _ = self
                .events
                .send(WorkloadEvent::Ready(request.workload, replica));
        }
        Ok(())
    }
    async fn assign(&self, _: SandboxId, _: WorkloadId) -> Result<()> {
        Err(Error::unsupported("assign", "not here"))
    }
    async fn remove(&self, workload: WorkloadId) -> Result<()> {
        let all: Vec<_> = self
            .replicas
            .lock()
            .expect("it is as the test set it up")
            .iter()
            .map(|(_, r)| r.sandbox)
            .collect();
        all.into_iter().for_each(|sandbox| self.end(sandbox));
        let _ = self.events.send(WorkloadEvent::Removed(workload));
        Ok(())
    }
    async fn get(&self, _: WorkloadId) -> Result<WorkloadStatus> {
        Err(Error::not_found("get", "not here"))
    }
    async fn list(&self) -> Result<Vec<WorkloadStatus>> {
        let replicas = self.replicas.lock().expect("it is as the test set it up");
        let status = |spec: &WorkloadSpec| {
            let mut status = WorkloadStatus::new(Arc::new(spec.clone()));
            let ours = replicas.iter().filter(|(workload, _)| *workload == spec.id);
            status.replicas = ours.map(|(_, replica)| replica.clone()).collect();
            status
        };
        Ok(self
            .applied
            .lock()
            .expect("it is as the test set it up")
            .iter()
            .map(status)
            .collect())
    }
    fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
        let events = self.events.subscribe();
        futures::stream::unfold(events, |mut events| async move {
            events.recv().await.ok().map(|event| (event, events))
        })
        .boxed()
    }
    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity::default())
    }
    fn hooks(&self) -> Option<Hooks> {
        None
    }
    fn describe(&self) -> Description {
        Description::new("InstantManager")
    }
}

/// An instance that fails when it is told to.
struct Puppet {
    id: InstanceId,
    fail: Arc<Notify>,
}

#[async_trait]
impl FunctionInstance for Puppet {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, invocation: Invocation, _: Permit) -> Result<Response> {
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        let fail = self.fail.clone();
        Box::pin(async move {
            fail.notified().await;
            "it was told to".into()
        })
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Puppets {
    fail: Arc<Notify>,
    refuse: Arc<AtomicU64>,
    hook: bool,
    environment: SandboxEnvironment,
}

#[async_trait]
impl Contract for Puppets {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        let hook: Arc<dyn SandboxHook> = Arc::new(NoHook);
        self.hook.then(|| {
            (
                HookName::new("strings").expect("it is as the test set it up"),
                hook,
            )
        })
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        self.environment.clone()
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let refusals = self.refuse.load(Ordering::Relaxed);
        if refusals > 0 {
            self.refuse.store(refusals - 1, Ordering::Relaxed);
            return Err(Error::unavailable("connect", "not yet"));
        }
        Ok(Arc::new(Puppet {
            id: connect.instance,
            fail: self.fail.clone(),
        }))
    }
}

struct NoHook;

#[async_trait]
impl SandboxHook for NoHook {
    fn needs(&self) -> Vec<faas_resource::hook::ReachKind> {
        Vec::new()
    }
    async fn prepare(
        &self,
        _: SandboxId,
        _: Option<faas_resource::hook::Reach>,
    ) -> Result<faas_resource::hook::Prepared> {
        Ok(faas_resource::hook::Prepared::default())
    }
    async fn resume(
        &self,
        _: SandboxId,
        _: Option<faas_resource::hook::Reach>,
        _: &faas_resource::hook::Cookie,
    ) -> Result<()> {
        Ok(())
    }
    async fn release(&self, _: SandboxId, _: &faas_resource::agent::ExitCause) {}
}

fn revision() -> Arc<FunctionRevision> {
    let function = FunctionId {
        namespace: Namespace::default(),
        name: Name::new("hello").expect("it is as the test set it up"),
    };
    let runtime = RuntimeName::new("handler").expect("it is as the test set it up");
    let executable =
        Executable::Handler(HandlerName::new("h").expect("it is as the test set it up"));
    let mut config = FunctionConfig::new(runtime, executable);
    config.max_instances = 3;
    Arc::new(FunctionRevision {
        function,
        number: RevisionNumber(1),
        config,
    })
}

fn deployer(manager: &InstantManager, puppets: &Puppets) -> LayeredDeployer {
    deployer_on(Arc::new(manager.clone()), puppets)
}

fn deployer_on(manager: Arc<InstantManager>, puppets: &Puppets) -> LayeredDeployer {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
    let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
    let contract: Arc<dyn Contract> = Arc::new(puppets.clone());
    let contracts = [(
        RuntimeName::new("handler").expect("it is as the test set it up"),
        contract,
    )]
    .into();
    LayeredDeployer::new(manager, contracts, clock, log)
}

async fn next(events: &mut BoxStream<'static, DeployerEvent>) -> DeployerEvent {
    tokio::time::timeout(WAIT, events.next())
        .await
        .expect("an event in time")
        .expect("an event")
}

async fn ready(events: &mut BoxStream<'static, DeployerEvent>) -> InstanceId {
    match next(events).await {
        DeployerEvent::Ready { instance, .. } => instance.id(),
        other => panic!("{other:?} instead of an instance"),
    }
}

async fn gone(events: &mut BoxStream<'static, DeployerEvent>) -> InstanceId {
    match next(events).await {
        DeployerEvent::Gone { instance, .. } => instance,
        other => panic!("{other:?} instead of an end"),
    }
}

#[tokio::test(start_paused = true)]
async fn converges_within_bounds_and_reports_each_once() {
    let (manager, puppets) = (InstantManager::new(), Puppets::default());
    let deployer = deployer(&manager, &puppets);
    let mut events = deployer.watch();
    deployer
        .deploy(Deploy::new(revision(), 9, Monotonic::ZERO))
        .await
        .expect("it is as the test set it up");
    let mut seen = [
        ready(&mut events).await,
        ready(&mut events).await,
        ready(&mut events).await,
    ];
    seen.sort();
    assert_eq!(
        seen.map(InstanceId::as_u128),
        [1, 2, 3],
        "three, although nine were asked for"
    );
    let mut fewer = Deploy::new(revision(), 2, Monotonic::ZERO);
    fewer.retiring = vec![seen[1]];
    deployer
        .deploy(fewer)
        .await
        .expect("it is as the test set it up");
    assert_eq!(gone(&mut events).await, seen[1]);
    assert_eq!(
        manager
            .applied
            .lock()
            .expect("it is as the test set it up")
            .len(),
        1,
        "applied once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_is_replaced() {
    let (manager, puppets) = (InstantManager::new(), Puppets::default());
    let deployer = deployer(&manager, &puppets);
    let mut events = deployer.watch();
    deployer
        .deploy(Deploy::new(revision(), 1, Monotonic::ZERO))
        .await
        .expect("it is as the test set it up");
    let first = ready(&mut events).await;
    puppets.fail.notify_one();
    assert_eq!(gone(&mut events).await, first);
    assert_ne!(ready(&mut events).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_does_not_speak_is_replaced_after_a_pause() {
    let (manager, puppets) = (InstantManager::new(), Puppets::default());
    puppets.refuse.store(3, Ordering::Relaxed);
    let deployer = deployer(&manager, &puppets);
    let mut events = deployer.watch();
    deployer
        .deploy(Deploy::new(revision(), 1, Monotonic::ZERO))
        .await
        .expect("it is as the test set it up");
    for _ in 0..3 {
        assert!(matches!(
            next(&mut events).await,
            DeployerEvent::Waiting { .. }
        ));
    }
    assert_eq!(ready(&mut events).await.as_u128(), 4);
}

#[tokio::test(start_paused = true)]
async fn remove_leaves_nothing() {
    let (manager, puppets) = (InstantManager::new(), Puppets::default());
    let deployer = deployer(&manager, &puppets);
    let mut events = deployer.watch();
    deployer
        .deploy(Deploy::new(revision(), 1, Monotonic::ZERO))
        .await
        .expect("it is as the test set it up");
    let instance = ready(&mut events).await;
    deployer
        .remove(&revision())
        .await
        .expect("it is as the test set it up");
    assert_eq!(gone(&mut events).await, instance);
    assert!(
        manager
            .replicas
            .lock()
            .expect("it is as the test set it up")
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn refuses_bad_combinations() {
    let manager = InstantManager::new();
    let hooked = Puppets {
        hook: true,
        ..Puppets::default()
    };
    let request = Deploy::new(revision(), 1, Monotonic::ZERO);
    let error = deployer(&manager, &hooked)
        .plan(&request)
        .expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("hook strings"), "{error}");
    let mut foreign = (*revision()).clone();
    foreign.config.runtime = RuntimeName::new("cobol").expect("it is as the test set it up");
    let request = Deploy::new(Arc::new(foreign), 1, Monotonic::ZERO);
    let error = deployer(&manager, &Puppets::default())
        .plan(&request)
        .expect_err("it is refused");
    assert!(
        error
            .message()
            .contains("runtime cobol; there are: handler"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn plan_is_pure() {
    let deployer = deployer(&InstantManager::new(), &Puppets::default());
    let request = Deploy::new(revision(), 2, Monotonic::ZERO);
    let (a, b) = (
        deployer
            .plan(&request)
            .expect("it is as the test set it up"),
        deployer
            .plan(&request)
            .expect("it is as the test set it up"),
    );
    assert_eq!(a, b);
    assert_eq!(a.workload.id, plan::workload_id(&revision()));
}

#[tokio::test(start_paused = true)]
async fn the_contracts_environment_is_merged_and_what_it_reserves_is_refused() {
    let mut puppets = Puppets::default();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    puppets.environment.defaults = [pair("COLOUR", "grey"), pair("SHAPE", "round")].into();
    puppets.environment.fixed = [pair("NAME", "hello")].into();
    puppets.environment.code_root = ["ROOT".to_owned()].into();
    puppets.environment.reserved = ["DOOR".to_owned()].into();
    let deployer = deployer(&InstantManager::new(), &puppets);
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

#[tokio::test(start_paused = true)]
async fn the_last_handle_lets_go_of_the_manager() {
    let manager = Arc::new(InstantManager::new());
    let held = Arc::downgrade(&manager);
    let puppets = Puppets::default();
    let deployer = deployer_on(manager, &puppets);
    let mut events = deployer.watch();
    deployer
        .deploy(Deploy::new(revision(), 2, Monotonic::ZERO))
        .await
        .expect("it is as the test set it up");
    ready(&mut events).await;
    ready(&mut events).await;
    let second = deployer.clone();
    drop(deployer);
    assert!(held.upgrade().is_some(), "a handle is left");
    drop(second);
    assert!(held.upgrade().is_none(), "something else holds the manager");
    let end = tokio::time::timeout(WAIT, events.next()).await;
    assert!(end.expect("in time").is_none(), "the watch ends");
}
