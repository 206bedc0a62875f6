//! What the scheduler answers, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faas_core::explain::{DecisionClass, Reason};
use faas_core::{
    Error, Monotonic, NodeName, PolicyContext, SandboxId, WorkloadId, panic_message, telemetry,
};

use super::core::{Core, Sandbox, Stage};
use crate::scheduler::{Placement, PlacementRequest};

const NODE: Reason = Reason::new("placement.node", "{sandbox} goes to {node}");
const FULL: Reason = Reason::new(
    "placement.full",
    "the scheduler says {node}, which has not the room",
)
.helped_by("run the scheduler's conformance suite");
const UNANSWERED: Reason =
    Reason::new("placement.unanswered", "the scheduler did not say where to")
        .helped_by("run the scheduler's conformance suite");
const ROOM: Reason = Reason::new("placement.room", "{count} of lower priority make room");

impl Core {
    pub(super) fn place_batch(&mut self, batch: &[PlacementRequest], now: Monotonic) {
        let mut placements = self.ask_scheduler(batch, now).into_iter();
        // Who makes room in this batch, on which node.
        let mut leaving: BTreeMap<NodeName, Vec<SandboxId>> = BTreeMap::new();
        for request in batch {
            match placements.next() {
                None => self.unanswered(request, now),
                Some(Placement::On {
                    node,
                    preempts,
                    reasons,
                }) => {
                    let victims = leaving.entry(node.clone()).or_default();
                    victims.extend(preempts);
                    self.place_on(request, node, victims, reasons, now);
                }
                Some(Placement::Unschedulable { reasons, .. }) => {
                    self.refuse(request.workload.id, reasons);
                }
            }
        }
    }

    /// A scheduler that panics has answered nothing: it is the application's, and the manager goes
    /// on without it.
    pub(super) fn ask_scheduler(
        &mut self,
        batch: &[PlacementRequest],
        now: Monotonic,
    ) -> Vec<Placement> {
        let (scheduler, cluster) = (&mut self.scheduler, &self.cluster);
        let asked = PolicyContext::ask(now, &mut self.random, |context| {
            scheduler.schedule(context, cluster, batch)
        });
        asked.unwrap_or_else(|panic| {
            tracing::error!(panic = panic_message(&*panic), "the scheduler panicked");
            Vec::new()
        })
    }

    /// Asks again a little later: no change of the cluster will bring an answer.
    fn unanswered(&mut self, request: &PlacementRequest, now: Monotonic) {
        let workload = request.workload.id;
        self.refuse(workload, vec![UNANSWERED]);
        self.back_off(request.sandbox, workload, Duration::ZERO, now);
        self.dirty.insert(workload);
    }

    /// Whether there is room now, whatever the scheduler says of later.
    fn fits(&self, request: &PlacementRequest, node: &NodeName) -> bool {
        let needs = &request.workload.sandbox.resources;
        let view = self.cluster.node(node);
        view.is_some_and(|view| {
            let after = view.allocated.clone().plus(needs);
            view.info.capacity.covers(&after)
        })
    }

    /// Gives a sandbox its place, and has it started as soon as there is room: room that is made
    /// for one may be more than it needs, so others of the batch may wait for the same to leave.
    fn place_on(
        &mut self,
        request: &PlacementRequest,
        node: NodeName,
        leaving: &[SandboxId],
        mut reasons: Vec<Reason>,
        now: Monotonic,
    ) {
        let id = request.workload.id;
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        let (template, caused_by) = (workload.template.clone(), workload.caused_by);
        let fits = self.fits(request, &node);
        if !fits && leaving.is_empty() {
            reasons.insert(0, FULL.with("node", node.as_str()));
            return self.refuse(id, reasons);
        }
        let goes = NODE.with("sandbox", request.sandbox.as_u128());
        reasons.insert(0, goes.with("node", node.as_str()));
        let subjects = vec![request.sandbox.into(), id.into()];
        let placed = self
            .decisions
            .record(DecisionClass::Placement, subjects, caused_by, reasons);
        let stage = Stage::Awaiting(request.state);
        self.place(request.sandbox, &node, template, stage, Some(placed));
        if !fits {
            self.make_room(request, leaving, now);
        }
        self.step(request.sandbox, now);
    }

    /// Stops those that are preempted; the sandbox, which has its place already, waits for them.
    fn make_room(&mut self, request: &PlacementRequest, victims: &[SandboxId], now: Monotonic) {
        for victim in victims {
            let workload = self.sandboxes.get(victim).map(Sandbox::workload);
            self.dirty.extend(workload);
            self.retire(*victim, now);
        }
        // One that had not started is gone at once.
        let known = |victim: &&SandboxId| self.sandboxes.contains_key(victim);
        let room: BTreeSet<_> = victims.iter().filter(known).copied().collect();
        for victim in &room {
            let waiting = self.making_room.entry(*victim).or_default();
            waiting.insert(request.sandbox);
        }
        let reason = ROOM.with("count", room.len());
        if let Some(sandbox) = self.sandboxes.get_mut(&request.sandbox) {
            sandbox.room = room;
        }
        let error = Error::unavailable("place replica", reason.to_string());
        self.wait(request.workload.id, error);
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
            metrics::counter!(telemetry::UNSCHEDULABLE).increment(1);
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
}
