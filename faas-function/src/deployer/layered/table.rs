//! What is deployed, and the instances of it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::{DecisionClass, Reason};
use faas_core::{DecisionId, Error, InstanceId, Monotonic, Phase, SandboxId, Timeline, WorkloadId};
use faas_resource::workload::Replica;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};

use super::{DeployerEvent, Shared, life};
use crate::deployer::plan::instance_id;
use crate::instance::FunctionInstance;
use crate::registry::FunctionRevision;

const READY: Reason = Reason::new(
    "instance.ready",
    "instance {instance} of {function} is ready",
);
pub(super) const ENDED: Reason = Reason::new("instance.ended", "its sandbox {phase}");
pub(super) const RETIRED: Reason = Reason::new("instance.retired", "it was no longer wanted");

#[derive(Default)]
pub(super) struct Table {
    workloads: HashMap<WorkloadId, Deployed>,
    instances: HashMap<SandboxId, Tracked>,
    /// Those that are reported gone and still work.
    leaving: HashMap<SandboxId, (Leaving, Option<AbortOnDrop>)>,
    /// Sandboxes that have nothing to do any more, and are not gone yet.
    ending: HashMap<SandboxId, WorkloadId>,
    /// Whether the last handle is gone: no task may begin any more.
    closed: bool,
}

pub(super) struct Deployed {
    pub(super) revision: Arc<FunctionRevision>,
    /// How many are wanted; `None` until somebody said it in this life.
    pub(super) replicas: Option<u32>,
    lead: Lead,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Requests to the manager go out in the order in which they were made up.
    pub(super) order: Arc<tokio::sync::Mutex<()>>,
}

/// What went before the resource layer had its part: the same for all starts that one request asks
/// for, and for none that replaces them later.
#[derive(Default)]
struct Lead {
    scale: Duration,
    plan: Duration,
    starts: u32,
}

impl Lead {
    /// For one start.
    fn fill(&mut self, timeline: &mut Timeline) {
        if let Some(rest) = self.starts.checked_sub(1) {
            self.starts = rest;
            timeline[Phase::Scale] = self.scale;
            timeline[Phase::Plan] = self.plan;
        }
    }
}

pub(super) struct Tracked {
    pub(super) workload: WorkloadId,
    pub(super) ready: Option<Ready>,
    /// Its life; it ends with this.
    _life: AbortOnDrop,
}

/// An instance that was reported.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) revision: Arc<FunctionRevision>,
    pub(super) instance: Arc<dyn FunctionInstance>,
    pub(super) timeline: Timeline,
    pub(super) caused_by: Option<DecisionId>,
}

impl Ready {
    pub(super) fn event(self) -> DeployerEvent {
        DeployerEvent::Ready {
            revision: self.revision,
            instance: self.instance,
            timeline: self.timeline,
            caused_by: self.caused_by,
        }
    }
}

/// An instance that was reported gone and may still work.
#[derive(Clone)]
pub(super) struct Leaving {
    workload: WorkloadId,
    pub(super) instance: Arc<dyn FunctionInstance>,
    /// Told when its sandbox is gone.
    pub(super) gone: Arc<Notify>,
    is_gone: bool,
}

impl Leaving {
    pub(super) fn new(workload: WorkloadId, instance: Arc<dyn FunctionInstance>) -> Self {
        Self {
            workload,
            instance,
            gone: Arc::default(),
            is_gone: false,
        }
    }
}

pub(super) struct AbortOnDrop(AbortHandle);

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

impl Table {
    /// Ends everything; what comes out is dropped by whoever calls, without the lock.
    #[must_use]
    pub(super) fn close(&mut self) -> Self {
        let closed = std::mem::take(self);
        self.closed = true;
        closed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn knows(&self, workload: WorkloadId) -> bool {
        self.workloads.contains_key(&workload)
    }

    pub(super) fn know(&mut self, workload: WorkloadId, revision: Arc<FunctionRevision>) {
        self.workloads.entry(workload).or_insert_with(|| Deployed {
            revision,
            replicas: None,
            lead: Lead::default(),
            failures: 0,
            order: Arc::default(),
        });
    }

    /// So many are wanted: since when, when that was decided, and until when it was planned.
    pub(super) fn lead(&mut self, workload: WorkloadId, wanted: u32, times: [Monotonic; 3]) {
        let [demanded, asked, planned] = times;
        let there = u32::try_from(self.expendable(workload).len()).unwrap_or(u32::MAX);
        let starts = wanted.saturating_sub(there);
        // One that asks for no more than is there leaves those that start what they have.
        let changes = |_: &&mut Deployed| starts > 0 || wanted == 0;
        if let Some(deployed) = self.workloads.get_mut(&workload).filter(changes) {
            deployed.lead = Lead {
                scale: asked.since(demanded),
                plan: planned.since(asked),
                starts,
            };
        }
    }

    pub(super) fn forget(&mut self, workload: WorkloadId) {
        self.workloads.remove(&workload);
    }

    pub(super) fn deployed(&mut self, workload: WorkloadId) -> Option<&mut Deployed> {
        self.workloads.get_mut(&workload)
    }

    /// The sandboxes that it knows of and that are not `running`.
    pub(super) fn known(&self, running: impl Fn(SandboxId) -> bool) -> Vec<SandboxId> {
        let all = self.instances.keys().chain(self.leaving.keys());
        let all = all.chain(self.ending.keys()).copied();
        all.filter(|id| !running(*id)).collect()
    }

    /// The sandboxes of a workload that are to end.
    pub(super) fn ending(&self, workload: WorkloadId) -> BTreeSet<SandboxId> {
        let ours = self.ending.iter().filter(|(_, of)| **of == workload);
        ours.map(|(id, _)| *id).collect()
    }

    /// The sandboxes of a workload's instances, those that are not connected first, then the
    /// youngest: ids rise with time.
    pub(super) fn expendable(&self, workload: WorkloadId) -> Vec<SandboxId> {
        let ours = self.instances.iter();
        let ours = ours.filter(|(_, tracked)| tracked.workload == workload);
        let mut ours: Vec<_> = ours.map(|(id, t)| (t.ready.is_some(), *id)).collect();
        ours.sort_unstable_by_key(|(ready, id)| (*ready, std::cmp::Reverse(*id)));
        ours.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn is_leaving(&self, sandbox: SandboxId) -> bool {
        self.leaving.contains_key(&sandbox)
    }

    /// Those that leave a workload.
    pub(super) fn leaving(&self, workload: WorkloadId) -> usize {
        let ours = self.leaving.values();
        ours.filter(|(leaving, _)| leaving.workload == workload)
            .count()
    }

    pub(super) fn leave(&mut self, sandbox: SandboxId, leaving: Leaving) {
        self.ending.remove(&sandbox);
        self.leaving.insert(sandbox, (leaving, None));
    }

    /// The task of one that leaves.
    pub(super) fn attend(&mut self, sandbox: SandboxId, task: AbortOnDrop) {
        if let Some((_, attended)) = self.leaving.get_mut(&sandbox) {
            *attended = Some(task);
        }
    }

    /// One that has left: its sandbox is to end.
    #[must_use]
    pub(super) fn left(&mut self, sandbox: SandboxId) -> Option<(Leaving, Option<AbortOnDrop>)> {
        let (left, task) = self.leaving.remove(&sandbox)?;
        if !left.is_gone {
            self.ending.insert(sandbox, left.workload);
        }
        Some((left, task))
    }

    /// One whose sandbox is to end.
    #[must_use]
    pub(super) fn untrack(&mut self, sandbox: SandboxId) -> Option<Tracked> {
        let tracked = self.instances.remove(&sandbox)?;
        self.ending.insert(sandbox, tracked.workload);
        Some(tracked)
    }

    /// The instances that are ready, by id.
    pub(super) fn ready(&self) -> impl Iterator<Item = (InstanceId, &Ready)> {
        let ready = self.instances.iter();
        ready.filter_map(|(id, tracked)| Some((instance_id(*id), tracked.ready.as_ref()?)))
    }

    /// The sandboxes that leave a workload.
    pub(super) fn leaving_of(&self, workload: WorkloadId) -> Vec<SandboxId> {
        let ours = self.leaving.iter();
        let ours = ours.filter(|(_, (leaving, _))| leaving.workload == workload);
        ours.map(|(id, _)| *id).collect()
    }
}

impl Shared {
    /// A sandbox runs: the life of an instance begins, once.
    pub(super) fn ready(self: &Arc<Self>, workload: WorkloadId, replica: Replica) {
        let mut table = self.table();
        let Some(deployed) = table.workloads.get(&workload) else {
            return;
        };
        let sandbox = replica.sandbox;
        let going = table.leaving.contains_key(&sandbox) || table.ending.contains_key(&sandbox);
        let taken = table.closed || going;
        if replica.endpoint.is_none() || taken {
            return;
        }
        let revision = deployed.revision.clone();
        if let Entry::Vacant(vacant) = table.instances.entry(sandbox) {
            let life = life::live(Arc::downgrade(self), revision, workload, replica);
            vacant.insert(Tracked {
                workload,
                ready: None,
                _life: tokio::spawn(life).into(),
            });
        }
    }

    /// An instance is connected, and reported.
    pub(super) fn report(
        &self,
        revision: &Arc<FunctionRevision>,
        replica: &Replica,
        instance: Arc<dyn FunctionInstance>,
        mut timeline: Timeline,
    ) {
        let id = instance.id();
        let reason = READY
            .with("instance", id.as_u128())
            .with("function", revision.function.to_string());
        let subjects = vec![id.into(), replica.sandbox.into()];
        let (class, cause) = (DecisionClass::Instance, replica.caused_by);
        let caused_by = Some(self.log.record(class, subjects, cause, vec![reason]));
        let mut guard = self.table();
        let table = &mut *guard;
        let Some(tracked) = table.instances.get_mut(&replica.sandbox) else {
            return;
        };
        if let Some(deployed) = table.workloads.get_mut(&tracked.workload) {
            deployed.failures = 0;
            deployed.lead.fill(&mut timeline);
        }
        let ready = Ready {
            revision: revision.clone(),
            instance,
            timeline,
            caused_by,
        };
        tracked.ready = Some(ready.clone());
        self.emit(ready.event());
    }

    /// Tells that an instance is gone, if it was reported. The table is locked by the caller.
    pub(super) fn tell_gone(&self, sandbox: SandboxId, ready: Option<&Ready>, reason: Reason) {
        let instance = instance_id(sandbox);
        let subjects = vec![instance.into(), sandbox.into()];
        let reasons = vec![reason.clone()];
        self.log
            .record(DecisionClass::Instance, subjects, None, reasons);
        if let Some(ready) = ready {
            self.emit(DeployerEvent::Gone {
                revision: ready.revision.clone(),
                instance,
                reason,
            });
        }
    }

    /// A sandbox is gone, or will be at once.
    pub(super) fn gone(&self, sandbox: SandboxId, reason: Reason) {
        let mut table = self.table();
        table.ending.remove(&sandbox);
        if let Some((leaving, _)) = table.leaving.get_mut(&sandbox) {
            leaving.is_gone = true;
            leaving.gone.notify_one();
            return;
        }
        let Some(tracked) = table.instances.remove(&sandbox) else {
            return;
        };
        self.tell_gone(sandbox, tracked.ready.as_ref(), reason);
        drop(table);
        drop(tracked);
    }

    pub(super) fn waiting(&self, workload: WorkloadId, error: Error) {
        let mut table = self.table();
        if let Some(deployed) = table.deployed(workload) {
            let revision = deployed.revision.clone();
            self.emit(DeployerEvent::Waiting { revision, error });
        }
    }
}
