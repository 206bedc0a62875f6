//! Where it is worth looking: of what the request asks for, that which the fewest nodes have.

use std::collections::BTreeSet;

use faas_core::{Name, NodeName};

use super::scene::Scene;
use super::{PlacementRequest, filters};
use crate::agent::SandboxState;
use crate::scheduler::{ClusterView, Group, Rooms};
use crate::workload::Constraint;

/// All nodes that are in one of some groups; the others are refused.
#[derive(Debug)]
pub(super) struct Domain<'a> {
    rooms: Vec<(Group, &'a Rooms)>,
}

impl<'a> Domain<'a> {
    /// The smallest that holds every node which the request can go to.
    pub(super) fn of(request: &PlacementRequest, scene: &Scene<'a>) -> Self {
        let cluster = scene.cluster();
        let asked = asked_for(request).into_iter().map(|group| vec![group]);
        let constraints = request.workload.rules.constraints.iter();
        let constrained = constraints.filter_map(|constraint| of(constraint, request, scene));
        let all = vec![Group::All];
        let domains = std::iter::once(all).chain(asked).chain(constrained);
        let domains = domains.map(|groups| Self::over(cluster, groups));
        let smallest = domains.min_by_key(Self::len);
        smallest.unwrap_or(Self { rooms: Vec::new() })
    }

    fn over(cluster: &'a ClusterView, groups: Vec<Group>) -> Self {
        let rooms = groups.into_iter();
        let rooms = rooms.filter_map(|group| Some((group.clone(), cluster.rooms(&group)?)));
        Self {
            rooms: rooms.collect(),
        }
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &'a Rooms> + '_ {
        self.rooms.iter().map(|(_, rooms)| *rooms)
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.rooms().map(Rooms::len).sum()
    }

    /// Whether it has a node.
    pub(super) fn has(&self, cluster: &ClusterView, node: &NodeName) -> bool {
        let groups = cluster.spot(node).map(|(groups, _)| groups);
        groups.is_some_and(|groups| self.rooms.iter().any(|(group, _)| groups.contains(group)))
    }
}

/// The groups of the nodes that could take it, as far as one value decides.
fn asked_for(request: &PlacementRequest) -> Vec<Group> {
    let spec = &request.workload.sandbox;
    let mut groups = vec![Group::Kind(spec.executable.kind())];
    if request.state != SandboxState::Running {
        groups.push(Group::State(request.state));
    }
    if let [reach] = request.reach[..] {
        groups.push(Group::Reach(reach));
    }
    if request.workload.rules.tolerates.is_empty() {
        groups.push(Group::Untainted);
    }
    let counted = spec.resources.extended.iter();
    let counted = counted.filter(|(_, amount)| **amount > 0);
    groups.extend(counted.map(|(name, _)| Group::Extended(name.clone())));
    groups
}

/// The groups that a constraint leaves; `None` where their number would be that of the nodes.
fn of(
    constraint: &Constraint,
    request: &PlacementRequest,
    scene: &Scene<'_>,
) -> Option<Vec<Group>> {
    let group = |label: &Name, value: &Name| Group::Label(label.clone(), value.clone());
    match constraint {
        Constraint::Cluster(label, _)
        | Constraint::Like(label, _)
        | Constraint::Unlike(label, _)
        | Constraint::Unique(label)
        | Constraint::GroupBy(label)
        | Constraint::MaxPer(label, _)
            if label.as_str() == "node" =>
        {
            None
        }
        Constraint::Cluster(label, value) => Some(vec![group(label, value)]),
        Constraint::Like(label, values) => {
            Some(values.iter().map(|value| group(label, value)).collect())
        }
        // A node without the label fits, too.
        Constraint::Unlike(..) => None,
        Constraint::Unique(label) | Constraint::GroupBy(label) | Constraint::MaxPer(label, _) => {
            let values: BTreeSet<_> = scene.cluster().values(label).collect();
            let takes =
                |value: &&Name| filters::of_count(constraint, request, value, scene).is_none();
            let left = values.into_iter().filter(takes);
            Some(left.map(|value| group(label, value)).collect())
        }
    }
}
