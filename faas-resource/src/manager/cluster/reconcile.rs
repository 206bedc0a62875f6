//! What is wanted against what is there.

use std::sync::Arc;

use faas_core::explain::{DecisionClass, Reason};
use faas_core::{Error, HookName, Monotonic, PolicyContext, SandboxId, WorkloadId};

use super::core::{Action, Core, Stage, Start, Workload};
use crate::hook::ReachKind;
use crate::scheduler::{Placement, PlacementRequest};
use crate::workload::WorkloadEvent;

const NODE: Reason = Reason::new("placement.node", "{sandbox} goes to {node}");
const ROOM: Reason = Reason::new("placement.room", "{count} of lower priority make room");

impl Core {
    /// Compares, for each dirty workload, what is wanted with what is there, and decides what is
    /// to be done: stops first, then one batch of placements. `reach` says what a hook needs.
    pub(super) fn reconcile(
        &mut self,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
    ) {
        if self.starting {
            return;
        }
        let mut batch = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            self.converge(id, now, reach, &mut batch);
        }
        if !batch.is_empty() {
            // Who is preempted for whom is the scheduler's; who asks first gets what is free.
            batch.sort_by_key(|request| std::cmp::Reverse(request.workload.priority));
            self.place_batch(&batch, now);
        }
    }

    fn converge(
        &mut self,
        id: WorkloadId,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
        batch: &mut Vec<PlacementRequest>,
    ) {
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        if workload.removed && workload.replicas.is_empty() {
            self.workloads.remove(&id);
            self.tell(WorkloadEvent::Removed(id));
            return;
        }
        let alive = self.alive(workload);
        let wanted = self.wanted(workload, alive.len());
        let (spec, all) = (workload.spec.clone(), workload.replicas.len());
        let (waits, later) = (!workload.room.is_empty(), now < workload.not_before);
        self.stop_outdated(id);
        for surplus in alive.iter().skip(wanted) {
            self.stop(*surplus);
        }
        let missing = wanted.saturating_sub(alive.len());
        if missing == 0 {
            self.settle(id);
        }
        if missing == 0 || waits {
            return;
        }
        if later {
            self.wait(
                id,
                Error::unavailable("start replica", "the last ones ended early; backing off"),
            );
            return;
        }
        let bound = (spec.max as usize).saturating_sub(all);
        let needs = spec.sandbox.hook.as_ref().map(reach).unwrap_or_default();
        batch.extend((0..missing.min(bound)).map(|_| {
            let mut request = PlacementRequest::new(self.ids.next(), spec.clone());
            request.reach.clone_from(&needs);
            request
        }));
    }

    /// Nothing is missing any more.
    fn settle(&mut self, id: WorkloadId) {
        if let Some(workload) = self.workloads.get_mut(&id) {
            workload.waiting = None;
        }
    }

    fn wanted(&self, workload: &Workload, alive: usize) -> usize {
        if workload.removed || self.closing {
            return 0;
        }
        let (min, max) = (workload.spec.min, workload.spec.max);
        match workload.wanted {
            Some(wanted) => wanted.clamp(min, max) as usize,
            None => alive.clamp(min as usize, max as usize),
        }
    }

    /// Replicas of the present spec that run or will, those to keep first: the retiring go first,
    /// then those that do not run yet, then the youngest.
    fn alive(&self, workload: &Workload) -> Vec<SandboxId> {
        let mut alive: Vec<_> = workload
            .replicas
            .iter()
            .filter_map(|id| {
                let sandbox = self.sandboxes.get(id)?;
                let starting = match sandbox.stage {
                    Stage::Starting { doomed: false } => true,
                    Stage::Running(_) => false,
                    Stage::Starting { doomed: true } | Stage::Stopping => return None,
                };
                let current = Arc::ptr_eq(&sandbox.spec, &workload.spec);
                current.then(|| (workload.retiring.contains(id), starting, *id))
            })
            .collect();
        alive.sort_unstable();
        alive.into_iter().map(|(_, _, id)| id).collect()
    }

    fn stop_outdated(&mut self, id: WorkloadId) {
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        let old = |id: &&SandboxId| {
            let sandbox = self.sandboxes.get(*id);
            sandbox.is_some_and(|sandbox| !Arc::ptr_eq(&sandbox.spec, &workload.spec))
        };
        let outdated: Vec<_> = workload.replicas.iter().filter(old).copied().collect();
        for sandbox in outdated {
            self.stop(sandbox);
        }
    }

    fn place_batch(&mut self, batch: &[PlacementRequest], now: Monotonic) {
        let mut context = PolicyContext::new(now, self.random);
        let placements = self.scheduler.schedule(&mut context, &self.cluster, batch);
        self.random = context.random;
        for (request, placement) in batch.iter().zip(placements) {
            match placement {
                Placement::On {
                    node,
                    preempts,
                    reasons,
                } if preempts.is_empty() => self.place_on(request, node, reasons, now),
                Placement::On {
                    preempts, reasons, ..
                } => self.make_room(request, preempts, reasons),
                Placement::Unschedulable { reasons, .. } => self.refused(request, reasons),
            }
        }
    }

    fn place_on(
        &mut self,
        request: &PlacementRequest,
        node: faas_core::NodeName,
        mut reasons: Vec<Reason>,
        now: Monotonic,
    ) {
        let id = request.workload.id;
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        let (caused_by, asked_at) = (workload.caused_by, workload.asked_at);
        let place = now.since(asked_at.max(workload.not_before));
        let goes = NODE.with("sandbox", request.sandbox.as_u128());
        reasons.insert(0, goes.with("node", node.as_str()));
        let subjects = vec![request.sandbox.into(), id.into()];
        let placed = self
            .decisions
            .record(DecisionClass::Placement, subjects, caused_by, reasons);
        self.place(
            request.sandbox,
            &node,
            request.workload.clone(),
            Some(placed),
        );
        self.actions.push(Action::Start(Start {
            sandbox: request.sandbox,
            node,
            spec: request.workload.clone(),
            place,
        }));
    }

    /// Stops those that are preempted; the request comes again when they are gone.
    fn make_room(
        &mut self,
        request: &PlacementRequest,
        preempts: Vec<SandboxId>,
        mut reasons: Vec<Reason>,
    ) {
        let id = request.workload.id;
        let room: Vec<_> = preempts
            .into_iter()
            .filter(|victim| self.sandboxes.contains_key(victim))
            .collect();
        for victim in &room {
            let workload = self.sandboxes.get(victim).map(|found| found.workload);
            self.stop(*victim);
            self.dirty.extend(workload);
        }
        reasons.insert(0, ROOM.with("count", room.len()));
        self.refuse(id, reasons);
        if let Some(workload) = self.workloads.get_mut(&id) {
            workload.room.extend(room);
        }
    }

    fn refused(&mut self, request: &PlacementRequest, reasons: Vec<Reason>) {
        self.refuse(request.workload.id, reasons);
    }

    /// Says, once, why there is no place.
    fn refuse(&mut self, id: WorkloadId, reasons: Vec<Reason>) {
        let text: Vec<_> = reasons.iter().map(ToString::to_string).collect();
        let error = Error::exhausted("place replica", text.join("; "));
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        let old = workload.waiting.as_ref().map(Error::message);
        if old != Some(error.message()) {
            let caused_by = workload.caused_by;
            self.decisions.record(
                DecisionClass::Placement,
                vec![id.into()],
                caused_by,
                reasons,
            );
        }
        self.wait(id, error);
    }

    /// When to reconcile although nothing has happened.
    pub(super) fn wake_at(&self, now: Monotonic) -> Option<Monotonic> {
        let waiting = self.workloads.values().filter(|w| w.waiting.is_some());
        let later = waiting.map(|w| w.not_before).filter(|at| *at > now);
        later.chain(self.scheduler.wake_at()).min()
    }
}
