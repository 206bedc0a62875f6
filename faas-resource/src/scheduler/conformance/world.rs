//! Clusters and batches to ask schedulers about, and what is wrong with their answers.

use std::sync::Arc;

use faas_core::{
    ByteSize, HandlerName, Millicpu, Name, NodeName, Resources, SandboxId, SeededRandom, WorkloadId,
};

use crate::agent::NodeInfo;
use crate::scheduler::{
    ClusterChange, ClusterView, NodeView, PlacedSandbox, Placement, PlacementRequest,
};
use crate::spec::{Executable, ExecutableKind, SandboxSpec};
use crate::workload::{PlacementRules, Priority, WorkloadSpec};

/// A name that is valid.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

/// The name of the node with that number.
pub fn node_name(number: u64) -> NodeName {
    NodeName::new(format!("node-{number:04}")).expect("a valid name")
}

/// So many processors, and as many GiB.
pub fn room(cores: u64) -> Resources {
    Resources::new(Millicpu::cores(cores), ByteSize::gib(cores))
}

/// An empty, open node that runs handlers, in zone `zone-<number mod 3>`.
pub fn node(number: u64, cores: u64) -> NodeView {
    let mut info = NodeInfo::new(node_name(number), room(cores), ExecutableKind::Handler);
    let zone = name(&format!("zone-{}", number % 3));
    info.labels.insert(name("zone"), zone);
    NodeView::new(Arc::new(info), true)
}

/// The node, with its description changed.
#[must_use]
pub fn but(mut node: NodeView, change: impl FnOnce(&mut NodeInfo)) -> NodeView {
    change(Arc::make_mut(&mut node.info));
    node
}

/// A cluster of these nodes.
pub fn cluster(nodes: impl IntoIterator<Item = NodeView>) -> ClusterView {
    nodes.into_iter().collect()
}

/// A workload of handlers that take so many cores each.
pub fn workload(number: u128, cores: u64, rules: PlacementRules, priority: i32) -> WorkloadSpec {
    let handler = HandlerName::new("handler").expect("a valid name");
    let mut sandbox = SandboxSpec::new(Executable::Handler(handler));
    sandbox.resources = room(cores);
    let mut spec = WorkloadSpec::new(WorkloadId::from_u128(number), sandbox);
    spec.rules = rules;
    spec.priority = Priority(priority);
    spec
}

/// Requests for so many replicas, whose sandboxes are numbered from `first`.
pub fn replicas(spec: &WorkloadSpec, first: u128, count: u128) -> Vec<PlacementRequest> {
    let spec = Arc::new(spec.clone());
    (first..first + count)
        .map(|id| PlacementRequest::new(SandboxId::from_u128(id), spec.clone()))
        .collect()
}

/// A replica of a workload, in its place.
pub fn placed_of(spec: &WorkloadSpec) -> PlacedSandbox {
    PlacedSandbox {
        workload: spec.id,
        resources: spec.sandbox.resources.clone(),
        priority: spec.priority,
    }
}

/// Puts a sandbox onto a node.
pub fn put(node: &mut NodeView, id: SandboxId, spec: &WorkloadSpec) {
    node.place(id, placed_of(spec));
}

/// A cluster with some load and a batch for it, both drawn from a seed.
pub fn draw(seed: u64) -> (ClusterView, Vec<PlacementRequest>) {
    let mut random = SeededRandom::new(seed);
    let specs: Vec<_> = (0..4u128)
        .map(|number| {
            let cores = 1 + random.below(3);
            let priority = i32::try_from(random.below(3)).unwrap_or(0);
            workload(number, cores, PlacementRules::default(), priority)
        })
        .collect();
    let mut ids = 0u128;
    let nodes: Vec<_> = (0..1 + random.below(6))
        .map(|number| {
            let mut node = node(number, 2 + number % 4);
            for spec in &specs {
                let after = node.allocated.clone().plus(&spec.sandbox.resources);
                if random.below(2) == 0 && node.info.capacity.covers(&after) {
                    ids += 1;
                    put(&mut node, SandboxId::from_u128(ids), spec);
                }
            }
            node
        })
        .collect();
    let batch = (0..random.below(12)).flat_map(|index| {
        let spec = &specs[usize::try_from(random.below(4)).unwrap_or(0)];
        replicas(spec, 1000 + u128::from(index), 1)
    });
    let batch = batch.collect();
    (cluster(nodes), batch)
}

/// The cluster with all answers carried out.
///
/// # Panics
/// If an answer names a node or a victim that does not exist.
#[must_use]
pub fn carried_out(
    cluster: &ClusterView,
    batch: &[PlacementRequest],
    answers: &[Placement],
) -> ClusterView {
    let mut after = cluster.clone();
    for answer in answers {
        let Placement::On { node, preempts, .. } = answer else {
            continue;
        };
        let known = after.node(node).expect("a node of the cluster");
        let there = |victim| known.sandboxes.contains_key(victim);
        let all = preempts.iter().all(there);
        assert!(all, "who is preempted is on the node, and was there before");
        for victim in preempts {
            after.apply(&ClusterChange::Freed(node.clone(), *victim));
        }
    }
    for (request, answer) in batch.iter().zip(answers) {
        if let Placement::On { node, .. } = answer {
            assert!(after.node(node).is_some(), "a node of the cluster");
            let placed = placed_of(&request.workload);
            let change = ClusterChange::Placed(node.clone(), request.sandbox, placed);
            after.apply(&change);
        }
    }
    after
}

/// How many were placed.
pub fn placed(answers: &[Placement]) -> usize {
    let on = |answer: &&Placement| matches!(answer, Placement::On { .. });
    answers.iter().filter(on).count()
}
