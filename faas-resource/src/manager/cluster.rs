//! [`ClusterManager`]: the default resource manager, over any agents, scheduler, store and names.

mod action;
mod assign;
mod core;
mod ends;
mod live;
mod moves;
mod names;
mod nodes;
mod placing;
mod reconcile;
mod record;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Component, Description, Error, IdSource, NodeName, Result, SandboxId, Store, WorkloadId,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

use self::core::{Core, Template, Workload};
pub(crate) use self::live::Bounds;
use self::live::Live;
use super::{Capacity, ResourceManager};
use crate::hook::Hooks;
use crate::workload::{ScaleRequest, WorkloadEvent, WorkloadSpec, WorkloadStatus};
use crate::{NamingService, NodeAgent, ResourceScheduler};

/// What a [`ClusterManager`] is made of; [`ResourceLayer`](crate::ResourceLayer) collects it.
pub(crate) struct ClusterParts {
    pub(crate) agents: BTreeMap<NodeName, Arc<dyn NodeAgent>>,
    pub(crate) scheduler: Box<dyn ResourceScheduler>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) naming: Option<Arc<dyn NamingService>>,
    pub(crate) hooks: Hooks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    pub(crate) decisions: DecisionLog,
    pub(crate) bounds: Bounds,
}

/// Keeps the sandboxes of a cluster as its workloads want them.
///
/// Level-triggered: whatever happens, it compares what is wanted with what is there. A request or
/// an event drives that comparison at once, in the caller's own turn. Time matters in a crash
/// loop, whose replacements wait 100 ms, doubling up to 30 s, until one runs for 10 s; and for
/// bounds: a start (the hook's and the agent's part together) that takes too long has failed, and
/// a node whose list is not answered for too long is lost.
///
/// A start that failed is tried again, on another node if one takes the sandbox.
///
/// Dropping it ends all of its tasks and leaves the sandboxes to their agents; see
/// [`shutdown`](Self::shutdown).
pub struct ClusterManager {
    live: Arc<Live>,
    store: Arc<dyn Store>,
    /// What is stored and what is known change in one order.
    writes: tokio::sync::Mutex<()>,
}

impl ClusterManager {
    /// Loads the workloads, adopts what runs, and begins to manage.
    ///
    /// # Errors
    /// Those of the store, and of stored workloads that cannot be read.
    pub(crate) async fn spawn(parts: ClusterParts) -> Result<Self> {
        let specs = record::load(&*parts.store).await?;
        let mut core = Core::new(parts.scheduler, parts.ids, parts.decisions);
        for agent in parts.agents.values() {
            // Closed until it has been heard, or what it runs would be started twice.
            core.node(agent.node(), false);
        }
        let now = parts.clock.now();
        for spec in specs {
            core.apply(Template::new(spec)?, now);
        }
        core.starting = true;
        let live = Live::spawn(
            core,
            parts.agents,
            parts.hooks,
            parts.clock,
            parts.naming,
            parts.bounds,
        );
        let manager = Self {
            live,
            store: parts.store,
            writes: tokio::sync::Mutex::default(),
        };
        manager.live.adopt().await;
        manager.live.drive(|core, _| {
            core.starting = false;
            core.dirty.extend(core.workloads.keys());
        });
        Ok(manager)
    }

    /// Stops every sandbox, and then all tasks. Workloads stay in the store.
    ///
    /// # Errors
    /// `DeadlineExceeded` if sandboxes are left after `deadline`; their agents keep them.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let clock = self.live.clock.clone();
        let end = clock.sleep_until(clock.now() + deadline);
        self.live.drive(|core, _| core.close());
        let result = tokio::select! {
            () = self.emptied() => Ok(()),
            () = end => {
                let left = self.live.read(|core| core.sandboxes.len());
                let message = format!("{left} sandboxes are left after {deadline:?}");
                Err(Error::deadline_exceeded("shut down", message))
            }
        };
        self.live.close();
        result
    }

    async fn emptied(&self) {
        loop {
            let freed = self.live.freed.notified();
            tokio::pin!(freed);
            // Registered before looking, so that nothing falls between.
            freed.as_mut().enable();
            if self.live.read(|core| core.sandboxes.is_empty()) {
                return;
            }
            freed.await;
        }
    }

    fn check(&self, spec: &WorkloadSpec) -> Result<()> {
        let mut faults = Vec::new();
        if let Err(error) = spec.validate() {
            faults.push(error.message().to_owned());
        }
        if let Some(hook) = &spec.sandbox.hook
            && self.live.hooks.get(hook).is_none()
        {
            faults.push(format!("hook {hook} is not offered"));
        }
        Error::check("apply workload", faults)
    }
}

impl Drop for ClusterManager {
    fn drop(&mut self) {
        self.live.close();
    }
}

impl fmt::Debug for ClusterManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workloads, sandboxes) = self
            .live
            .read(|core| (core.workloads.len(), core.sandboxes.len()));
        f.debug_struct("ClusterManager")
            .field("workloads", &workloads)
            .field("sandboxes", &sandboxes)
            .finish_non_exhaustive()
    }
}

/// A workload for whoever asks.
fn status(core: &Core, workload: &Workload) -> WorkloadStatus {
    let mut status = WorkloadStatus::new(workload.template.workload.clone());
    let wanted = core.wanted(workload);
    // Each is within the spec's bound.
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    status.wanted = number(wanted.running);
    status.paused = number(wanted.paused);
    status.created = number(wanted.created);
    status.waiting.clone_from(&workload.waiting);
    let replicas = workload.replicas.iter();
    let replicas = replicas.filter_map(|id| core.sandboxes.get(id));
    status.replicas = replicas.map(|found| found.replica.clone()).collect();
    status
}

#[async_trait]
impl ResourceManager for ClusterManager {
    async fn apply(&self, spec: WorkloadSpec) -> Result<()> {
        self.check(&spec)?;
        let _order = self.writes.lock().await;
        let same = self.live.read(|core| {
            let found = core.workloads.get(&spec.id);
            found.is_some_and(|found| !found.removed && *found.template.workload == spec)
        });
        if same {
            return Ok(());
        }
        let template = Template::new(spec)?;
        record::save(&*self.store, &template.workload).await?;
        self.live.drive(|core, now| core.apply(template, now));
        Ok(())
    }

    async fn scale(&self, request: ScaleRequest) -> Result<()> {
        self.live.drive(|core, now| core.scale(request, now))
    }

    async fn assign(&self, sandbox: SandboxId, workload: WorkloadId) -> Result<()> {
        let live = &self.live;
        let needs = |hook: &_| live.needs(hook);
        let begun = live.drive(|core, now| core.begin_assign(sandbox, workload, now, &needs))?;
        match begun {
            Some(assignment) => live.give(assignment).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, workload: WorkloadId) -> Result<()> {
        let _order = self.writes.lock().await;
        record::delete(&*self.store, workload).await?;
        self.live.drive(|core, _| core.remove(workload));
        Ok(())
    }

    async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus> {
        self.live.read(|core| {
            let found = core.workloads.get(&workload).filter(|found| !found.removed);
            found.map(|found| status(core, found)).ok_or_else(|| {
                Error::not_found("get workload", format!("there is no workload {workload}"))
            })
        })
    }

    async fn list(&self) -> Result<Vec<WorkloadStatus>> {
        Ok(self.live.read(|core| {
            let kept = core.workloads.values().filter(|found| !found.removed);
            kept.map(|found| status(core, found)).collect()
        }))
    }

    fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
        stream::unfold(self.live.watch(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    Some((WorkloadEvent::Resync, events))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn capacity(&self) -> Result<Capacity> {
        Ok(self.live.read(|core| {
            let open = core.cluster.nodes().values().filter(|node| node.open);
            let nothing = Capacity::default();
            open.fold(nothing, |sum, node| Capacity {
                total: sum.total.plus(&node.info.capacity),
                allocated: sum.allocated.plus(&node.allocated),
                nodes: sum.nodes + 1,
            })
        }))
    }

    fn hooks(&self) -> Option<Hooks> {
        Some(self.live.hooks.clone())
    }

    fn describe(&self) -> Description {
        Description::new("ClusterManager").provides(Component::R2)
    }
}
