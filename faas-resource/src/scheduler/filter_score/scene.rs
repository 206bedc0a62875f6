//! [`Scene`]: the cluster as it is within a batch.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::{Name, NodeName, SandboxId, WorkloadId};

use super::filters;
use crate::agent::NodeInfo;
use crate::scheduler::{ClusterView, Group, NodeView, PlacedSandbox, PlacementRequest};
use crate::workload::Constraint;

/// How the replicas of a workload are spread over the values of a label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    counts: BTreeMap<Name, u32>,
    least: u32,
}

impl Tally {
    /// How many replicas a value has.
    pub fn replicas(&self, value: &Name) -> u32 {
        self.counts.get(value).copied().unwrap_or(0)
    }

    /// The fewest that any value has to which more could go if there were room.
    pub fn least(&self) -> u32 {
        self.least
    }
}

/// The cluster, with what the batch has decided so far.
#[derive(Debug)]
pub struct Scene<'a> {
    cluster: &'a ClusterView,
    changed: BTreeMap<NodeName, NodeView>,
    /// Nodes on which there is more room than before the batch.
    roomier: BTreeSet<NodeName>,
    /// How many replicas of a workload have come to a node, and have left it.
    moved: BTreeMap<(WorkloadId, NodeName), (u32, u32)>,
    tallies: BTreeMap<WorkloadId, BTreeMap<Name, Tally>>,
    apart: BTreeMap<WorkloadId, BTreeSet<WorkloadId>>,
}

/// The value of a node's label; `node` is its name.
pub fn label(info: &NodeInfo, name: &Name) -> Option<Name> {
    if name.as_str() == "node" {
        return Name::new(info.name.as_str()).ok();
    }
    info.labels.get(name).cloned()
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        cluster: &'a ClusterView,
        apart: BTreeMap<WorkloadId, BTreeSet<WorkloadId>>,
    ) -> Self {
        Self {
            cluster,
            changed: BTreeMap::new(),
            roomier: BTreeSet::new(),
            moved: BTreeMap::new(),
            tallies: BTreeMap::new(),
            apart,
        }
    }

    /// The `apart` rules, given back.
    pub(super) fn into_apart(self) -> BTreeMap<WorkloadId, BTreeSet<WorkloadId>> {
        self.apart
    }

    /// The cluster as it was before the batch.
    pub fn cluster(&self) -> &'a ClusterView {
        self.cluster
    }

    /// A node as it is now.
    pub fn node(&self, name: &NodeName) -> Option<&NodeView> {
        let changed = self.changed.get(name);
        changed.or_else(|| self.cluster.node(name))
    }

    /// Nodes on which there is more room than the cluster's indexes say.
    pub(super) fn roomier(&self) -> &BTreeSet<NodeName> {
        &self.roomier
    }

    /// How many replicas of a workload are on a node.
    pub fn replicas(&self, workload: WorkloadId, node: &NodeName) -> u32 {
        let before = self.cluster.replicas_on(workload, node);
        let moved = self.moved.get(&(workload, node.clone()));
        let (came, left) = moved.copied().unwrap_or_default();
        before.saturating_add(came).saturating_sub(left)
    }

    /// Whether any workload wants to be apart from another.
    pub(super) fn has_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// Whether one of the two never wants to share a node with the other.
    pub fn are_apart(&self, one: WorkloadId, other: WorkloadId) -> bool {
        let wants = |a, b| self.apart.get(a).is_some_and(|apart| apart.contains(b));
        wants(&one, &other) || wants(&other, &one)
    }

    /// How the replicas of a workload are spread over the values of a label; for labels that the
    /// workload's constraints count.
    pub fn tally(&self, workload: WorkloadId, label: &Name) -> Option<&Tally> {
        self.tallies.get(&workload)?.get(label)
    }

    /// Counts what the request's constraints will ask for.
    pub(super) fn prepare(&mut self, request: &PlacementRequest) {
        let id = request.workload.id;
        for constraint in &request.workload.rules.constraints {
            let (name, levels) = match constraint {
                Constraint::Unique(name) | Constraint::MaxPer(name, _) => (name, false),
                Constraint::GroupBy(name) => (name, true),
                _ => continue,
            };
            let mut tally = match self.tally(id, name) {
                // The least is looked for anew, for it may have changed.
                Some(known) if levels => known.clone(),
                Some(_) => continue,
                None => Tally {
                    counts: self.count(id, name),
                    least: 0,
                },
            };
            if levels {
                tally.least = self.least(request, name, &tally.counts);
            }
            let tallies = self.tallies.entry(id).or_default();
            tallies.insert(name.clone(), tally);
        }
    }

    /// The replicas of each value that has some.
    fn count(&self, workload: WorkloadId, name: &Name) -> BTreeMap<Name, u32> {
        let mut counts = BTreeMap::new();
        let before = self.cluster.replicas(workload).map(|(node, _)| node);
        let moved = self.moved.keys().filter(|(id, _)| *id == workload);
        let nodes: BTreeSet<_> = before.chain(moved.map(|(_, node)| node)).collect();
        for node in nodes {
            let replicas = self.replicas(workload, node);
            let value = self.node(node).and_then(|node| label(&node.info, name));
            if let Some(value) = value.filter(|_| replicas > 0) {
                *counts.entry(value).or_default() += replicas;
            }
        }
        counts
    }

    /// The fewest replicas of any value to which more could go. The search ends with the first that
    /// has none.
    fn least(&self, request: &PlacementRequest, name: &Name, counts: &BTreeMap<Name, u32>) -> u32 {
        let count = |value: &Name| counts.get(value).copied().unwrap_or(0);
        let could = |node: &NodeName| {
            let node = self.node(node);
            node.is_some_and(|node| filters::could_ever(request, node))
        };
        let mut least = u32::MAX;
        if name.as_str() == "node" {
            for (node, view) in self.cluster.nodes() {
                let here = label(&view.info, name).map_or(0, |value| count(&value));
                if here < least && could(node) {
                    least = here;
                }
                if least == 0 {
                    break;
                }
            }
            return least;
        }
        for value in self.cluster.values(name) {
            let here = count(value);
            let group = Group::Label(name.clone(), value.clone());
            let mut nodes = self
                .cluster
                .rooms(&group)
                .into_iter()
                .flat_map(|rooms| rooms.nodes());
            if here < least && nodes.any(could) {
                least = here;
            }
            if least == 0 {
                break;
            }
        }
        least
    }

    pub(super) fn put(&mut self, name: &NodeName, request: &PlacementRequest) {
        let workload = &request.workload;
        let placed = PlacedSandbox {
            workload: workload.id,
            resources: workload.sandbox.resources.clone(),
            priority: workload.priority,
        };
        let moved = self.moved.entry((workload.id, name.clone())).or_default();
        moved.0 = moved.0.saturating_add(1);
        self.change(
            name,
            workload.id,
            |count| count.saturating_add(1),
            |node| {
                node.place(request.sandbox, placed);
            },
        );
    }

    pub(super) fn take(&mut self, name: &NodeName, sandbox: SandboxId) {
        let placed = self
            .node(name)
            .and_then(|node| node.sandboxes.get(&sandbox));
        let Some(workload) = placed.map(|placed| placed.workload) else {
            return;
        };
        let moved = self.moved.entry((workload, name.clone())).or_default();
        moved.1 = moved.1.saturating_add(1);
        self.roomier.insert(name.clone());
        self.change(
            name,
            workload,
            |count| count.saturating_sub(1),
            |node| {
                node.free(sandbox);
            },
        );
    }

    fn change(
        &mut self,
        name: &NodeName,
        workload: WorkloadId,
        recount: impl Fn(u32) -> u32,
        change: impl FnOnce(&mut NodeView),
    ) {
        let Some(mut node) = self
            .changed
            .remove(name)
            .or_else(|| self.cluster.node(name).cloned())
        else {
            return;
        };
        for (by, tally) in self.tallies.get_mut(&workload).into_iter().flatten() {
            if let Some(value) = label(&node.info, by) {
                let count = tally.counts.entry(value).or_default();
                *count = recount(*count);
            }
        }
        change(&mut node);
        self.changed.insert(name.clone(), node);
    }
}
