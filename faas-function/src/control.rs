//! [`Control`]: the loop that joins router, autoscaler and deployer.
//!
//! ```text
//! F5 demand ──▶ F6 observe, decide ──▶ F3 deploy ──▶ … ──▶ F3 Ready, Gone ──▶ F5 add, remove
//! ```
//!
//! It is the only place that calls the policy: what it decides is recorded, with its reasons, as
//! the cause of all that follows.

use std::collections::HashMap;
use std::sync::Arc;

use faas_core::explain::{DecisionClass, DecisionLog};
use faas_core::{Clock, PolicyContext, Result, SeededRandom, StartKind};
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::autoscaler::{Fleet, FleetChange, RevisionId, RevisionLoad, ScaleDecision};
use crate::deployer::plan::workload_id;
use crate::deployer::{Deploy, DeployerEvent};
use crate::registry::FunctionRevision;
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
}

struct Live {
    parts: ControlParts,
    policy: Box<dyn FunctionAutoscaler>,
    random: SeededRandom,
    fleet: Fleet,
    known: HashMap<RevisionId, Known>,
}

/// A revision that has had demand.
struct Known {
    revision: Arc<FunctionRevision>,
    wanted: u32,
}

impl Live {
    async fn run(mut self) {
        let mut demand = self.parts.router.demand();
        let mut deployer = self.parts.deployer.watch();
        loop {
            let wake = self.policy.wake_at();
            let clock = self.parts.clock.clone();
            let alarm = async move {
                match wake {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                load = demand.next() => match load {
                    Some((revision, load)) => self.observe(revision, load).await,
                    None => return,
                },
                event = deployer.next() => match event {
                    Some(event) => self.deployed(event),
                    None => return,
                },
                () = alarm => {}
            }
            self.decide().await;
        }
    }

    async fn observe(&mut self, id: RevisionId, mut load: RevisionLoad) {
        if !self.known.contains_key(&id) {
            match self.parts.metadata.revision(&id.function, id.number).await {
                Ok(revision) => {
                    self.known.insert(
                        id.clone(),
                        Known {
                            revision,
                            wanted: 0,
                        },
                    );
                }
                Err(error) => {
                    tracing::warn!(function = %id.function, %error, "demand for an unknown revision");
                    return;
                }
            }
        }
        load.starting = self.starting(&id, load.ready);
        self.fleet.revisions.insert(id.clone(), load.clone());
        let mut context = self.context();
        self.policy
            .observe(&mut context, &FleetChange::Load(id, load));
        self.random = context.random;
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
            if let Err(error) = self.carry_out(decision).await {
                tracing::warn!(%error, "a scaling decision could not be carried out");
            }
        }
    }

    async fn carry_out(&mut self, decision: ScaleDecision) -> Result<()> {
        let Some(known) = self.known.get_mut(&decision.revision) else {
            return Ok(());
        };
        let workload = workload_id(&known.revision);
        let subjects = vec![workload.into()];
        let cause = self
            .parts
            .log
            .record(DecisionClass::Scaling, subjects, None, decision.reasons);
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
                let id = RevisionId {
                    function: revision.function.clone(),
                    number: revision.number,
                };
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
            }
        }
    }
}
