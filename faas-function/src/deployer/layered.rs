//! [`LayeredDeployer`]: delegates the doing to a resource manager, and connects contracts to the
//! sandboxes that it reports.

mod life;
mod retire;
mod scale;
mod table;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use faas_core::explain::{DecisionClass, DecisionLog};
use faas_core::{Clock, Component, Description, ErrorKind, Result, WorkloadId};
use faas_resource::workload::WorkloadEvent;
use faas_resource::{ResourceManager, WorkloadSpec};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast;

use super::plan::{self, Contracts};
use super::{Deploy, DeployerEvent, FunctionDeployer, Plan};
use crate::backoff::Backoff;
use crate::registry::{FunctionRevision, RevisionId};
use table::{AbortOnDrop, Table};

/// How many events a reader may fall behind before it is told of the present instead.
const EVENTS: usize = 1024;

/// The default deployer, over any [`ResourceManager`].
///
/// An instance that is to go is drained first, and its sandbox is kept meanwhile as one more than
/// are wanted; whoever else ends a sandbox (the manager, when it makes room) does so at once.
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
        let mut table = self.shared.table();
        let closed = table.close();
        drop(table);
        // Without the lock: what a task holds is dropped with it.
        drop(closed);
    }
}

struct Shared {
    manager: Arc<dyn ResourceManager>,
    contracts: Contracts,
    clock: Arc<dyn Clock>,
    log: DecisionLog,
    /// Sent to with the table locked, so that events come in the order of its changes.
    events: broadcast::Sender<DeployerEvent>,
    table: Mutex<Table>,
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
        let shared = Arc::new(Shared {
            manager,
            contracts,
            clock,
            log,
            events: broadcast::Sender::new(EVENTS),
            table: Mutex::default(),
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
async fn pump(shared: Weak<Shared>, mut watch: BoxStream<'static, WorkloadEvent>) {
    while let Some(event) = watch.next().await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match event {
            WorkloadEvent::Ready(workload, replica) => shared.ready(workload, replica),
            WorkloadEvent::Retiring(_, sandbox) => shared.gone(sandbox, table::RETIRED),
            WorkloadEvent::Gone(_, replica) => {
                let phase = format!("{:?}", replica.phase).to_lowercase();
                shared.gone(replica.sandbox, table::ENDED.with("phase", phase));
            }
            WorkloadEvent::Waiting(workload, error) => shared.waiting(workload, error),
            WorkloadEvent::Resync => shared.resync().await,
            _ => {}
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, event: DeployerEvent) {
        // An error means that nobody listens, which is nobody's fault.
        let _ = self.events.send(event);
    }

    /// Makes sure that a workload is the manager's, and takes over what runs of it already.
    async fn know(
        self: &Arc<Self>,
        revision: &Arc<FunctionRevision>,
        workload: WorkloadSpec,
    ) -> Result<()> {
        let id = workload.id;
        if self.table().knows(id) {
            return Ok(());
        }
        self.manager.apply(workload).await?;
        self.table().know(id, revision.clone());
        // What became ready before it was known was passed over.
        match self.manager.get(id).await {
            Ok(status) => {
                for replica in status.replicas {
                    self.ready(id, replica);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => {
                self.table().forget(id);
                Err(error)
            }
        }
    }

    /// Catches up after missed events.
    async fn resync(self: &Arc<Self>) {
        let mut backoff = Backoff::default();
        let listed = loop {
            match self.manager.list().await {
                Ok(listed) => break listed,
                Err(error) => {
                    tracing::warn!(%error, "the resource manager could not be listed");
                    backoff.pause(&*self.clock).await;
                }
            }
        };
        let mut running = std::collections::HashMap::new();
        for status in listed {
            let id = status.spec.id;
            let ready = status.replicas.into_iter().filter(|r| r.endpoint.is_some());
            running.extend(ready.map(|replica| (replica.sandbox, (id, replica))));
        }
        let known = self.table().known(|sandbox| running.contains_key(&sandbox));
        for sandbox in known {
            self.gone(sandbox, table::ENDED.with("phase", "is gone"));
        }
        for (workload, replica) in running.into_values() {
            self.ready(workload, replica);
        }
    }
}

#[async_trait]
impl FunctionDeployer for LayeredDeployer {
    fn plan(&self, request: &Deploy) -> Result<Plan> {
        let Shared {
            manager, contracts, ..
        } = &*self.shared;
        plan::plan(request, contracts, manager.hooks().as_ref())
    }

    async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32> {
        let asked = self.shared.clock.now();
        let plan = self.plan(&Deploy::new(revision.clone(), 0, asked))?;
        let workload = plan.workload.id;
        self.shared.know(&revision, plan.workload).await?;
        let instances = self.shared.table().expendable(workload).len();
        Ok(u32::try_from(instances).unwrap_or(u32::MAX))
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
        self.shared.know(&request.revision, plan.workload).await?;
        let shared = &self.shared;
        let named = request.retiring.into_iter().map(plan::sandbox_id).collect();
        shared.retire(workload, plan.replicas, &named);
        let lead = [request.demanded, request.asked, shared.clock.now()];
        shared.table().lead(workload, plan.replicas, lead);
        shared.scale(workload, named, Some(caused_by)).await?;
        Ok(workload)
    }

    async fn remove(&self, revision: &RevisionId) -> Result<()> {
        let workload = plan::workload_id(revision);
        self.shared.dismiss_all(workload).await;
        self.shared.manager.remove(workload).await
    }

    async fn list(&self) -> Result<Vec<RevisionId>> {
        let listed = self.shared.manager.list().await?;
        let revision = |status: &faas_resource::WorkloadStatus| plan::revision_id(&status.spec);
        Ok(listed.iter().filter_map(revision).collect())
    }

    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        watch::watch(&self.shared)
    }

    fn describe(&self) -> Description {
        Description::new("LayeredDeployer")
            .provides(Component::F3)
            .provides(Component::F4)
    }
}
