//! How sandboxes get their place, and come from one state to another.

use std::collections::BTreeSet;
use std::sync::Arc;

use faas_core::explain::Reason;
use faas_core::{DecisionId, Error, ErrorKind, Monotonic, NodeName, Result, SandboxId};

use super::action::{Action, Move};
use super::core::{Core, Sandbox, Stage, Template};
use crate::agent::{ExitCause, SandboxPhase, SandboxState, SandboxStatus};
use crate::scheduler::{ClusterChange, PlacedSandbox};
use crate::workload::{Priority, Replica, StartTimes, WorkloadEvent};

const RUNS: Reason = Reason::new("sandbox.started", "it runs on {node}");
const UNPAUSED: Reason = Reason::new("sandbox.unpaused", "it could not be paused: {why}");
const RUNNING: SandboxPhase = SandboxPhase::In(SandboxState::Running);
const POOLED: Reason = Reason::new("sandbox.pooled", "it stands by on {node}, {state}");

impl Core {
    /// Gives a sandbox its place.
    pub(super) fn place(
        &mut self,
        id: SandboxId,
        node: &NodeName,
        template: Arc<Template>,
        stage: Stage,
        caused_by: Option<DecisionId>,
    ) {
        self.occupy(id, node, &template);
        let workload = template.workload.id;
        if let Some(workload) = self.workloads.get_mut(&workload) {
            workload.replicas.insert(id);
        }
        let phase = SandboxPhase::In(SandboxState::Created);
        let mut replica = Replica::new(id, node.clone(), phase);
        replica.caused_by = caused_by;
        let sandbox = Sandbox {
            template,
            stage,
            turn: 0,
            room: BTreeSet::new(),
            goal: stage.state(),
            retired: false,
            told: None,
            since: Monotonic::ZERO,
            replica,
            exit: None,
            gone: false,
        };
        self.sandboxes.insert(id, sandbox);
    }

    /// Reserves what a sandbox takes.
    pub(super) fn occupy(&mut self, id: SandboxId, node: &NodeName, template: &Template) {
        let placed = PlacedSandbox {
            workload: template.workload.id,
            resources: template.sandbox.resources.clone(),
            priority: template.workload.priority,
        };
        self.change(&ClusterChange::Placed(node.clone(), id, placed));
    }

    /// Gives back what a sandbox took.
    pub(super) fn vacate(&mut self, id: SandboxId, node: &NodeName) {
        self.change(&ClusterChange::Freed(node.clone(), id));
    }

    /// Makes a change of the cluster known.
    pub(super) fn change(&mut self, change: &ClusterChange) {
        self.cluster.apply(change);
        self.scheduler.observe(change);
    }

    /// Its workload's spec was written anew, and it is of that spec still.
    pub(super) fn renew(&mut self, id: SandboxId, template: &Arc<Template>, priority: Priority) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        if sandbox.template.digest != template.digest {
            return;
        }
        let before = std::mem::replace(&mut sandbox.template, template.clone());
        if before.workload.priority != priority {
            let node = sandbox.replica.node.clone();
            self.vacate(id, &node);
            self.occupy(id, &node, template);
        }
    }

    /// Has done what a sandbox lacks to its goal, unless something is under way.
    pub(super) fn step(&mut self, id: SandboxId, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let goal = sandbox.goal.filter(|_| !sandbox.retired);
        let state = match (sandbox.stage, goal) {
            (Stage::In(state), _) => state,
            (Stage::Awaiting(_), None) => return self.forget(id, now),
            (Stage::Awaiting(_), Some(to)) if sandbox.room.is_empty() => {
                return self.advance(id, to, now);
            }
            _ => return,
        };
        if goal == Some(state) {
            self.announce(id, state);
            return;
        }
        self.withdraw(id);
        match goal {
            Some(to) => self.advance(id, to, now),
            None => self.clean_up(id),
        }
    }

    fn advance(&mut self, id: SandboxId, to: SandboxState, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        sandbox.enter(Stage::Moving(to));
        let workload = self.workloads.get(&sandbox.workload());
        let asked = workload.map_or(now, |workload| workload.asked_at.max(workload.not_before));
        let (node, template) = (sandbox.replica.node.clone(), sandbox.template.clone());
        let place = now.since(asked);
        self.actions.push(Action::Move(Move {
            sandbox: id,
            node,
            template,
            to,
            place,
        }));
    }

    /// Tells, once, that a sandbox is where it is to be.
    fn announce(&mut self, id: SandboxId, state: SandboxState) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        if sandbox.told.replace(state) == Some(state) {
            return;
        }
        let workload = sandbox.workload();
        let replica = sandbox.replica.clone();
        let node = replica.node.clone();
        if state != SandboxState::Running {
            let reason = POOLED.with("node", node.as_str());
            let reason = reason.with("state", format!("{state:?}").to_lowercase());
            self.record(id, replica.caused_by, vec![reason]);
            self.tell(WorkloadEvent::Pooled(workload, replica));
            return;
        }
        if let Some(workload) = self.workloads.get_mut(&workload) {
            workload.avoid.remove(&node);
        }
        self.record(
            id,
            replica.caused_by,
            vec![RUNS.with("node", node.as_str())],
        );
        let endpoint = replica.endpoint.clone();
        self.tell(WorkloadEvent::Ready(workload, replica));
        if endpoint.is_some() {
            self.actions.push(Action::Name(node, id, endpoint));
        }
    }

    /// Tells, once, that a sandbox that was ready will not be.
    pub(super) fn withdraw(&mut self, id: SandboxId) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let endpoint = sandbox.replica.endpoint.take();
        if sandbox.told.take() != Some(SandboxState::Running) {
            return;
        }
        let (workload, node) = (sandbox.workload(), sandbox.replica.node.clone());
        self.tell(WorkloadEvent::Retiring(workload, id));
        if endpoint.is_some() {
            self.actions.push(Action::Name(node, id, None));
        }
    }

    /// A move is over.
    pub(super) fn moved(
        &mut self,
        id: SandboxId,
        result: Result<SandboxStatus>,
        times: StartTimes,
        now: Monotonic,
    ) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            // Lost with its node meanwhile; if that returns, its list tells.
            return;
        };
        let Stage::Moving(to) = sandbox.stage else {
            return;
        };
        sandbox.replica.times = times;
        let exit = sandbox.exit.take();
        match (result, exit) {
            (Ok(status), None) if status.phase == SandboxPhase::In(to) => {
                self.arrived(id, to, status, now);
            }
            (Ok(status), exit) => {
                let cause = match status.phase {
                    SandboxPhase::Exited(cause) => Some(cause),
                    SandboxPhase::In(_) => exit,
                };
                self.ended(id, cause.unwrap_or(ExitCause::Unknown), now);
            }
            (Err(error), None) if sandbox.replica.phase == RUNNING => self.unpaused(id, &error),
            (Err(error), _) => self.failed(id, error, now),
        }
    }

    /// It was to be paused rather than stopped, which does not work: so it is stopped.
    fn unpaused(&mut self, id: SandboxId, error: &Error) {
        let reason = UNPAUSED.with("why", error.to_string());
        self.record(id, None, vec![reason]);
        self.clean_up(id);
    }

    pub(super) fn arrived(
        &mut self,
        id: SandboxId,
        state: SandboxState,
        status: SandboxStatus,
        now: Monotonic,
    ) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        sandbox.enter(Stage::In(state));
        sandbox.since = now;
        sandbox.replica.phase = SandboxPhase::In(state);
        let runs = state == SandboxState::Running;
        sandbox.replica.endpoint = status.endpoint.filter(|_| runs);
        self.dirty.insert(sandbox.workload());
    }

    /// It could not be brought to where it was to be.
    fn failed(&mut self, id: SandboxId, error: Error, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let workload = sandbox.workload();
        let node = sandbox.replica.node.clone();
        if let Some(workload) = self.workloads.get_mut(&workload)
            && error.kind() != ErrorKind::InvalidArgument
        {
            workload.avoid.insert(node);
        }
        self.ended(id, ExitCause::StartFailure(error.to_string()), now);
        self.wait(workload, error);
    }

    /// What came of resuming the hook of a sandbox of an earlier life.
    pub(super) fn resumed(&mut self, status: SandboxStatus, result: Result<()>, now: Monotonic) {
        let id = status.id;
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let Stage::Resuming(state) = sandbox.stage else {
            return;
        };
        match (result, sandbox.exit.take()) {
            (Ok(()), None) => self.arrived(id, state, status, now),
            (Ok(()), Some(cause)) => self.ended(id, cause, now),
            (Err(error), _) => self.failed(id, error, now),
        }
    }
}
