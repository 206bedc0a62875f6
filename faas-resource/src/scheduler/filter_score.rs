//! [`FilterScore`]: the default scheduler, of filter and score plugins.

mod domain;
pub mod filters;
mod preemption;
mod refusal;
pub mod scene;
pub mod scores;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use faas_core::component::Component;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Description, Error, Monotonic, NodeName, PolicyContext, Result, WorkloadId};
use serde::{Deserialize, Serialize};

use super::{ClusterChange, ClusterView, NodeView, Placement, PlacementRequest, ResourceScheduler};
use preemption::Preemption;
pub use scene::Scene;

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
    /// Where the last search for victims ended that did not look at all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    victims: Option<NodeName>,
    /// Who wants to be apart from whom: a placed sandbox's rules are not in the view.
    apart: BTreeMap<WorkloadId, BTreeSet<WorkloadId>>,
}

impl Stored for Memory {
    const KIND: &'static str = "filter-score";
    const VERSION: u32 = 1;
}

/// How many nodes that take a sandbox are compared, unless told otherwise.
const ENOUGH: usize = 100;
/// How many times as many nodes are tried for victims as are compared.
const TRIES: usize = 10;
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
///
/// Its cost grows slower than the nodes do. A search looks only where there may be room, among the
/// nodes that have the rarest of what the request asks for (a label's value, a taint's absence, a
/// counted resource), at those with what the rules prefer first; and it ends with the first 100
/// nodes that take the sandbox, where the next one begins (as with Kubernetes'
/// `percentageOfNodesToScore`); see [`comparing`](Self::comparing). The refusals of nodes that need
/// not be looked at are counted from the indexes of the [`ClusterView`].
///
/// Preemption follows Kubernetes: without all sandboxes of lower priority a node must pass every
/// filter; those without whose leaving it passes too stay. Of several such nodes it takes the one
/// whose highest victim is lowest, then the one with the fewest. Of many nodes it tries ten times as
/// many as it compares, those with the lowest priorities first, and others the next time.
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
        let refusals = match self.find(request, scene) {
            Ok(placement) => return placement,
            Err(refusals) => refusals,
        };
        match self.preempt(request, scene) {
            Some(preemption) => preempting(request, scene, preemption),
            None => self.refused(request, scene, refusals).into_placement(),
        }
    }

    /// The mildest way to make room, of those that are tried.
    fn preempt(&mut self, request: &PlacementRequest, scene: &Scene<'_>) -> Option<Preemption> {
        let mine = request.workload.priority;
        let mut tried = BTreeSet::new();
        let mut found = Vec::new();
        let begin = self.memory.victims.take();
        let holding = || scene.cluster().holding_below(mine);
        // Behind where the last search ended, then from the first on.
        let behind = holding().skip_while(|name| begin.as_ref().is_some_and(|at| *name != at));
        for name in behind.chain(holding()) {
            let elsewhere = request.only.as_ref().is_some_and(|only| only != name);
            let Some(node) = scene.node(name).filter(|_| !elsewhere) else {
                continue;
            };
            if !tried.insert(name) {
                continue;
            }
            let passes = |node: &NodeView| self.refusal(request, node, scene).is_none();
            found.extend(preemption::victims(request, node, passes));
            if found.len() == self.enough {
                break;
            }
            if tried.len() == self.enough.saturating_mul(TRIES) {
                self.memory.victims = Some(name.clone());
                break;
            }
        }
        found.into_iter().min()
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
            let asks: BTreeSet<_> = batch.iter().map(|request| request.workload.id).collect();
            let placed = |workload| cluster.replicas(workload).next().is_some();
            apart.retain(|workload, _| asks.contains(workload) || placed(*workload));
        }
    }
}

/// Whether two requests differ in nothing but their sandboxes.
fn is_alike(one: &PlacementRequest, other: &PlacementRequest) -> bool {
    let same =
        |request: &PlacementRequest| (request.state, request.reach.clone(), request.only.clone());
    std::sync::Arc::ptr_eq(&one.workload, &other.workload) && same(one) == same(other)
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
        let mut answers = Vec::with_capacity(batch.len());
        let mut refused: Option<(&PlacementRequest, Placement)> = None;
        for (index, request) in order {
            // The same again, and nothing has changed since: the same answer.
            let known = refused.as_ref().filter(|(last, _)| is_alike(last, request));
            let answer = match known {
                Some((_, answer)) => answer.clone(),
                None => self.place(request, &mut scene),
            };
            let unplaced = matches!(answer, Placement::Unschedulable { .. });
            refused = unplaced.then(|| (request, answer.clone()));
            answers.push((index, answer));
        }
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
