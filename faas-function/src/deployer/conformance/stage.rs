//! A deployer under test, and the hands that play with it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, HandlerName, HookName, IdSource, InstanceId, Name, Namespace, Result, RevisionNumber,
    RuntimeName, SandboxId, TokioClock,
};
use faas_resource::agent::ExitCause;
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, ResourceManager, SandboxHook};
use futures::stream::{BoxStream, StreamExt};

use super::{InstantManager, Puppets};
use crate::FunctionInstance;
use crate::contract::{Connect, Contract, SandboxEnvironment};
use crate::deployer::plan::{Contracts, instance_id, sandbox_id, workload_id};
use crate::deployer::{Deploy, DeployerEvent, FunctionDeployer};
use crate::registry::{FunctionConfig, FunctionId, FunctionRevision};

/// How long a case waits, in paused time, for what must happen.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The bound of the revisions' instances.
pub(super) const MOST: usize = 4;

/// What a deployer under test is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Setup {
    /// What it delegates to.
    pub manager: Arc<dyn ResourceManager>,
    /// The contracts that it speaks.
    pub contracts: Contracts,
    /// The clock of the cases.
    pub clock: Arc<dyn Clock>,
    /// Where to record decisions.
    pub decisions: DecisionLog,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// Makes a deployer.
pub type Factory = Arc<dyn Fn(Setup) -> Arc<dyn FunctionDeployer> + Send + Sync>;

pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

pub(super) fn name(runtime: &str) -> RuntimeName {
    RuntimeName::new(runtime).expect("a valid name")
}

/// A revision of the one function there is.
pub(super) fn revision(number: u64) -> Arc<FunctionRevision> {
    let handler = HandlerName::new("puppet").expect("a valid name");
    let mut config = FunctionConfig::new(name("puppet"), Executable::Handler(handler));
    config.max_instances = u32::try_from(MOST).unwrap_or_default();
    Arc::new(FunctionRevision {
        function: FunctionId {
            namespace: Namespace::default(),
            name: Name::new("puppet").expect("a valid name"),
        },
        number: RevisionNumber(number),
        config,
    })
}

pub(super) fn sandbox(instance: InstanceId) -> SandboxId {
    sandbox_id(instance)
}

/// As the puppets, but with a hook.
struct Hooked(Puppets);

struct NoHook;

#[async_trait]
impl SandboxHook for NoHook {
    fn needs(&self) -> Vec<ReachKind> {
        Vec::new()
    }
    async fn prepare(&self, _: SandboxId, _: Option<Reach>) -> Result<Prepared> {
        Ok(Prepared::default())
    }
    async fn resume(&self, _: SandboxId, _: Option<Reach>, _: &Cookie) -> Result<()> {
        Ok(())
    }
    async fn release(&self, _: SandboxId, _: &ExitCause) {}
}

#[async_trait]
impl Contract for Hooked {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        let name = HookName::new("strings").expect("a valid name");
        Some((name, Arc::new(NoHook)))
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        self.0.executables()
    }
    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        self.0.environment(revision)
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        self.0.connect(connect).await
    }
}

fn running(manager: &InstantManager) -> Vec<InstanceId> {
    let running = manager.running(workload_id(&revision(1).id()));
    running.into_iter().map(instance_id).collect()
}

pub(super) struct Stage {
    pub(super) deployer: Arc<dyn FunctionDeployer>,
    pub(super) manager: InstantManager,
    pub(super) puppets: Puppets,
    pub(super) setup: Setup,
    events: BoxStream<'static, DeployerEvent>,
    /// The instances that were reported ready and not gone.
    pub(super) ready: BTreeSet<InstanceId>,
    /// Those that were reported gone.
    pub(super) gone: BTreeSet<InstanceId>,
}

impl Stage {
    pub(super) fn new(factory: &Factory) -> Self {
        Self::with(factory, InstantManager::new(), Puppets::default())
    }

    fn with(factory: &Factory, manager: InstantManager, puppets: Puppets) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let ids = IdSource::new(clock.clone(), 1);
        let plain: Arc<dyn Contract> = Arc::new(puppets.clone());
        let hooked: Arc<dyn Contract> = Arc::new(Hooked(puppets.clone()));
        let setup = Setup {
            manager: Arc::new(manager.clone()),
            contracts: [(name("puppet"), plain), (name("hooked"), hooked)].into(),
            decisions: DecisionLog::new(clock.clone(), ids),
            clock,
        };
        let deployer = factory(setup.clone());
        Self {
            events: deployer.watch(),
            deployer,
            manager,
            puppets,
            setup,
            ready: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Another deployer, over the same manager, that knows nothing of this one.
    pub(super) fn next_life(&self, factory: &Factory) -> Self {
        Self::with(factory, self.manager.clone(), self.puppets.clone())
    }

    /// Asks for so many instances of the first revision.
    pub(super) async fn deploy(&mut self, instances: u32) {
        let request = Deploy::new(revision(1), instances, self.setup.clock.now());
        let deployed = within("deploy", self.deployer.deploy(request)).await;
        deployed.expect("it can be deployed");
    }

    /// The instances of the first revision whose sandboxes run.
    pub(super) fn running(&self) -> Vec<InstanceId> {
        running(&self.manager)
    }

    fn take(&mut self, event: &DeployerEvent) {
        match event {
            DeployerEvent::Ready { instance, .. } => {
                let id = instance.id();
                assert!(!self.gone.contains(&id), "{id} is ready after it was gone");
                assert!(self.ready.insert(id), "{id} is reported ready twice");
            }
            DeployerEvent::Gone { instance, .. } => {
                let was = self.ready.remove(instance);
                assert!(was, "{instance} is gone, but was not reported ready");
                self.gone.insert(*instance);
            }
            DeployerEvent::Waiting { .. } => {}
        }
    }

    /// Reads events until it is as it should be.
    pub(super) async fn until(&mut self, what: &str, right: impl Fn(&Self) -> bool) {
        let reached = async {
            while !right(self) {
                let event = self.events.next().await.expect("the events do not end");
                self.take(&event);
            }
        };
        within(what, reached).await;
    }

    /// Reads events until so many are ready.
    pub(super) async fn until_ready(&mut self, instances: usize) {
        let what = format!("{instances} are ready");
        self.until(&what, |stage| stage.ready.len() == instances)
            .await;
    }

    /// Waits until so many sandboxes of the first revision run.
    pub(super) async fn until_running(&mut self, sandboxes: usize) {
        let manager = self.manager.clone();
        let mut changes = manager.watch();
        let reached = async {
            while running(&manager).len() != sandboxes {
                changes
                    .next()
                    .await
                    .expect("the manager's events do not end");
            }
        };
        within(&format!("{sandboxes} sandboxes run"), reached).await;
    }
}
