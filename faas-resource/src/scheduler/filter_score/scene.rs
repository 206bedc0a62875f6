//! [`Scene`]: the cluster as it is within a batch.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::{Name, NodeName, SandboxId, WorkloadId};

use super::filters;
use crate::agent::NodeInfo;
use crate::scheduler::{ClusterView, NodeView, PlacedSandbox, PlacementRequest};
use crate::workload::Constraint;

/// What each value of a label has.
pub type Tally = BTreeMap<Name, Share>;

/// What one value of a label has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// How many replicas of the workload.
    pub replicas: u32,
    /// Whether more could go there if there were room.
    pub eligible: bool,
}

/// The cluster, with what the batch has decided so far.
#[derive(Debug)]
pub struct Scene<'a> {
    cluster: &'a ClusterView,
    changed: BTreeMap<NodeName, NodeView>,
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
        changed.or_else(|| self.cluster.nodes.get(name))
    }

    /// Whether one of the two never wants to share a node with the other.
    pub fn are_apart(&self, one: WorkloadId, other: WorkloadId) -> bool {
        let wants = |a, b| self.apart.get(a).is_some_and(|apart| apart.contains(b));
        wants(&one, &other) || wants(&other, &one)
    }

    /// How many replicas of a workload each value of a label has; for labels that the workload's
    /// constraints count.
    pub fn tally(&self, workload: WorkloadId, label: &Name) -> Option<&Tally> {
        self.tallies.get(&workload)?.get(label)
    }

    /// Counts what the request's constraints will ask for.
    pub(super) fn prepare(&mut self, request: &PlacementRequest) {
        for constraint in &request.workload.rules.constraints {
            let (Constraint::Unique(name)
            | Constraint::GroupBy(name)
            | Constraint::MaxPer(name, _)) = constraint
            else {
                continue;
            };
            if self.tally(request.workload.id, name).is_none() {
                let tally = self.count(request, name);
                let tallies = self.tallies.entry(request.workload.id).or_default();
                tallies.insert(name.clone(), tally);
            }
        }
    }

    fn count(&self, request: &PlacementRequest, name: &Name) -> Tally {
        let mut tally = Tally::new();
        let nodes = self.cluster.nodes.keys();
        for node in nodes.filter_map(|node| self.node(node)) {
            let Some(value) = label(&node.info, name) else {
                continue;
            };
            let share: &mut Share = tally.entry(value).or_default();
            share.replicas += replicas(node, request.workload.id);
            share.eligible |= filters::could_ever(request, node);
        }
        tally
    }

    pub(super) fn put(&mut self, name: &NodeName, request: &PlacementRequest) {
        let workload = &request.workload;
        let placed = PlacedSandbox {
            workload: workload.id,
            resources: workload.sandbox.resources.clone(),
            priority: workload.priority,
        };
        self.change(
            name,
            workload.id,
            |count| count.saturating_add(1),
            |node| {
                node.allocated = std::mem::take(&mut node.allocated).plus(&placed.resources);
                node.sandboxes.insert(request.sandbox, placed);
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
        let less = |count: u32| count.saturating_sub(1);
        self.change(name, workload, less, |node| without(node, sandbox));
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
            .or_else(|| self.cluster.nodes.get(name).cloned())
        else {
            return;
        };
        for (by, tally) in self.tallies.get_mut(&workload).into_iter().flatten() {
            if let Some(value) = label(&node.info, by) {
                let share = tally.entry(value).or_default();
                share.replicas = recount(share.replicas);
            }
        }
        change(&mut node);
        self.changed.insert(name.clone(), node);
    }
}

/// How many replicas of a workload are on a node.
pub fn replicas(node: &NodeView, workload: WorkloadId) -> u32 {
    let of = |placed: &&PlacedSandbox| placed.workload == workload;
    let count = node.sandboxes.values().filter(of).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Takes a sandbox off a node.
pub(super) fn without(node: &mut NodeView, sandbox: SandboxId) {
    if let Some(placed) = node.sandboxes.remove(&sandbox) {
        node.allocated = std::mem::take(&mut node.allocated).minus(&placed.resources);
    }
}
