//! [`Control`]: the loop that joins router, autoscaler and deployer.
//!
//! ```text
//! F5 demand ──▶ F6 observe, decide ──▶ F3 deploy ──▶ … ──▶ F3 Ready, Gone ──▶ F5 add, remove
//! ```
//!
//! It is the only place that calls the policy: what it decides is recorded, with its reasons, as
//! the cause of all that follows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use faas_core::explain::{DecisionClass, DecisionLog};
use faas_core::{
    Clock, Error, ErrorKind, Monotonic, PolicyContext, Result, Retry, SeededRandom, StartKind,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::task::JoinHandle;

use crate::autoscaler::{Fleet, FleetChange, RevisionId, RevisionLoad, ScaleDecision};
use crate::deployer::plan::workload_id;
use crate::deployer::{Deploy, DeployerEvent};
use crate::registry::{FunctionId, FunctionRecord, FunctionRevision, RegistryEvent};
use crate::router::AddInstance;
use crate::{FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};

/// The parts that the loop joins.
#[derive(Clone)]
#[non_exhaustive]
pub struct ControlParts {
    /// F1: what a revision is.
    pub metadata: Arc<dyn MetadataStore>,
    /// F3.
    pub deployer: Arc<dyn FunctionDeployer>,
    /// F5.
    pub router: Arc<dyn FunctionRouter>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where decisions are recorded.
    pub log: DecisionLog,
}

impl ControlParts {
    /// All of them.
    pub fn new(
        metadata: Arc<dyn MetadataStore>,
        deployer: Arc<dyn FunctionDeployer>,
        router: Arc<dyn FunctionRouter>,
        clock: Arc<dyn Clock>,
        log: DecisionLog,
    ) -> Self {
        Self {
            metadata,
            deployer,
            router,
            clock,
            log,
        }
    }
}

impl std::fmt::Debug for ControlParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlParts").finish_non_exhaustive()
    }
}

/// The running loop; it ends when this is dropped.
#[derive(Debug)]
pub struct Control(JoinHandle<()>);

impl Drop for Control {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Control {
    /// Starts the loop with a policy. It must be called within a tokio runtime.
    pub fn start(parts: ControlParts, policy: Box<dyn FunctionAutoscaler>, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let live = Live {
            parts,
            policy,
            random,
            fleet: Fleet::default(),
            known: HashMap::new(),
        };
        Self(tokio::spawn(live.run()))
    }

    /// Ends the loop: nothing is scaled any more.
    pub fn stop(&self) {
        self.0.abort();
    }
}

struct Live {
    parts: ControlParts,
    policy: Box<dyn FunctionAutoscaler>,
    random: SeededRandom,
    fleet: Fleet,
    known: HashMap<RevisionId, Known>,
}

/// A revision that has had demand, or must have instances without any.
struct Known {
    revision: Arc<FunctionRevision>,
    /// How many instances were decided on.
    wanted: u32,
    /// Whether new requests can still come to it: it is the latest, or an alias names it.
    current: bool,
    /// How often in a row none of its instances came to be.
    failures: u32,
}

/// After so many failures in a row those that wait for an instance are told why there is none.
const HOPELESS: u32 = 4;

impl Live {
    async fn run(mut self) {
        let mut demand = self.parts.router.demand();
        let mut deployer = self.parts.deployer.watch();
        let mut registry = follow(self.parts.metadata.clone());
        loop {
            let alarm = alarm(self.parts.clock.clone(), self.policy.wake_at());
            tokio::select! {
                load = demand.next() => match load {
                    Some((revision, load)) => self.demanded(revision, load).await,
                    None => return,
                },
                event = deployer.next() => match event {
                    Some(event) => self.deployed(event),
                    None => return,
                },
                Some(event) = registry.next() => match event {
                    RegistryEvent::Changed(record) => self.registered(&record).await,
                    RegistryEvent::Deleted(function) => self.deleted(&function).await,
                },
                () = alarm => {}
            }
            self.decide().await;
        }
    }

    async fn demanded(&mut self, id: RevisionId, load: RevisionLoad) {
        if self.know(&id).await {
            self.load(id, load);
        }
    }

    /// Makes sure that a revision is known; false if there is no such revision.
    async fn know(&mut self, id: &RevisionId) -> bool {
        if self.known.contains_key(id) {
            return true;
        }
        match self.parts.metadata.revision(&id.function, id.number).await {
            Ok(revision) => {
                let known = Known {
                    revision,
                    wanted: 0,
                    current: true,
                    failures: 0,
                };
                self.known.insert(id.clone(), known);
                true
            }
            Err(error) => {
                tracing::warn!(function = %id.function, %error, "demand for an unknown revision");
                false
            }
        }
    }

    /// Takes a revision's load into the fleet, and tells the policy.
    fn load(&mut self, id: RevisionId, mut load: RevisionLoad) {
        load.starting = self.starting(&id, load.ready);
        if self.known.get(&id).is_some_and(|known| !known.current) {
            load.min = 0;
        }
        self.fleet.revisions.insert(id.clone(), load.clone());
        self.tell(&FleetChange::Load(id, load));
    }

    fn tell(&mut self, change: &FleetChange) {
        let mut context = self.context();
        self.policy.observe(&mut context, change);
        self.random = context.random;
    }

    /// A function is new or other than it was: what must have instances is kept, and what no new
    /// request can reach may go.
    async fn registered(&mut self, record: &FunctionRecord) {
        let aliases = record.aliases.values().flat_map(|alias| &alias.weights);
        let named = aliases
            .filter(|(_, weight)| **weight > 0)
            .map(|(number, _)| *number);
        let current: BTreeSet<_> = named.chain([record.latest.number]).collect();
        for number in &current {
            let id = RevisionId {
                function: record.function.clone(),
                number: *number,
            };
            if self.know(&id).await && !self.fleet.revisions.contains_key(&id) {
                let config = &self.known[&id].revision.config;
                let (min, max) = (config.min_instances, config.max_instances);
                if min > 0 {
                    let resources = config.resources.clone();
                    self.load(
                        id,
                        RevisionLoad::idle(config.concurrency, min, max, resources),
                    );
                }
            }
        }
        let ours = self
            .known
            .iter_mut()
            .filter(|(id, _)| id.function == record.function);
        let changed: Vec<_> = ours
            .filter_map(|(id, known)| {
                let now = current.contains(&id.number);
                let other = std::mem::replace(&mut known.current, now) != now;
                other.then(|| (id.clone(), known.revision.config.min_instances))
            })
            .collect();
        for (id, min) in changed {
            if let Some(mut load) = self.fleet.revisions.get(&id).cloned() {
                load.min = min;
                self.load(id, load);
            }
        }
    }

    fn forget(&mut self, id: &RevisionId) -> Option<Known> {
        self.fleet.revisions.remove(id);
        self.tell(&FleetChange::Removed(id.clone()));
        self.known.remove(id)
    }

    async fn deleted(&mut self, function: &FunctionId) {
        let ours = self.known.keys().filter(|id| id.function == *function);
        for id in ours.cloned().collect::<Vec<_>>() {
            if self.forget(&id).is_some()
                && let Err(error) = self.parts.deployer.remove(&id).await
            {
                tracing::warn!(%function, %error, "a deleted function's instances remain");
            }
        }
    }

    fn starting(&self, id: &RevisionId, ready: u32) -> u32 {
        self.known
            .get(id)
            .map_or(0, |known| known.wanted.saturating_sub(ready))
    }

    fn context(&self) -> PolicyContext {
        PolicyContext::new(self.parts.clock.now(), self.random)
    }

    async fn decide(&mut self) {
        let mut context = self.context();
        let decisions = self.policy.decide(&mut context, &self.fleet);
        self.random = context.random;
        for decision in decisions {
            let id = decision.revision.clone();
            if let Err(error) = self.carry_out(decision).await {
                tracing::warn!(%error, "a scaling decision could not be carried out");
                self.waits(&id, error);
            }
        }
    }

    /// An instance is wanted and is not there. Who waits for it goes on waiting as long as there is
    /// hope: for room, and for another attempt after a few that failed.
    fn waits(&mut self, id: &RevisionId, error: Error) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        if error.kind() == ErrorKind::Exhausted {
            return;
        }
        known.failures = known.failures.saturating_add(1);
        if error.retry() == Retry::Never || known.failures >= HOPELESS {
            self.parts.router.refuse(id, error);
        }
    }

    async fn carry_out(&mut self, decision: ScaleDecision) -> Result<()> {
        let Some(known) = self.known.get_mut(&decision.revision) else {
            return Ok(());
        };
        let workload = workload_id(&decision.revision);
        let subjects = vec![workload.into()];
        let cause = self
            .parts
            .log
            .record(DecisionClass::Scaling, subjects, None, decision.reasons);
        if !known.current && decision.instances == 0 {
            let revision = known.revision.clone();
            self.forget(&decision.revision);
            return self.parts.deployer.remove(&revision.id()).await;
        }
        let asked = self.parts.clock.now();
        let mut deploy = Deploy::new(known.revision.clone(), decision.instances, asked);
        (deploy.retiring, deploy.caused_by) = (decision.evict, Some(cause));
        for instance in &deploy.retiring {
            self.parts.router.remove(*instance);
        }
        self.parts.deployer.deploy(deploy).await?;
        known.wanted = decision.instances;
        if let Some(load) = self.fleet.revisions.get_mut(&decision.revision) {
            load.starting = known.wanted.saturating_sub(load.ready);
        }
        Ok(())
    }

    fn deployed(&mut self, event: DeployerEvent) {
        match event {
            DeployerEvent::Ready {
                revision,
                instance,
                timeline,
                caused_by,
            } => {
                let mut add = AddInstance::new(revision.clone(), instance);
                (add.timeline, add.caused_by) = (timeline, caused_by);
                let id = revision.id();
                if let Some(known) = self.known.get_mut(&id) {
                    known.failures = 0;
                }
                let waited_for = self
                    .fleet
                    .revisions
                    .get(&id)
                    .is_some_and(|load| load.queued > 0);
                add.start = if waited_for {
                    StartKind::Cold
                } else {
                    StartKind::Prewarmed
                };
                self.parts.router.add(add);
            }
            DeployerEvent::Gone { instance, .. } => self.parts.router.remove(instance),
            DeployerEvent::Waiting { revision, error } => {
                tracing::info!(function = %revision.function, %error, "no instance can be started");
                self.waits(&revision.id(), error);
            }
        }
    }
}

/// Ends at `at`; never without one.
async fn alarm(clock: Arc<dyn Clock>, at: Option<Monotonic>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// All functions, and then their changes; begins anew when a watch fails.
fn follow(metadata: Arc<dyn MetadataStore>) -> BoxStream<'static, RegistryEvent> {
    let lists = stream::unfold(metadata, |metadata| async move {
        match metadata.list(None).await {
            Ok((records, revision)) => {
                let listed = stream::iter(records.into_iter().map(RegistryEvent::Changed));
                let changes = metadata.watch(revision).scan((), |(), event| {
                    if let Err(error) = &event {
                        tracing::warn!(%error, "the registry is listed again");
                    }
                    std::future::ready(event.ok())
                });
                Some((listed.chain(changes), metadata))
            }
            Err(error) => {
                tracing::error!(%error, "the registry cannot be listed: minimum instances rest");
                None
            }
        }
    });
    lists.flatten().fuse().boxed()
}
