//! The search for a node.

use std::collections::BTreeSet;

use faas_core::NodeName;
use faas_core::explain::Reason;

use super::domain::Domain;
use super::refusal::Refusals;
use super::scene::Scene;
use super::{FilterScore, Placement, PlacementRequest, filters};
use crate::scheduler::{ClusterView, Group, Rooms};

const BEST: Reason = Reason::new(
    "placement.best",
    "scores {score}, the best of {candidates} nodes that take it",
);
const AVOIDED: Reason = Reason::new(
    "placement.avoided",
    "its last start there failed, and no other node takes it",
);

/// How many nodes are asked one by one why they refuse.
const LISTED: usize = 100;

/// The best node so far.
#[derive(Debug, Default)]
struct Best {
    score: f64,
    node: Option<NodeName>,
    candidates: usize,
}

impl Best {
    fn consider(&mut self, score: f64, node: &NodeName) {
        self.candidates += 1;
        if self.node.is_none() || score > self.score {
            (self.score, self.node) = (score, Some(node.clone()));
        }
    }
}

impl FilterScore {
    /// The best of the first nodes that take the sandbox; one to avoid only if no other does.
    pub(super) fn find(
        &mut self,
        request: &PlacementRequest,
        scene: &mut Scene<'_>,
    ) -> Result<Placement, Refusals> {
        let domain = Domain::of(request, scene);
        let mut refusals = Refusals::default();
        let (mut best, mut to_avoid) = (Best::default(), Best::default());
        let mut seen = BTreeSet::new();
        let mut cursor = None;
        for (name, turn) in self.worth_a_look(request, scene, &domain) {
            let Some(node) = scene.node(name) else {
                continue;
            };
            // Only what comes out of turn can come twice, or from without.
            let once = if turn {
                !seen.contains(name)
            } else {
                node.open && domain.has(scene.cluster(), name) && seen.insert(name)
            };
            if !once {
                continue;
            }
            if let Some(reason) = self.refusal(request, node, scene) {
                refusals.add(name, reason);
                continue;
            }
            let score = self.score(request, node, scene);
            if request.avoid.contains(name) {
                to_avoid.consider(score, name);
                continue;
            }
            best.consider(score, name);
            if best.candidates == self.enough {
                cursor = turn.then(|| name.clone());
                break;
            }
        }
        if request.only.is_none() {
            self.memory.cursor = cursor;
        }
        let avoided = best.node.is_none();
        let Best {
            score,
            node,
            candidates,
        } = if avoided { to_avoid } else { best };
        let Some(node) = node else {
            return Err(refusals);
        };
        scene.put(&node, request);
        let mut reasons = vec![BEST.with("score", score).with("candidates", candidates)];
        if avoided {
            reasons.push(AVOIDED);
        }
        Ok(Placement::On {
            node,
            preempts: Vec::new(),
            reasons,
        })
    }

    /// The nodes that may take it, and whether each comes in its turn: those that the rules prefer
    /// come before, and those that the batch has made room on.
    fn worth_a_look<'a>(
        &self,
        request: &PlacementRequest,
        scene: &Scene<'a>,
        domain: &Domain<'a>,
    ) -> impl Iterator<Item = (&'a NodeName, bool)> + use<'a> {
        let cluster = scene.cluster();
        let known = |name: &NodeName| cluster.nodes().get_key_value(name).map(|(name, _)| name);
        let needs = request.workload.sandbox.resources.clone();
        let mut out_of_turn: Vec<_> = match &request.only {
            Some(only) => known(only).into_iter().collect(),
            None => self.preferred(request, cluster),
        };
        let mut rooms: Vec<_> = domain.rooms().collect();
        if request.only.is_some() {
            rooms.clear();
        } else {
            out_of_turn.extend(scene.roomier().iter().filter_map(known));
        }
        let cursor = self.memory.cursor.as_ref().and_then(known);
        let cursor = cursor.and_then(|name| Some((name, &cluster.spot(name)?.1)));
        let in_turn = rooms.into_iter();
        let in_turn = in_turn.flat_map(move |rooms| rooms.roomy(&needs, cursor));
        let out_of_turn = out_of_turn.into_iter().map(|name| (name, false));
        out_of_turn.chain(in_turn.map(|name| (name, true)))
    }

    /// Nodes with what the rules prefer, as many as are compared at most of each. Those without room
    /// are none.
    fn preferred<'a>(
        &self,
        request: &PlacementRequest,
        cluster: &'a ClusterView,
    ) -> Vec<&'a NodeName> {
        let rules = &request.workload.rules;
        let needs = &request.workload.sandbox.resources;
        let mut found = Vec::new();
        for workload in &rules.near {
            let nodes = cluster.replicas(*workload).map(|(name, _)| name);
            let roomy = nodes.filter(|name| {
                let node = cluster.node(name);
                node.is_some_and(|node| filters::room(request, node).is_none())
            });
            found.extend(roomy.take(self.enough));
        }
        for (label, value) in &rules.prefers {
            let group = Group::Label(label.clone(), value.clone());
            let rooms = cluster.rooms(&group);
            let roomy = rooms.into_iter().flat_map(|rooms| rooms.roomy(needs, None));
            found.extend(roomy.take(self.enough));
        }
        found
    }

    /// Why no node takes it: those that were looked at, and those that need not be.
    pub(super) fn refused(
        &mut self,
        request: &PlacementRequest,
        scene: &Scene<'_>,
        mut refusals: Refusals,
    ) -> Refusals {
        let cluster = scene.cluster();
        let domain = Domain::of(request, scene);
        if request.only.is_none() {
            let looked_at = refusals.count();
            let open: usize = domain.rooms().map(Rooms::open).sum();
            let mut closed = domain.rooms().flat_map(|rooms| rooms.closed());
            if let Some(first) = closed.next() {
                refusals.add_many(1 + closed.count(), first, filters::CLOSED);
            }
            let needs = &request.workload.sandbox.resources;
            let cramped = domain.rooms().find_map(|rooms| rooms.cramped(needs));
            if let Some((name, node)) = cramped.and_then(|name| Some((name, scene.node(name)?))) {
                let reason = filters::room(request, node);
                let count = open.saturating_sub(looked_at);
                refusals.add_many(count, name, reason.unwrap_or(filters::ROOM));
            }
            self.count_outside(request, scene, &domain, &mut refusals);
        }
        for (name, node) in cluster.nodes().iter().take(LISTED) {
            if let Some(reason) = self.refusal(request, scene.node(name).unwrap_or(node), scene) {
                refusals.list(name, reason);
            }
        }
        refusals
    }

    /// Nodes that lack what the domain has in common.
    fn count_outside(
        &mut self,
        request: &PlacementRequest,
        scene: &Scene<'_>,
        domain: &Domain<'_>,
        refusals: &mut Refusals,
    ) {
        let nodes = scene.cluster().nodes();
        let count = nodes.len().saturating_sub(domain.len());
        if count == 0 {
            return;
        }
        let outside = nodes
            .iter()
            .find(|(name, _)| !domain.has(scene.cluster(), name));
        if let Some((name, node)) = outside
            && let Some(reason) = self.refusal(request, node, scene)
        {
            refusals.add_many(count, name, reason);
        }
    }
}
