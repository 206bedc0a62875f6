//! [`LayeredDeployer`]: delegates the doing to a resource manager, and connects contracts to the
//! sandboxes that it reports.

mod life;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::{Clock, Component, Description, Error, Result, SandboxId, Timeline, WorkloadId};
use faas_resource::ResourceManager;
use faas_resource::workload::{Replica, ScaleRequest, WorkloadEvent};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, JoinHandle};

use super::plan::{self, Contracts, instance_id, sandbox_id};
use super::{Deploy, DeployerEvent, FunctionDeployer, Plan};
use crate::instance::FunctionInstance;
use crate::registry::FunctionRevision;

/// How many events a reader may fall behind.
const EVENTS: usize = 4096;
/// How long a sandbox that does not speak its contract is left before it is replaced, at first and
/// at most: doubled with each failure in a row, so that a broken function does not spin.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

const READY: Reason = Reason::new(
    "instance.ready",
    "instance {instance} of {function} is ready",
);
const ENDED: Reason = Reason::new("instance.ended", "its sandbox {phase}");
const RETIRED: Reason = Reason::new("instance.retired", "it was no longer wanted");
/// The default deployer, over any [`ResourceManager`].
///
/// Clones are the same deployer. With the last of them its tasks end, and it lets go of the
/// manager and of every instance.
#[derive(Clone)]
pub struct LayeredDeployer {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// What all handles hold, and no task of the deployer does.
struct Owner {
    shared: Arc<Shared>,
    _pump: AbortOnDrop,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        let instances = std::mem::take(&mut state.instances);
        drop(state);
        // Without the lock: what a task holds is dropped with it.
        drop(instances);
    }
}

struct Shared {
    manager: Arc<dyn ResourceManager>,
    contracts: Contracts,
    clock: Arc<dyn Clock>,
    log: DecisionLog,
    events: broadcast::Sender<DeployerEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    workloads: HashMap<WorkloadId, Deployed>,
    instances: HashMap<SandboxId, Tracked>,
    /// Whether the last handle is gone: no task may begin any more.
    closed: bool,
}

struct Deployed {
    revision: Arc<FunctionRevision>,
    replicas: u32,
    failures: u32,
}

struct Tracked {
    revision: Arc<FunctionRevision>,
    reported: bool,
    task: AbortOnDrop,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl From<JoinHandle<()>> for AbortOnDrop {
    fn from(task: JoinHandle<()>) -> Self {
        Self(task.abort_handle())
    }
}

impl std::fmt::Debug for LayeredDeployer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayeredDeployer")
            .field("runtimes", &self.shared.contracts.keys())
            .finish_non_exhaustive()
    }
}

impl LayeredDeployer {
    /// A deployer that speaks these contracts on that manager. It runs until it is dropped; it
    /// must be made within a tokio runtime.
    pub fn new(
        manager: Arc<dyn ResourceManager>,
        contracts: Contracts,
        clock: Arc<dyn Clock>,
        log: DecisionLog,
    ) -> Self {
        let events = broadcast::Sender::new(EVENTS);
        let state = Mutex::default();
        let shared = Arc::new(Shared {
            manager,
            contracts,
            clock,
            log,
            events,
            state,
        });
        let watch = shared.manager.watch();
        let pump = tokio::spawn(pump(Arc::downgrade(&shared), watch));
        let owner = Owner {
            shared: shared.clone(),
            _pump: pump.into(),
        };
        Self {
            shared,
            _owner: Arc::new(owner),
        }
    }
}

/// Follows the manager's events for as long as the deployer lives.
async fn pump(shared: std::sync::Weak<Shared>, mut watch: BoxStream<'static, WorkloadEvent>) {
    while let Some(event) = watch.next().await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match event {
            WorkloadEvent::Ready(workload, replica) => shared.ready(workload, replica),
            WorkloadEvent::Retiring(_, sandbox) => shared.gone(sandbox, RETIRED),
            WorkloadEvent::Gone(_, replica) => {
                let phase = format!("{:?}", replica.phase).to_lowercase();
                shared.gone(replica.sandbox, ENDED.with("phase", phase));
            }
            WorkloadEvent::Waiting(workload, error) => shared.waiting(workload, error),
            WorkloadEvent::Resync => shared.resync().await,
            _ => {}
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, event: DeployerEvent) {
        // An error means that nobody listens, which is nobody's fault.
        let _ = self.events.send(event);
    }

    fn ready(self: &Arc<Self>, workload: WorkloadId, replica: Replica) {
        let mut state = self.state();
        let Some(deployed) = state.workloads.get(&workload) else {
            return;
        };
        if state.closed {
            return;
        }
        let revision = deployed.revision.clone();
        if let Entry::Vacant(vacant) = state.instances.entry(replica.sandbox) {
            let life = life::live(Arc::downgrade(self), revision.clone(), workload, replica);
            let task = tokio::spawn(life);
            vacant.insert(Tracked {
                revision,
                reported: false,
                task: task.into(),
            });
        }
    }

    fn report(
        &self,
        revision: &Arc<FunctionRevision>,
        replica: &Replica,
        instance: Arc<dyn FunctionInstance>,
        timeline: Timeline,
    ) {
        let mut state = self.state();
        if let Some(tracked) = state.instances.get_mut(&replica.sandbox) {
            tracked.reported = true;
        }
        if let Some(deployed) = state.workloads.get_mut(&plan::workload_id(revision)) {
            deployed.failures = 0;
        }
        drop(state);
        let id = instance.id();
        let reason = READY
            .with("instance", id.as_u128())
            .with("function", revision.function.to_string());
        let subjects = vec![id.into(), replica.sandbox.into()];
        let (class, cause) = (DecisionClass::Instance, replica.caused_by);
        let caused_by = Some(self.log.record(class, subjects, cause, vec![reason]));
        let revision = revision.clone();
        self.emit(DeployerEvent::Ready {
            revision,
            instance,
            timeline,
            caused_by,
        });
    }

    /// Asks for another sandbox in the place of one that failed.
    async fn replace(&self, workload: WorkloadId, sandbox: SandboxId) {
        let replicas = self
            .state()
            .workloads
            .get(&workload)
            .map(|deployed| deployed.replicas);
        let Some(replicas) = replicas else { return };
        let mut request = ScaleRequest::running(workload, replicas);
        request.retiring = vec![sandbox];
        if let Err(error) = self.manager.scale(request).await {
            tracing::warn!(%workload, %sandbox, %error, "a failed sandbox could not be replaced");
        }
    }

    fn backoff(&self, workload: WorkloadId) -> Duration {
        let mut state = self.state();
        let Some(deployed) = state.workloads.get_mut(&workload) else {
            return BACKOFF.0;
        };
        deployed.failures = deployed.failures.saturating_add(1);
        BACKOFF
            .0
            .saturating_mul(1 << (deployed.failures - 1).min(16))
            .min(BACKOFF.1)
    }

    /// Reports an instance gone, once, and forgets it.
    fn gone(&self, sandbox: SandboxId, reason: Reason) {
        let Some(tracked) = self.state().instances.remove(&sandbox) else {
            return;
        };
        let instance = instance_id(sandbox);
        let subjects = vec![instance.into(), sandbox.into()];
        self.log.record(
            DecisionClass::Instance,
            subjects,
            None,
            vec![reason.clone()],
        );
        if tracked.reported {
            let revision = tracked.revision.clone();
            self.emit(DeployerEvent::Gone {
                revision,
                instance,
                reason,
            });
        }
        drop(tracked.task);
    }

    fn waiting(&self, workload: WorkloadId, error: Error) {
        let revision = self
            .state()
            .workloads
            .get(&workload)
            .map(|d| d.revision.clone());
        if let Some(revision) = revision {
            self.emit(DeployerEvent::Waiting { revision, error });
        }
    }

    /// Catches up after missed events.
    async fn resync(self: &Arc<Self>) {
        let listed = match self.manager.list().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "the resource manager could not be listed");
                return;
            }
        };
        let running: Vec<_> = listed
            .into_iter()
            .flat_map(|status| {
                status
                    .replicas
                    .into_iter()
                    .map(move |r| (status.spec.id, r))
            })
            .filter(|(_, replica)| replica.endpoint.is_some())
            .collect();
        let known: Vec<_> = self.state().instances.keys().copied().collect();
        for sandbox in known {
            if !running
                .iter()
                .any(|(_, replica)| replica.sandbox == sandbox)
            {
                self.gone(sandbox, ENDED.with("phase", "is gone"));
            }
        }
        for (workload, replica) in running {
            self.ready(workload, replica);
        }
    }
}

#[async_trait]
impl FunctionDeployer for LayeredDeployer {
    fn plan(&self, request: &Deploy) -> Result<Plan> {
        plan::plan(
            request,
            &self.shared.contracts,
            self.shared.manager.hooks().as_ref(),
        )
    }

    async fn deploy(&self, request: Deploy) -> Result<WorkloadId> {
        let plan = self.plan(&request)?;
        let workload = plan.workload.id;
        let caused_by = self.shared.log.record(
            DecisionClass::Planning,
            vec![workload.into()],
            request.caused_by,
            plan.reasons,
        );
        let known = self.shared.state().workloads.contains_key(&workload);
        if !known {
            self.shared.manager.apply(plan.workload).await?;
        }
        let revision = request.revision;
        let deployed = Deployed {
            revision,
            replicas: plan.replicas,
            failures: 0,
        };
        match self.shared.state().workloads.entry(workload) {
            Entry::Occupied(mut entry) => entry.get_mut().replicas = plan.replicas,
            Entry::Vacant(entry) => drop(entry.insert(deployed)),
        }
        let mut scale = ScaleRequest::running(workload, plan.replicas);
        scale.retiring = request.retiring.into_iter().map(sandbox_id).collect();
        scale.caused_by = Some(caused_by);
        self.shared.manager.scale(scale).await?;
        if !known {
            // What was adopted from an earlier life became ready before we knew the workload.
            self.shared.resync().await;
        }
        Ok(workload)
    }

    async fn remove(&self, revision: &FunctionRevision) -> Result<()> {
        let workload = plan::workload_id(revision);
        self.shared.manager.remove(workload).await?;
        self.shared.state().workloads.remove(&workload);
        Ok(())
    }

    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        let events = self.shared.events.subscribe();
        stream::unfold(events, |mut events| async move {
            loop {
                match events.recv().await {
                    Ok(event) => return Some((event, events)),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::error!(missed, "a reader of the deployer fell behind");
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    fn describe(&self) -> Description {
        Description::new("LayeredDeployer")
            .provides(Component::F3)
            .provides(Component::F4)
    }
}
