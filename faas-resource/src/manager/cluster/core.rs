//! What the manager knows, and what it makes of what it hears: no I/O, no clock, no lock.
//!
//! Each input changes the state and marks workloads as dirty; [`Core::reconcile`] then compares
//! what is wanted of those with what is there, and leaves [`Action`]s for the live half.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::{
    DecisionId, Error, IdSource, Monotonic, NodeName, Result, SandboxId, SeededRandom, WorkloadId,
};

use crate::ResourceScheduler;
use crate::agent::{ExitCause, NodeInfo, SandboxPhase, SandboxState, SandboxStatus};
use crate::endpoint::Endpoint;
use crate::scheduler::{ClusterChange, ClusterView, NodeView, PlacedSandbox};
use crate::workload::{Replica, ScaleRequest, StartTimes, WorkloadEvent, WorkloadSpec};

const STARTED: Reason = Reason::new("sandbox.started", "it runs on {node}");
const ADOPTED: Reason = Reason::new("sandbox.adopted", "it ran on {node} before we did");
/// What the live half is to do, in this order.
#[derive(Debug)]
pub(super) enum Action {
    /// Tell the watchers.
    Tell(WorkloadEvent),
    /// Prepare and start a sandbox, then call [`Core::started`].
    Start(Start),
    /// Resume the hook of a running sandbox, then call [`Core::resumed`].
    Resume(SandboxStatus, NodeName, Arc<WorkloadSpec>),
    /// Stop a sandbox, release its hook, then call [`Core::stopped`].
    Stop(Stop),
    /// Bind the endpoint of a sandbox in the naming service.
    Bind(NodeName, SandboxId, Endpoint),
    /// Unbind it.
    Unbind(NodeName, SandboxId),
}

#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) sandbox: SandboxId,
    pub(super) node: NodeName,
    pub(super) spec: Arc<WorkloadSpec>,
    pub(super) place: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) sandbox: SandboxId,
    pub(super) node: NodeName,
    pub(super) grace: Duration,
    pub(super) hook: Option<faas_core::HookName>,
    /// How it ended; `Stopped` if it is this stop that ends it.
    pub(super) end: ExitCause,
}

#[derive(Debug)]
pub(super) struct Workload {
    pub(super) spec: Arc<WorkloadSpec>,
    /// `None` until somebody says: after a restart, whatever runs is kept.
    pub(super) wanted: Option<u32>,
    pub(super) retiring: BTreeSet<SandboxId>,
    pub(super) caused_by: Option<DecisionId>,
    pub(super) removed: bool,
    pub(super) waiting: Option<Error>,
    pub(super) replicas: BTreeSet<SandboxId>,
    /// Sandboxes of others that make room for this one.
    pub(super) room: BTreeSet<SandboxId>,
    pub(super) asked_at: Monotonic,
    pub(super) not_before: Monotonic,
    /// Those in a row that failed to start, or ended soon.
    pub(super) crashes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A start is under way; if `doomed`, it is stopped as soon as it is over.
    Starting { doomed: bool },
    /// It runs since then.
    Running(Monotonic),
    /// A stop is under way.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) workload: WorkloadId,
    /// The spec that it was started for, which may be an old one by now.
    pub(super) spec: Arc<WorkloadSpec>,
    pub(super) stage: Stage,
    pub(super) replica: Replica,
    /// Its end, heard of before its start was over.
    pub(super) exit: Option<ExitCause>,
    /// Whether its end has been told.
    pub(super) told: bool,
}

pub(super) struct Core {
    pub(super) workloads: BTreeMap<WorkloadId, Workload>,
    pub(super) sandboxes: BTreeMap<SandboxId, Sandbox>,
    pub(super) cluster: ClusterView,
    pub(super) scheduler: Box<dyn ResourceScheduler>,
    pub(super) ids: IdSource,
    pub(super) decisions: DecisionLog,
    pub(super) random: SeededRandom,
    pub(super) dirty: BTreeSet<WorkloadId>,
    pub(super) actions: Vec<Action>,
    /// Whether nodes are still being heard, and nothing is to be started or stopped yet.
    pub(super) starting: bool,
    /// Whether all is to be stopped and nothing started.
    pub(super) closing: bool,
}

impl Core {
    pub(super) fn new(
        scheduler: Box<dyn ResourceScheduler>,
        ids: IdSource,
        decisions: DecisionLog,
    ) -> Self {
        let random = SeededRandom::new(ids.next::<DecisionId>().as_u128() as u64);
        Self {
            workloads: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            cluster: ClusterView::default(),
            scheduler,
            ids,
            decisions,
            random,
            dirty: BTreeSet::new(),
            actions: Vec::new(),
            starting: false,
            closing: false,
        }
    }

    pub(super) fn apply(&mut self, spec: Arc<WorkloadSpec>, now: Monotonic) {
        self.dirty.insert(spec.id);
        if let Some(workload) = self.workloads.get_mut(&spec.id) {
            workload.spec = spec;
            workload.removed = false;
            // A new spec deserves a new chance.
            (workload.crashes, workload.not_before) = (0, now);
            return;
        }
        let workload = Workload {
            wanted: None,
            retiring: BTreeSet::new(),
            caused_by: None,
            removed: false,
            waiting: None,
            replicas: BTreeSet::new(),
            room: BTreeSet::new(),
            asked_at: now,
            not_before: now,
            crashes: 0,
            spec,
        };
        self.workloads.insert(workload.spec.id, workload);
    }

    pub(super) fn scale(&mut self, request: ScaleRequest, now: Monotonic) -> Result<()> {
        let id = request.workload;
        let workload = self.known(id, "scale workload")?;
        workload.wanted = Some(request.running);
        workload.retiring = request.retiring.into_iter().collect();
        workload.caused_by = request.caused_by;
        workload.asked_at = now;
        self.dirty.insert(id);
        Ok(())
    }

    /// A workload that is not being removed.
    pub(super) fn known(
        &mut self,
        id: WorkloadId,
        operation: &'static str,
    ) -> Result<&mut Workload> {
        let found = self.workloads.get_mut(&id);
        found
            .filter(|workload| !workload.removed)
            .ok_or_else(|| Error::not_found(operation, format!("there is no workload {id}")))
    }

    pub(super) fn remove(&mut self, id: WorkloadId) {
        if let Some(workload) = self.workloads.get_mut(&id) {
            workload.removed = true;
            self.dirty.insert(id);
        }
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
        self.dirty.extend(self.workloads.keys());
    }

    pub(super) fn node(&mut self, info: NodeInfo, open: bool) {
        let info = Arc::new(info);
        self.scheduler
            .observe(&ClusterChange::Node(info.clone(), open));
        match self.cluster.nodes.get_mut(&info.name) {
            Some(node) => (node.info, node.open) = (info, open),
            None => {
                let node = NodeView {
                    info: info.clone(),
                    allocated: faas_core::Resources::default(),
                    sandboxes: BTreeMap::new(),
                    open,
                };
                self.cluster.nodes.insert(info.name.clone(), node);
            }
        }
        self.wake_waiting();
    }

    /// Something changed that those may profit from who wait.
    pub(super) fn wake_waiting(&mut self) {
        let waiting = self.workloads.iter().filter(|(_, w)| w.waiting.is_some());
        self.dirty.extend(waiting.map(|(id, _)| *id));
    }

    /// A start is over.
    pub(super) fn started(
        &mut self,
        id: SandboxId,
        result: Result<SandboxStatus>,
        times: StartTimes,
        now: Monotonic,
    ) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let doomed = matches!(sandbox.stage, Stage::Starting { doomed: true });
        sandbox.replica.times = times;
        let exit = sandbox.exit.take();
        match result {
            Ok(status) if status.is_running() && exit.is_none() => {
                self.ready(id, status.endpoint, &STARTED, now);
                if doomed {
                    self.stop(id);
                }
            }
            Ok(status) => {
                let cause = match status.phase {
                    SandboxPhase::Exited(cause) => Some(cause),
                    SandboxPhase::In(_) => exit,
                };
                self.ended(id, cause.unwrap_or(ExitCause::Unknown), now);
            }
            Err(error) => self.failed(id, error, now),
        }
    }

    fn failed(&mut self, id: SandboxId, error: Error, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get(&id) else {
            return;
        };
        let workload = sandbox.workload;
        self.ended(id, ExitCause::StartFailure(error.to_string()), now);
        self.wait(workload, error);
    }

    /// Says why a workload waits, once.
    pub(super) fn wait(&mut self, id: WorkloadId, error: Error) {
        let Some(workload) = self.workloads.get_mut(&id) else {
            return;
        };
        let same = |old: &Error| old.kind() == error.kind() && old.message() == error.message();
        if workload.waiting.as_ref().is_some_and(same) {
            return;
        }
        workload.waiting = Some(error.clone());
        self.tell(WorkloadEvent::Waiting(id, error));
    }

    fn ready(
        &mut self,
        id: SandboxId,
        endpoint: Option<Endpoint>,
        reason: &Reason,
        now: Monotonic,
    ) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        sandbox.stage = Stage::Running(now);
        sandbox.replica.phase = SandboxPhase::In(SandboxState::Running);
        sandbox.replica.endpoint.clone_from(&endpoint);
        let (workload, replica) = (sandbox.workload, sandbox.replica.clone());
        if let Some(workload) = self.workloads.get_mut(&workload) {
            workload.waiting = None;
        }
        self.record(
            id,
            replica.caused_by,
            vec![reason.clone().with("node", replica.node.as_str())],
        );
        let node = replica.node.clone();
        self.tell(WorkloadEvent::Ready(workload, replica));
        self.actions
            .extend(endpoint.map(|endpoint| Action::Bind(node, id, endpoint)));
    }

    /// A running sandbox that we did not start: of an earlier life, or of nobody.
    pub(super) fn adopt(&mut self, status: SandboxStatus, node: &NodeName) {
        let known = self.workloads.get(&status.workload);
        // What we made and do not know has been stopped while the list was on its way.
        let running = status.is_running() && !self.ids.made(status.id);
        let Some(workload) = known.filter(|workload| running && !workload.removed) else {
            let grace = known.map_or(Duration::ZERO, |workload| workload.spec.sandbox.grace);
            let hook = known.and_then(|workload| workload.spec.sandbox.hook.clone());
            self.actions.push(Action::Stop(Stop {
                sandbox: status.id,
                node: node.clone(),
                grace,
                hook,
                end: ExitCause::Stopped,
            }));
            return;
        };
        let spec = workload.spec.clone();
        self.place(status.id, node, spec.clone(), None);
        self.actions
            .push(Action::Resume(status, node.clone(), spec));
    }

    /// What came of resuming an adopted sandbox's hook.
    pub(super) fn resumed(&mut self, status: SandboxStatus, result: Result<()>, now: Monotonic) {
        let doomed = self.sandboxes.get(&status.id).map(|found| found.stage)
            != Some(Stage::Starting { doomed: false });
        match result {
            Ok(()) => self.ready(status.id, status.endpoint, &ADOPTED, now),
            Err(error) => self.failed(status.id, error, now),
        }
        if doomed {
            self.stop(status.id);
        }
    }

    /// Gives a sandbox its place.
    pub(super) fn place(
        &mut self,
        id: SandboxId,
        node: &NodeName,
        spec: Arc<WorkloadSpec>,
        caused_by: Option<DecisionId>,
    ) {
        let placed = PlacedSandbox {
            workload: spec.id,
            resources: spec.sandbox.resources.clone(),
            priority: spec.priority,
        };
        if let Some(view) = self.cluster.nodes.get_mut(node) {
            view.allocated = std::mem::take(&mut view.allocated).plus(&placed.resources);
            view.sandboxes.insert(id, placed.clone());
        }
        self.scheduler
            .observe(&ClusterChange::Placed(node.clone(), id, placed));
        if let Some(workload) = self.workloads.get_mut(&spec.id) {
            workload.replicas.insert(id);
        }
        let phase = SandboxPhase::In(SandboxState::Created);
        let mut replica = Replica::new(id, node.clone(), phase);
        replica.caused_by = caused_by;
        let sandbox = Sandbox {
            workload: spec.id,
            spec,
            stage: Stage::Starting { doomed: false },
            replica,
            exit: None,
            told: false,
        };
        self.sandboxes.insert(id, sandbox);
    }

    /// The agent's list, asked for when those of `expected` ran: what is not in it is lost.
    pub(super) fn listed(
        &mut self,
        node: &NodeName,
        expected: &BTreeSet<SandboxId>,
        listed: Vec<SandboxStatus>,
        now: Monotonic,
    ) {
        let present: BTreeSet<_> = listed.iter().map(|status| status.id).collect();
        for lost in expected.difference(&present) {
            self.ended(*lost, ExitCause::Unknown, now);
        }
        for status in listed {
            match (&status.phase, self.sandboxes.contains_key(&status.id)) {
                (_, false) => self.adopt(status, node),
                (SandboxPhase::Exited(cause), true) => self.exited(status.id, cause.clone(), now),
                (SandboxPhase::In(_), true) => {}
            }
        }
    }

    /// Those that run on a node.
    pub(super) fn running_on(&self, node: &NodeName) -> BTreeSet<SandboxId> {
        let running = |sandbox: &Sandbox| {
            sandbox.replica.node == *node && matches!(sandbox.stage, Stage::Running(_))
        };
        let all = self.sandboxes.iter();
        all.filter(|(_, sandbox)| running(sandbox))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn tell(&mut self, event: WorkloadEvent) {
        self.actions.push(Action::Tell(event));
    }

    pub(super) fn record(
        &self,
        id: SandboxId,
        caused_by: Option<DecisionId>,
        reasons: Vec<Reason>,
    ) {
        let workload = self.sandboxes.get(&id).map(|sandbox| sandbox.workload);
        let subjects = std::iter::once(id.into())
            .chain(workload.map(Into::into))
            .collect();
        self.decisions
            .record(DecisionClass::Sandbox, subjects, caused_by, reasons);
    }
}
