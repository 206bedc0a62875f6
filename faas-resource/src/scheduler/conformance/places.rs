//! Where a scheduler puts sandboxes.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::{Name, SandboxId, WorkloadId};

use super::world::{
    but, carried_out, cluster, draw, name, node, node_name, placed, put, replicas, room, workload,
};
use super::{ClusterView, Fixture, Placement, ask};
use crate::agent::{NodeInfo, SandboxState};
use crate::hook::ReachKind;
use crate::spec::ExecutableKind;
use crate::workload::{Constraint, PlacementRules};

/// "With all its answers carried out (preempted sandboxes gone), no node holds more than its
/// capacity."
pub async fn never_overcommits(fixture: Fixture) {
    for seed in 0..200 {
        let (cluster, batch) = draw(seed);
        let answers = ask(&mut *fixture.fresh(), &cluster, &batch);
        let after = carried_out(&cluster, &batch, &answers);
        for node in after.nodes().values() {
            let fits = node.info.capacity.covers(&node.allocated);
            assert!(fits, "seed {seed}: {} on {:?}", node.allocated, node.info);
        }
    }
    let tight = cluster((0..3).map(|number| node(number, 2)));
    let batch = replicas(&workload(1, 1, PlacementRules::default(), 0), 1, 8);
    let answers = ask(&mut *fixture.fresh(), &tight, &batch);
    assert_eq!(placed(&answers), 6, "of eight cores on three nodes of two");
}

/// "A sandbox goes only to a node that is open, runs its kind of executable, offers the state that it
/// is to be in and a reach that it needs, and is the one that the request names, if it names one."
pub async fn respects_kind(fixture: Fixture) {
    let reach = |node| {
        but(node, |info| {
            info.reach = [ReachKind::Mount].into();
            info.states.insert(SandboxState::Paused);
        })
    };
    let other_kind = |info: &mut NodeInfo| {
        info.executables = [ExecutableKind::Image].into();
    };
    let mut closed = reach(node(0, 64));
    closed.open = false;
    let other = but(reach(node(1, 64)), other_kind);
    let deaf = but(reach(node(2, 64)), |info| {
        info.reach = [ReachKind::Pod].into()
    });
    let right = reach(node(3, 1));
    let restless = but(reach(node(4, 64)), |info| {
        info.states = [SandboxState::Running].into();
    });
    let cluster = cluster([closed, other, deaf, right, restless]);
    let mut batch = replicas(&workload(1, 1, PlacementRules::default(), 0), 1, 2);
    for request in &mut batch {
        request.reach = vec![ReachKind::Loopback, ReachKind::Mount];
        request.state = SandboxState::Paused;
    }
    let answers = ask(&mut *fixture.fresh(), &cluster, &batch);
    for answer in &answers {
        if let Placement::On { node, .. } = answer {
            assert_eq!(*node, node_name(3), "{answers:?}");
        }
    }
    assert_eq!(
        placed(&answers),
        1,
        "one node suits, and it has room for one"
    );
    only_there(&fixture);
}

/// Each to the node that its request names, whatever else there is.
fn only_there(fixture: &Fixture) {
    let cluster = cluster((0..6).map(|number| node(number, 1 + number)));
    for number in 0..7 {
        let mut batch = replicas(&workload(1, 1, PlacementRules::default(), 0), 1, 2);
        for request in &mut batch {
            request.only = Some(node_name(number));
        }
        for answer in ask(&mut *fixture.fresh(), &cluster, &batch) {
            match answer {
                Placement::On { node, .. } => assert_eq!(node, node_name(number)),
                Placement::Unschedulable { .. } => {
                    assert!(number == 0 || number == 6, "node {number} has room");
                }
            }
        }
    }
}

/// "A sandbox goes to a node that its request says to avoid only if no other takes it."
pub async fn avoids_failures(fixture: Fixture) {
    let cluster = cluster((0..4).map(|number| node(number, 2)));
    let mut batch = replicas(&workload(1, 1, PlacementRules::default(), 0), 1, 8);
    let avoid: BTreeSet<_> = [0, 1, 3].map(node_name).into();
    for request in &mut batch {
        request.avoid.clone_from(&avoid);
    }
    let answers = ask(&mut *fixture.fresh(), &cluster, &batch);
    let mut nodes = answers.iter().map(|answer| match answer {
        Placement::On { node, .. } => node.clone(),
        refused @ Placement::Unschedulable { .. } => panic!("there is room: {refused:?}"),
    });
    let first: Vec<_> = nodes.by_ref().take(2).collect();
    assert_eq!(first, [node_name(2), node_name(2)], "{answers:?}");
    assert!(nodes.all(|node| avoid.contains(&node)), "{answers:?}");
}

/// "Every constraint, taint and `apart` rule holds after the batch."
pub async fn respects_rules(fixture: Fixture) {
    let zone = || name("zone");
    let only = |zone: &str| [name(zone)].into();
    let most = |counts: &BTreeMap<Name, usize>| counts.values().copied().max().unwrap_or(0);
    let place = |constraint| by_zone(&fixture, constraint);

    let unique = place(Constraint::Unique(zone()));
    assert!(
        most(&unique) <= 1 && unique.len() == 3,
        "unique: {unique:?}"
    );
    let like = place(Constraint::Like(zone(), only("zone-1")));
    assert!(like.keys().eq([&name("zone-1")]), "like: {like:?}");
    let cluster = place(Constraint::Cluster(zone(), name("zone-2")));
    assert!(cluster.keys().eq([&name("zone-2")]), "cluster: {cluster:?}");
    let unlike = place(Constraint::Unlike(zone(), only("zone-0")));
    assert!(!unlike.contains_key(&name("zone-0")), "unlike: {unlike:?}");
    let most_two = place(Constraint::MaxPer(zone(), 2));
    assert!(
        most(&most_two) == 2 && most_two.len() == 3,
        "max_per: {most_two:?}"
    );
    let grouped = place(Constraint::GroupBy(zone()));
    let least = grouped.values().copied().min().unwrap_or(0);
    assert!(
        grouped.len() == 3 && most(&grouped) - least <= 1,
        "group_by: {grouped:?}"
    );
    taints(&fixture);
    apart(&fixture);
}

/// How many of seven replicas each zone gets; zone 0 has most of the room.
fn by_zone(fixture: &Fixture, constraint: Constraint) -> BTreeMap<Name, usize> {
    let cluster = cluster((0..9).map(|number| node(number, if number % 3 == 0 { 64 } else { 3 })));
    let mut rules = PlacementRules::default();
    rules.constraints.push(constraint);
    let batch = replicas(&workload(1, 1, rules, 0), 1, 7);
    let mut counts = BTreeMap::new();
    for answer in ask(&mut *fixture.fresh(), &cluster, &batch) {
        if let Placement::On { node, .. } = answer {
            let zone = &cluster.nodes()[&node].info.labels[&name("zone")];
            *counts.entry(zone.clone()).or_default() += 1;
        }
    }
    counts
}

fn taints(fixture: &Fixture) {
    let marked = but(node(0, 64), |info| {
        info.taints = [name("gpu"), name("old")].into()
    });
    let cluster = cluster([marked]);
    let tolerating = |tolerates: &[&str]| {
        let rules = PlacementRules {
            tolerates: tolerates.iter().copied().map(name).collect(),
            ..PlacementRules::default()
        };
        let batch = replicas(&workload(1, 1, rules, 0), 1, 1);
        placed(&ask(&mut *fixture.fresh(), &cluster, &batch))
    };
    assert_eq!(
        tolerating(&["gpu"]),
        0,
        "one of two taints is not tolerated"
    );
    assert_eq!(tolerating(&["gpu", "old"]), 1, "both taints are tolerated");
}

fn apart(fixture: &Fixture) {
    let loner = WorkloadId::from_u128(1);
    let rules = PlacementRules {
        apart: [WorkloadId::from_u128(2)].into(),
        ..PlacementRules::default()
    };
    let shy = workload(1, 1, rules, 0);
    let other = workload(2, 1, PlacementRules::default(), 0);
    let mut batch = replicas(&other, 10, 3);
    batch.splice(1..1, replicas(&shy, 1, 2));
    let cluster = cluster((0..2).map(|number| node(number, 8)));
    let answers = ask(&mut *fixture.fresh(), &cluster, &batch);
    let after = carried_out(&cluster, &batch, &answers);
    for node in after.nodes().values() {
        let has = |id| node.sandboxes.values().any(|placed| placed.workload == id);
        let together = has(loner) && has(WorkloadId::from_u128(2));
        assert!(!together, "apart, but both on {}", node.info.name);
    }
}

/// "Whoever is preempted has a lower priority than whom it makes room for."
pub async fn preempts_only_lower(fixture: Fixture) {
    for seed in 0..200 {
        let (cluster, batch) = draw(seed);
        only_lower(&fixture, &cluster, &batch);
    }
    let mut full = node(0, 3);
    for (id, priority) in [(1, 0), (2, 5), (3, 9)] {
        let spec = workload(id, 1, PlacementRules::default(), priority);
        put(&mut full, SandboxId::from_u128(id), &spec);
    }
    assert_eq!(full.allocated, room(3));
    let batch = replicas(&workload(9, 1, PlacementRules::default(), 5), 100, 2);
    only_lower(&fixture, &cluster([full]), &batch);
}

fn only_lower(fixture: &Fixture, cluster: &ClusterView, batch: &[super::PlacementRequest]) {
    let answers = ask(&mut *fixture.fresh(), cluster, batch);
    for (request, answer) in batch.iter().zip(&answers) {
        let Placement::On { node, preempts, .. } = answer else {
            continue;
        };
        for victim in preempts {
            let victim = cluster.nodes()[node].sandboxes.get(victim);
            let victim = victim.expect("who is preempted was on the node before");
            let lower = victim.priority < request.workload.priority;
            assert!(lower, "{victim:?} went for {:?}", request.workload.priority);
        }
    }
}
