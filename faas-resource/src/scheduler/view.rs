//! The cluster as a scheduler sees it.

mod rooms;

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::{Name, NodeName, Resources, SandboxId, WorkloadId};

use rooms::Spot;
pub(crate) use rooms::{Group, Rooms};

use super::ClusterChange;
use crate::agent::NodeInfo;
use crate::workload::Priority;

/// A sandbox that has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedSandbox {
    /// Of which workload.
    pub workload: WorkloadId,
    /// What it takes.
    pub resources: Resources,
    /// Who is preempted for whom.
    pub priority: Priority,
}

/// A node as the scheduler sees it.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// What it is and has.
    pub info: Arc<NodeInfo>,
    /// What its sandboxes take.
    pub allocated: Resources,
    /// Who is there.
    pub sandboxes: BTreeMap<SandboxId, PlacedSandbox>,
    /// Whether it takes more; false while it is being drained or does not answer.
    pub open: bool,
}

impl NodeView {
    /// An empty node.
    pub fn new(info: Arc<NodeInfo>, open: bool) -> Self {
        Self {
            info,
            allocated: Resources::default(),
            sandboxes: BTreeMap::new(),
            open,
        }
    }

    /// Puts a sandbox there, or in the place of one of its id.
    pub fn place(&mut self, sandbox: SandboxId, placed: PlacedSandbox) {
        self.free(sandbox);
        self.allocated = std::mem::take(&mut self.allocated).plus(&placed.resources);
        self.sandboxes.insert(sandbox, placed);
    }

    /// Takes a sandbox away.
    pub fn free(&mut self, sandbox: SandboxId) -> Option<PlacedSandbox> {
        let placed = self.sandboxes.remove(&sandbox)?;
        self.allocated = std::mem::take(&mut self.allocated).minus(&placed.resources);
        Some(placed)
    }
}

/// The whole cluster, with indexes that keep a search from looking at every node.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    nodes: BTreeMap<NodeName, NodeView>,
    /// Where each node stands in the rooms of its groups.
    spots: BTreeMap<NodeName, (Vec<Group>, Spot)>,
    rooms: BTreeMap<Group, Rooms>,
    values: BTreeMap<Name, BTreeMap<Name, u32>>,
    workloads: BTreeMap<WorkloadId, BTreeMap<NodeName, u32>>,
    priorities: BTreeMap<Priority, BTreeMap<NodeName, u32>>,
}

impl ClusterView {
    /// No node.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every node.
    pub fn nodes(&self) -> &BTreeMap<NodeName, NodeView> {
        &self.nodes
    }

    /// The node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&NodeView> {
        self.nodes.get(name)
    }

    /// On which nodes a workload has how many replicas.
    pub fn replicas(&self, workload: WorkloadId) -> impl Iterator<Item = (&NodeName, u32)> {
        let nodes = self.workloads.get(&workload).into_iter().flatten();
        nodes.map(|(node, count)| (node, *count))
    }

    /// How many replicas of a workload are on a node.
    pub fn replicas_on(&self, workload: WorkloadId, node: &NodeName) -> u32 {
        let nodes = self.workloads.get(&workload);
        nodes
            .and_then(|nodes| nodes.get(node))
            .copied()
            .unwrap_or(0)
    }

    /// Makes a change; one of a node or a sandbox that is not there changes nothing.
    pub fn apply(&mut self, change: &ClusterChange) {
        match change {
            ClusterChange::Node(info, open) => {
                let known = self.take_node(&info.name);
                let mut node = known.unwrap_or_else(|| NodeView::new(info.clone(), *open));
                (node.info, node.open) = (info.clone(), *open);
                self.put_node(node);
            }
            ClusterChange::NodeGone(name) => drop(self.take_node(name)),
            ClusterChange::Placed(name, sandbox, placed) => {
                self.change(name, |node| node.place(*sandbox, placed.clone()));
            }
            ClusterChange::Freed(name, sandbox) => {
                self.change(name, |node| drop(node.free(*sandbox)));
            }
        }
    }

    /// Changes who is on a node.
    fn change(&mut self, name: &NodeName, change: impl FnOnce(&mut NodeView)) {
        let Some(mut node) = self.nodes.remove(name) else {
            return;
        };
        self.count(&node, Count::Out);
        change(&mut node);
        self.count(&node, Count::In);
        if let Some((groups, spot)) = self.spots.get_mut(name) {
            let now = Spot::of(&node);
            for group in groups.iter() {
                if let Some(rooms) = self.rooms.get_mut(group) {
                    rooms.remove(name, spot);
                    rooms.insert(name, &now);
                }
            }
            *spot = now;
        }
        self.nodes.insert(name.clone(), node);
    }

    fn put_node(&mut self, node: NodeView) {
        let name = node.info.name.clone();
        let (groups, spot) = (Group::of(&node.info), Spot::of(&node));
        for group in &groups {
            self.rooms
                .entry(group.clone())
                .or_default()
                .insert(&name, &spot);
        }
        for (label, value) in &node.info.labels {
            let values = self.values.entry(label.clone()).or_default();
            *values.entry(value.clone()).or_default() += 1;
        }
        self.count(&node, Count::In);
        self.spots.insert(name.clone(), (groups, spot));
        self.nodes.insert(name, node);
    }

    fn take_node(&mut self, name: &NodeName) -> Option<NodeView> {
        let node = self.nodes.remove(name)?;
        let (groups, spot) = self.spots.remove(name).unwrap_or_default();
        for group in &groups {
            if let Some(rooms) = self.rooms.get_mut(group) {
                rooms.remove(name, &spot);
                if rooms.len() == 0 {
                    self.rooms.remove(group);
                }
            }
        }
        for (label, value) in &node.info.labels {
            if let Some(values) = self.values.get_mut(label) {
                decrement(values, value);
                if values.is_empty() {
                    self.values.remove(label);
                }
            }
        }
        self.count(&node, Count::Out);
        Some(node)
    }

    /// Counts the sandboxes of a node in or out.
    fn count(&mut self, node: &NodeView, how: Count) {
        let name = &node.info.name;
        for placed in node.sandboxes.values() {
            let workload = self.workloads.entry(placed.workload).or_default();
            let priority = self.priorities.entry(placed.priority).or_default();
            match how {
                Count::In => {
                    *workload.entry(name.clone()).or_default() += 1;
                    *priority.entry(name.clone()).or_default() += 1;
                }
                Count::Out => {
                    decrement(workload, name);
                    decrement(priority, name);
                }
            }
            if workload.is_empty() {
                self.workloads.remove(&placed.workload);
            }
            if priority.is_empty() {
                self.priorities.remove(&placed.priority);
            }
        }
    }

    /// The nodes of a group, by how much is free on them.
    pub(crate) fn rooms(&self, group: &Group) -> Option<&Rooms> {
        self.rooms.get(group)
    }

    /// Where a node stands in the rooms of its groups.
    pub(crate) fn spot(&self, name: &NodeName) -> Option<&(Vec<Group>, Spot)> {
        self.spots.get(name)
    }

    /// The values that a label has on any node.
    pub(crate) fn values(&self, label: &Name) -> impl Iterator<Item = &Name> {
        self.values.get(label).into_iter().flat_map(BTreeMap::keys)
    }

    /// Nodes with sandboxes of a lower priority, those with the lowest first; some of them twice.
    pub(crate) fn holding_below(&self, priority: Priority) -> impl Iterator<Item = &NodeName> {
        self.priorities
            .range(..priority)
            .flat_map(|(_, nodes)| nodes.keys())
    }
}

#[derive(Debug, Clone, Copy)]
enum Count {
    In,
    Out,
}

/// Counts down to nothing.
fn decrement<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(key)),
    }
}

impl FromIterator<NodeView> for ClusterView {
    fn from_iter<T: IntoIterator<Item = NodeView>>(nodes: T) -> Self {
        let mut view = Self::new();
        for node in nodes {
            view.take_node(&node.info.name);
            view.put_node(node);
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::conformance::world::{node, node_name, placed_of, workload};
    use crate::workload::PlacementRules;
    use proptest::prelude::*;

    /// What the indexes of a view say, made anew from its nodes.
    fn anew(view: &ClusterView) -> ClusterView {
        view.nodes.values().cloned().collect()
    }

    proptest! {
        #[test]
        fn the_indexes_follow_every_change(
            changes in prop::collection::vec((0..4u8, 0..5u64, 0..6u128, 1..4u64, any::<bool>()), 0..60)
        ) {
            let mut view = ClusterView::new();
            for (kind, number, id, cores, open) in changes {
                let (name, id) = (node_name(number), SandboxId::from_u128(id));
                let priority = i32::try_from(cores).unwrap_or(0);
                let spec = workload(u128::from(cores), cores, PlacementRules::default(), priority);
                view.apply(&match kind {
                    0 => ClusterChange::Node(node(number, 4 * cores).info, open),
                    1 => ClusterChange::NodeGone(name),
                    2 => ClusterChange::Placed(name, id, placed_of(&spec)),
                    _ => ClusterChange::Freed(name, id),
                });
                prop_assert_eq!(format!("{:?}", view), format!("{:?}", anew(&view)));
            }
        }
    }

    #[test]
    fn values_that_no_node_has_are_forgotten() {
        let mut view: ClusterView = (0..3).map(|number| node(number, 4)).collect();
        let zone = Name::new("zone").unwrap();
        assert_eq!(view.values(&zone).count(), 3);
        view.apply(&ClusterChange::NodeGone(node_name(0)));
        assert_eq!(view.values(&zone).count(), 2);
    }
}
