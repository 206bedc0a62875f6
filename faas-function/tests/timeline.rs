//! Where the time of a cold start goes: every component says its part, and the parts make the wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::explain::{DecisionLog, Reason};
use faas_core::{
    Clock, Description, HandlerName, HookName, IdSource, Invocation, Monotonic, Payload, Phase,
    PolicyContext, Result, RevisionNumber, RuntimeName, StartKind, Timeline, TokioClock,
};
use faas_function::autoscaler::{Fleet, FleetChange, ScaleDecision};
use faas_function::contract::{Connect, SandboxEnvironment};
use faas_function::deployer::conformance::{InstantManager, Puppets};
use faas_function::deployer::plan::sandbox_id;
use faas_function::deployer::{Deploy, DeployerEvent, LayeredDeployer};
use faas_function::registry::FunctionConfig;
use faas_function::{
    Contract, FunctionAutoscaler, FunctionDeployer, FunctionInstance, FunctionLayer,
    FunctionRevision,
};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, SandboxHook};
use futures::StreamExt;

const DECIDES: Duration = Duration::from_secs(2);
const CONNECTS: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> RuntimeName {
    RuntimeName::new("handler").expect("a name")
}

fn config() -> FunctionConfig {
    let handler = HandlerName::new("h").expect("a name");
    FunctionConfig::new(runtime(), Executable::Handler(handler))
}

/// Decides two seconds after it has seen that somebody waits.
#[derive(Default)]
struct Ponders {
    since: Option<Monotonic>,
}

impl FunctionAutoscaler for Ponders {
    fn observe(&mut self, _: &mut PolicyContext, _: &FleetChange) {}
    fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        const WHY: Reason = Reason::new("test.pondered", "it was thought over");
        let mut all = fleet.revisions.iter();
        let lacks = all.find(|(_, load)| load.queued > 0 && load.ready + load.starting == 0);
        let Some((id, _)) = lacks else {
            self.since = None;
            return Vec::new();
        };
        let since = *self.since.get_or_insert(context.now);
        if context.now.since(since) < DECIDES {
            return Vec::new();
        }
        self.since = None;
        vec![ScaleDecision::new(id.clone(), 1, WHY)]
    }
    fn wake_at(&self) -> Option<Monotonic> {
        self.since.map(|since| since + DECIDES)
    }
    fn save(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("Ponders")
    }
}

/// Puppets that take their time to connect.
struct Slow(Puppets, Arc<dyn Clock>);

#[async_trait]
impl Contract for Slow {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        self.0.executables()
    }
    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        self.0.environment(revision)
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        self.1.sleep_until(self.1.now() + CONNECTS).await;
        self.0.connect(connect).await
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::for_paused_time())
}

#[tokio::test(start_paused = true)]
async fn the_phases_of_a_cold_start_make_its_wait() {
    let clock = clock();
    let layer = FunctionLayer::builder()
        .clock(clock.clone())
        .resources(Arc::new(InstantManager::new()))
        .contract(runtime(), Arc::new(Slow(Puppets::default(), clock.clone())))
        .autoscaler(Box::new(Ponders::default()))
        .build();
    let layer = layer.await.expect("it is well configured");
    let deployed = layer.deploy("hello".parse().expect("a function"), config());
    deployed.await.expect("deployed");
    let function = "hello".parse().expect("a reference");
    let id = IdSource::new(clock, 1).next();
    let call = Invocation::new(id, function, Payload::empty());
    let response = tokio::time::timeout(PATIENCE, layer.invoker().invoke(call)).await;
    let response = response.expect("in time").expect("it runs");
    let done = response.collect(100).await.expect("a body");
    assert_eq!(done.start, StartKind::Cold);
    let timeline = done.trailer.timeline;
    assert!(timeline[Phase::Scale] >= DECIDES, "{timeline}");
    assert!(timeline[Phase::Connect] >= CONNECTS, "{timeline}");
    let within_the_queue = [
        Phase::Scale,
        Phase::Plan,
        Phase::Place,
        Phase::Prepare,
        Phase::Start,
        Phase::Connect,
    ];
    let sum: Duration = within_the_queue.iter().map(|phase| timeline[*phase]).sum();
    let queue = timeline[Phase::Queue];
    assert!(sum <= queue, "{sum:?} lie within {queue:?}: {timeline}");
    // The time is paused: what is left are the clock's own steps of milliseconds.
    let rest = queue - sum;
    assert!(rest < DECIDES / 10, "{rest:?} are nobody's: {timeline}");
}

async fn ready(events: &mut (impl StreamExt<Item = DeployerEvent> + Unpin)) -> (Timeline, u128) {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        match event.expect("in time").expect("it does not end") {
            DeployerEvent::Ready {
                timeline, instance, ..
            } => return (timeline, instance.id().as_u128()),
            _ => continue,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scaling_and_planning_are_told_of_what_was_asked_for_and_not_of_what_replaces_it() {
    let clock = clock();
    let log = DecisionLog::new(clock.clone(), IdSource::new(clock.clone(), 1));
    let manager = Arc::new(InstantManager::new());
    let contracts = [(runtime(), Arc::new(Puppets::default()) as Arc<dyn Contract>)].into();
    let deployer = LayeredDeployer::new(manager.clone(), contracts, clock.clone(), log);
    let mut events = deployer.watch();
    let revision = Arc::new(FunctionRevision {
        function: "hello".parse().expect("a function"),
        number: RevisionNumber(1),
        config: config(),
    });
    let demanded = clock.now();
    let mut deploy = Deploy::new(revision, 2, demanded + DECIDES);
    deploy.demanded = demanded;
    clock.sleep_until(demanded + DECIDES + CONNECTS).await;
    deployer.deploy(deploy).await.expect("deployed");
    let mut last = 0;
    for _ in 0..2 {
        let (timeline, instance) = ready(&mut events).await;
        assert_eq!(timeline[Phase::Scale], DECIDES, "{timeline}");
        assert!(timeline[Phase::Plan] >= CONNECTS, "{timeline}");
        last = instance;
    }
    manager.crash(sandbox_id(faas_core::InstanceId::from_u128(last)));
    let (timeline, _) = ready(&mut events).await;
    assert_eq!(timeline[Phase::Scale], Duration::ZERO, "{timeline}");
    assert_eq!(timeline[Phase::Plan], Duration::ZERO, "{timeline}");
}
