//! What the manager knows, and what it makes of what is asked of it: no I/O, no clock, no lock.
//!
//! Each input changes the state and marks workloads as dirty; [`Core::reconcile`] then compares
//! what is wanted of those with what is there, gives each sandbox its goal, and leaves [`Action`]s
//! for the live half.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::{
    DecisionId, Digest, Error, IdSource, Monotonic, NodeName, Result, SandboxId, SeededRandom,
    WorkloadId,
};

use super::action::Action;
use crate::ResourceScheduler;
use crate::agent::{ExitCause, SandboxState};
use crate::scheduler::ClusterView;
use crate::spec::SandboxSpec;
use crate::workload::{Replica, ScaleRequest, WorkloadEvent, WorkloadSpec};

/// A workload's spec, with what every start of a replica needs of it.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) workload: Arc<WorkloadSpec>,
    pub(super) sandbox: Arc<SandboxSpec>,
    pub(super) digest: Digest,
}

impl Template {
    pub(super) fn new(spec: WorkloadSpec) -> Result<Self> {
        Ok(Self {
            digest: spec.digest()?,
            sandbox: Arc::new(spec.sandbox.clone()),
            workload: Arc::new(spec),
        })
    }
}

/// How many replicas in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) running: usize,
    pub(super) paused: usize,
    pub(super) created: usize,
}

impl Counts {
    pub(super) fn of(&mut self, state: SandboxState) -> &mut usize {
        match state {
            SandboxState::Running => &mut self.running,
            SandboxState::Paused => &mut self.paused,
            SandboxState::Created => &mut self.created,
        }
    }

    /// Within the bounds of a spec: what runs comes first, then what is paused.
    fn within(self, spec: &WorkloadSpec) -> Self {
        let (min, max) = (spec.min as usize, spec.max as usize);
        let running = self.running.clamp(min, max);
        let paused = self.paused.min(max - running);
        let created = self.created.min(max - running - paused);
        Self {
            running,
            paused,
            created,
        }
    }
}

#[derive(Debug)]
pub(super) struct Workload {
    pub(super) template: Arc<Template>,
    /// `None` until somebody says: after a restart, whatever is there is kept.
    pub(super) wanted: Option<Counts>,
    pub(super) caused_by: Option<DecisionId>,
    pub(super) removed: bool,
    pub(super) waiting: Option<Error>,
    pub(super) replicas: BTreeSet<SandboxId>,
    pub(super) asked_at: Monotonic,
    pub(super) not_before: Monotonic,
    /// Until when what is missing was put off.
    pub(super) put_off: Option<Monotonic>,
    /// Those in a row that failed to start, or ended soon.
    pub(super) crashes: u32,
    /// How the last of those ended.
    pub(super) last_end: Option<ExitCause>,
    /// Where its last start failed.
    pub(super) avoid: BTreeSet<NodeName>,
}

/// What a sandbox is in, or what is under way. One thing at a time: what cleans up must not run
/// beside what starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has its place, which others are still to leave; then it comes to that state.
    Awaiting(SandboxState),
    /// The agent brings it to that state.
    Moving(SandboxState),
    /// It is in that state, of an earlier life; its hook resumes it.
    Resuming(SandboxState),
    /// It is in that state, and nothing is under way.
    In(SandboxState),
    /// It is in that state; the agent gives it to another workload.
    Assigning(SandboxState),
    /// The agent removes what is left of it.
    Stopping,
}

impl Stage {
    /// The state that it is in or comes to.
    pub(super) fn state(self) -> Option<SandboxState> {
        match self {
            Self::Awaiting(state)
            | Self::Moving(state)
            | Self::Resuming(state)
            | Self::In(state)
            | Self::Assigning(state) => Some(state),
            Self::Stopping => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Sandbox {
    /// What it was started as, which may be outdated by now.
    pub(super) template: Arc<Template>,
    pub(super) stage: Stage,
    /// Rises with each change of the stage: a list that was asked for before says nothing of it.
    pub(super) turn: u64,
    /// Who is to leave before it can start.
    pub(super) room: BTreeSet<SandboxId>,
    /// The state that it is to be in; `None` if it is to be stopped.
    pub(super) goal: Option<SandboxState>,
    /// Whether it goes whatever is wanted.
    pub(super) retired: bool,
    /// The state in which it was last told to be ready or to stand by.
    pub(super) told: Option<SandboxState>,
    /// Since when it is in its state.
    pub(super) since: Monotonic,
    pub(super) replica: Replica,
    /// Its end, heard of while something was under way.
    pub(super) exit: Option<ExitCause>,
    /// Whether its end has been told.
    pub(super) gone: bool,
}

impl Sandbox {
    pub(super) fn workload(&self) -> WorkloadId {
        self.template.workload.id
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.turn += 1;
    }
}

pub(super) struct Core {
    pub(super) workloads: BTreeMap<WorkloadId, Workload>,
    pub(super) sandboxes: BTreeMap<SandboxId, Sandbox>,
    pub(super) cluster: ClusterView,
    /// Who waits for a sandbox to make room.
    pub(super) making_room: BTreeMap<SandboxId, BTreeSet<SandboxId>>,
    /// Sandboxes of nodes that fell silent, which may be wanted when these return.
    pub(super) lost: BTreeMap<NodeName, BTreeSet<SandboxId>>,
    /// For each node whose list is on its way, what was stopped since it was asked for.
    pub(super) lists: BTreeMap<NodeName, BTreeSet<SandboxId>>,
    /// Sandboxes that nobody knows and that are being stopped.
    pub(super) strays: BTreeSet<SandboxId>,
    pub(super) scheduler: Box<dyn ResourceScheduler>,
    pub(super) ids: IdSource,
    pub(super) decisions: DecisionLog,
    pub(super) random: SeededRandom,
    pub(super) dirty: BTreeSet<WorkloadId>,
    /// Those that lack something.
    pub(super) waiting: BTreeSet<WorkloadId>,
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
            making_room: BTreeMap::new(),
            lost: BTreeMap::new(),
            lists: BTreeMap::new(),
            strays: BTreeSet::new(),
            scheduler,
            ids,
            decisions,
            random,
            dirty: BTreeSet::new(),
            waiting: BTreeSet::new(),
            actions: Vec::new(),
            starting: false,
            closing: false,
        }
    }

    pub(super) fn apply(&mut self, template: Template, now: Monotonic) {
        let id = template.workload.id;
        self.dirty.insert(id);
        let template = Arc::new(template);
        let Some(workload) = self.workloads.get_mut(&id) else {
            self.workloads.insert(id, Workload::new(template, now));
            return;
        };
        if std::mem::take(&mut workload.removed) {
            workload.wanted = None;
        }
        let same = workload.template.digest == template.digest;
        let priority = template.workload.priority;
        workload.template = template.clone();
        if same {
            let keep = workload.replicas.clone();
            for sandbox in keep {
                self.renew(sandbox, &template, priority);
            }
        } else {
            // A new spec deserves a new chance.
            (workload.crashes, workload.not_before) = (0, now);
            workload.avoid.clear();
        }
    }

    pub(super) fn scale(&mut self, request: ScaleRequest, now: Monotonic) -> Result<()> {
        const OPERATION: &str = "scale workload";
        let id = request.workload;
        self.known(id, OPERATION)?;
        let pooled = [
            (SandboxState::Paused, request.paused),
            (SandboxState::Created, request.created),
        ];
        let missing: Vec<_> = pooled
            .iter()
            .filter(|(state, count)| *count > 0 && !self.offers(*state))
            .map(|(state, count)| format!("no node can keep {count} replicas {state:?}"))
            .collect();
        if !missing.is_empty() {
            return Err(Error::unsupported(OPERATION, missing.join("; ")));
        }
        let workload = self.known(id, OPERATION)?;
        workload.wanted = Some(Counts {
            running: request.running as usize,
            paused: request.paused as usize,
            created: request.created as usize,
        });
        workload.caused_by = request.caused_by;
        workload.asked_at = now;
        self.dirty.insert(id);
        for sandbox in request.retiring {
            let found = self.sandboxes.get_mut(&sandbox);
            if let Some(found) = found.filter(|found| found.workload() == id) {
                found.retired = true;
            }
        }
        Ok(())
    }

    fn offers(&self, state: SandboxState) -> bool {
        let mut nodes = self.cluster.nodes().values();
        nodes.any(|node| node.info.states.contains(&state))
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

    /// What is wanted of a workload, within its bounds.
    pub(super) fn wanted(&self, workload: &Workload) -> Counts {
        if workload.removed || self.closing {
            return Counts::default();
        }
        let wanted = workload.wanted.unwrap_or_else(|| self.present(workload));
        wanted.within(&workload.template.workload)
    }

    /// What is there and stays unless somebody says otherwise.
    pub(super) fn present(&self, workload: &Workload) -> Counts {
        let mut counts = Counts::default();
        for id in &workload.replicas {
            let found = self.sandboxes.get(id);
            let kept = found.filter(|found| !found.retired && found.goal.is_some());
            if let Some(state) = kept.and_then(|found| found.goal) {
                *counts.of(state) += 1;
            }
        }
        counts
    }

    /// Something changed that those may profit from who wait.
    pub(super) fn wake_waiting(&mut self) {
        self.dirty.extend(&self.waiting);
    }

    /// Says why a workload waits, once.
    pub(super) fn wait(&mut self, id: WorkloadId, error: Error) {
        let Some(workload) = self.workloads.get_mut(&id) else {
            return;
        };
        self.waiting.insert(id);
        let same = |old: &Error| old.kind() == error.kind() && old.message() == error.message();
        if workload.waiting.as_ref().is_some_and(same) {
            return;
        }
        workload.waiting = Some(error.clone());
        self.tell(WorkloadEvent::Waiting(id, error));
    }

    /// Nothing is missing any more.
    pub(super) fn content(&mut self, id: WorkloadId) {
        self.waiting.remove(&id);
        if let Some(workload) = self.workloads.get_mut(&id) {
            workload.waiting = None;
        }
    }

    /// When to reconcile although nothing has happened.
    pub(super) fn wake_at(&self, now: Monotonic) -> Option<Monotonic> {
        if !self.dirty.is_empty() && !self.starting {
            return Some(now);
        }
        let waiting = self.waiting.iter().filter_map(|id| self.workloads.get(id));
        let later = waiting.filter_map(|workload| workload.put_off);
        later.chain(self.scheduler.wake_at()).min()
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
        let workload = self.sandboxes.get(&id).map(Sandbox::workload);
        let subjects = std::iter::once(id.into())
            .chain(workload.map(Into::into))
            .collect();
        self.decisions
            .record(DecisionClass::Sandbox, subjects, caused_by, reasons);
    }
}

impl Workload {
    fn new(template: Arc<Template>, now: Monotonic) -> Self {
        Self {
            template,
            wanted: None,
            caused_by: None,
            removed: false,
            waiting: None,
            replicas: BTreeSet::new(),
            asked_at: now,
            not_before: now,
            put_off: None,
            crashes: 0,
            last_end: None,
            avoid: BTreeSet::new(),
        }
    }
}
