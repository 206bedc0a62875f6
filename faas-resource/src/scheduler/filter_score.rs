//! [`FilterScore`]: the default scheduler, of filter and score plugins.

pub mod filters;
mod preemption;
mod refusal;
pub mod scene;
pub mod scores;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;
use faas_core::component::Component;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Description, Error, Monotonic, NodeName, PolicyContext, Result, WorkloadId};
use serde::{Deserialize, Serialize};

use super::{ClusterChange, ClusterView, NodeView, Placement, PlacementRequest, ResourceScheduler};
use preemption::Preemption;
use refusal::Refusals;
pub use scene::Scene;

const BEST: Reason = Reason::new(
    "placement.best",
    "scores {score}, the best of {candidates} nodes that take it",
);
const AVOIDED: Reason = Reason::new(
    "placement.avoided",
    "its last start there failed, and no other node takes it",
);
const PREEMPTS: Reason = Reason::new(
    "placement.preempts",
    "{count} sandboxes of lower priority make room",
);

/// A rule that keeps sandboxes away from nodes.
///
/// A filter must be a function of what it is given: preemption asks it again about a node on which
/// fewer sandboxes are.
pub trait Filter: fmt::Debug + Send + Sync + 'static {
    /// Why the sandbox cannot go to the node; `None` if this filter has nothing against it.
    /// The code of the reason names the cause that refusals are counted by.
    fn refuses(
        &self,
        request: &PlacementRequest,
        node: &NodeView,
        scene: &Scene<'_>,
    ) -> Option<Reason>;
}

/// A preference among nodes that all filters let pass.
pub trait Score: fmt::Debug + Send + Sync + 'static {
    /// How well the node suits, from 0 to 1; anything else counts as the nearer of the two.
    fn score(&self, request: &PlacementRequest, node: &NodeView, scene: &Scene<'_>) -> f64;
}

/// What the scheduler remembers between batches.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// Where the last search that did not look at all nodes ended.
    cursor: Option<NodeName>,
    /// Who wants to be apart from whom: a placed sandbox's rules are not in the view.
    apart: BTreeMap<WorkloadId, BTreeSet<WorkloadId>>,
}

impl Stored for Memory {
    const KIND: &'static str = "filter-score";
    const VERSION: u32 = 1;
}

/// How many nodes that take a sandbox are compared, unless told otherwise.
const ENOUGH: usize = 100;
/// From how many remembered `apart` rules on the outdated ones are looked for.
const MANY_RULES: usize = 1024;

/// The default scheduler: of the nodes that no [`Filter`] refuses, the one with the highest
/// weighted sum of [`Score`]s.
///
/// ```text
/// request ─▶ open? kind? state? reach? taints? constraints? apart? fit? ─▶ scores ─▶ best node
///                       nothing left? ─▶ the same without sandboxes of lower priority
/// ```
///
/// A batch is served by priority, highest first, and each placement counts for those after it.
/// In a large cluster a search ends with the first 100 nodes that take the sandbox and the next one
/// begins behind them (as in Kubernetes' `percentageOfNodesToScore`), so that its cost does not
/// grow with the nodes unless most of them refuse; see [`comparing`](Self::comparing).
///
/// Preemption follows Kubernetes: without all sandboxes of lower priority a node must pass every
/// filter; those without whose leaving it passes too stay. Of several such nodes it takes the one
/// whose highest victim is lowest, then the one with the fewest.
#[derive(Debug)]
pub struct FilterScore {
    filters: Vec<Box<dyn Filter>>,
    scores: Vec<(f64, Box<dyn Score>)>,
    enough: usize,
    memory: Memory,
}

impl Default for FilterScore {
    fn default() -> Self {
        Self::new()
    }
}

impl FilterScore {
    /// All filters, and a preference for what the rules prefer and for nodes with much free.
    pub fn new() -> Self {
        Self::with_only_filters()
            .with_score(1.0, scores::LeastAllocated)
            .with_score(0.5, scores::Spread)
            .with_score(2.0, scores::Prefers)
            .with_score(2.0, scores::Near)
    }

    /// All filters, and a preference for what the rules prefer and for nodes with little free, so
    /// that other nodes stay empty.
    pub fn bin_packing() -> Self {
        Self::with_only_filters()
            .with_score(1.0, scores::BinPack)
            .with_score(2.0, scores::Prefers)
            .with_score(2.0, scores::Near)
    }

    /// All filters, which the contract demands, and no preference: add your own.
    pub fn with_only_filters() -> Self {
        Self {
            filters: filters::all(),
            scores: Vec::new(),
            enough: ENOUGH,
            memory: Memory::default(),
        }
    }

    /// Adds a filter, to be asked after the others.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Filter) -> Self {
        self.filters.push(Box::new(filter));
        self
    }

    /// Adds a preference; its weight is relative to those of the others.
    #[must_use]
    pub fn with_score(mut self, weight: f64, score: impl Score) -> Self {
        self.scores.push((weight, Box::new(score)));
        self
    }

    /// Ends a search when so many nodes take the sandbox, and at least one.
    #[must_use]
    pub fn comparing(mut self, nodes: usize) -> Self {
        self.enough = nodes.max(1);
        self
    }

    fn refusal(
        &self,
        request: &PlacementRequest,
        node: &NodeView,
        scene: &Scene<'_>,
    ) -> Option<Reason> {
        let mut filters = self.filters.iter();
        filters.find_map(|filter| filter.refuses(request, node, scene))
    }

    fn score(&self, request: &PlacementRequest, node: &NodeView, scene: &Scene<'_>) -> f64 {
        let weighted = |(weight, score): &(f64, Box<dyn Score>)| {
            let score = score.score(request, node, scene);
            // Not a number would compare with nothing.
            let score = if score.is_nan() { 0.0 } else { score };
            weight * score.clamp(0.0, 1.0)
        };
        self.scores.iter().map(weighted).sum()
    }

    fn place(&mut self, request: &PlacementRequest, scene: &mut Scene<'_>) -> Placement {
        scene.prepare(request);
        let mut refusals = Refusals::default();
        if let Some(placement) = self.find(request, scene, &mut refusals) {
            return placement;
        }
        match self.preempt(request, scene) {
            Some(preemption) => preempting(request, scene, preemption),
            None => refusals.into_placement(),
        }
    }

    /// The best of the first nodes that take the sandbox; one to avoid only if no other does.
    fn find(
        &mut self,
        request: &PlacementRequest,
        scene: &mut Scene<'_>,
        refusals: &mut Refusals,
    ) -> Option<Placement> {
        let (mut best, mut to_avoid) = (Best::default(), Best::default());
        let mut cursor = None;
        for name in in_turn(scene.cluster(), self.memory.cursor.as_ref(), request) {
            let Some(node) = scene.node(name) else {
                continue;
            };
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
                cursor = Some(name.clone());
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
        let node = node?;
        scene.put(&node, request);
        let mut reasons = vec![BEST.with("score", score).with("candidates", candidates)];
        if avoided {
            reasons.push(AVOIDED);
        }
        Some(Placement::On {
            node,
            preempts: Vec::new(),
            reasons,
        })
    }

    fn preempt(&self, request: &PlacementRequest, scene: &Scene<'_>) -> Option<Preemption> {
        let names = in_turn(scene.cluster(), None, request);
        let found = names.filter_map(|name| {
            let node = scene.node(name)?;
            let passes = |node: &NodeView| self.refusal(request, node, scene).is_none();
            preemption::victims(request, node, passes)
        });
        found.take(self.enough).min()
    }

    /// Learns who wants to be apart, and forgets it of workloads that are gone.
    fn learn_rules(&mut self, cluster: &ClusterView, batch: &[PlacementRequest]) {
        let apart = &mut self.memory.apart;
        for request in batch {
            let rules = &request.workload.rules;
            if rules.apart.is_empty() {
                apart.remove(&request.workload.id);
            } else {
                apart.insert(request.workload.id, rules.apart.clone());
            }
        }
        if apart.len() > MANY_RULES.max(2 * batch.len()) {
            let placed = cluster
                .nodes
                .values()
                .flat_map(|node| node.sandboxes.values());
            let mut alive: BTreeSet<_> = placed.map(|sandbox| sandbox.workload).collect();
            alive.extend(batch.iter().map(|request| request.workload.id));
            apart.retain(|workload, _| alive.contains(workload));
        }
    }
}

fn preempting(
    request: &PlacementRequest,
    scene: &mut Scene<'_>,
    preemption: Preemption,
) -> Placement {
    let Preemption { node, victims, .. } = preemption;
    for victim in &victims {
        scene.take(&node, *victim);
    }
    scene.put(&node, request);
    let reasons = vec![PREEMPTS.with("count", victims.len())];
    Placement::On {
        node,
        preempts: victims,
        reasons,
    }
}

/// The nodes to look at, those behind the cursor first.
fn in_turn<'a>(
    cluster: &'a ClusterView,
    cursor: Option<&NodeName>,
    request: &PlacementRequest,
) -> impl Iterator<Item = &'a NodeName> + use<'a> {
    let only = request.only.as_ref();
    let one = only.and_then(|only| cluster.nodes.get_key_value(only));
    let all = only.is_none();
    let from = cursor.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
    let behind = all.then(|| cluster.nodes.range((from, Bound::Unbounded)));
    let to = cursor.filter(|_| all);
    let to = to.map(|name| (Bound::Unbounded, Bound::Included(name.clone())));
    let before = to.map(|to| cluster.nodes.range(to));
    let many = behind.into_iter().chain(before).flatten();
    one.into_iter().chain(many).map(|(name, _)| name)
}

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

impl ResourceScheduler for FilterScore {
    fn observe(&mut self, _change: &ClusterChange) {}

    fn schedule(
        &mut self,
        _context: &mut PolicyContext,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
    ) -> Vec<Placement> {
        self.learn_rules(cluster, batch);
        let mut scene = Scene::new(cluster, std::mem::take(&mut self.memory.apart));
        let mut order: Vec<_> = batch.iter().enumerate().collect();
        order.sort_by_key(|(_, request)| std::cmp::Reverse(request.workload.priority));
        let mut answers: Vec<_> = order
            .into_iter()
            .map(|(index, request)| (index, self.place(request, &mut scene)))
            .collect();
        self.memory.apart = scene.into_apart();
        answers.sort_by_key(|(index, _)| *index);
        answers
            .into_iter()
            .map(|(_, placement)| placement)
            .collect()
    }

    fn wake_at(&self) -> Option<Monotonic> {
        None
    }

    fn save(&self) -> Bytes {
        // Names and ids always have a form in JSON.
        encoding::encode(&self.memory).unwrap_or_default()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.memory = encoding::decode(state).map_err(|error| {
            Error::invalid("restore scheduler", error.message().to_owned()).with_source(error)
        })?;
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("FilterScore").provides(Component::R3)
    }
}
