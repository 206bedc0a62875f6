//! Clusters and batches to ask schedulers about, and what is wrong with their answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::{
    ByteSize, HandlerName, Millicpu, Name, NodeName, Resources, SandboxId, SeededRandom, WorkloadId,
};

use crate::agent::NodeInfo;
use crate::scheduler::{ClusterView, NodeView, PlacedSandbox, Placement, PlacementRequest};
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
    NodeView {
        info: Arc::new(info),
        allocated: Resources::default(),
        sandboxes: BTreeMap::new(),
        open: true,
    }
}

/// The node, with its description changed.
#[must_use]
pub fn but(mut node: NodeView, change: impl FnOnce(&mut NodeInfo)) -> NodeView {
    change(Arc::make_mut(&mut node.info));
    node
}

/// A cluster of these nodes.
pub fn cluster(nodes: impl IntoIterator<Item = NodeView>) -> ClusterView {
    let named = |node: NodeView| (node.info.name.clone(), node);
    ClusterView {
        nodes: nodes.into_iter().map(named).collect(),
    }
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

/// Puts a sandbox onto a node.
pub fn put(node: &mut NodeView, id: SandboxId, spec: &WorkloadSpec) {
    let resources = spec.sandbox.resources.clone();
    node.allocated = std::mem::take(&mut node.allocated).plus(&resources);
    let placed = PlacedSandbox {
        workload: spec.id,
        resources,
        priority: spec.priority,
    };
    node.sandboxes.insert(id, placed);
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
    let mut cluster = cluster((0..1 + random.below(6)).map(|n| node(n, 2 + n % 4)));
    let mut ids = 0u128;
    for node in cluster.nodes.values_mut() {
        for spec in &specs {
            let after = node.allocated.clone().plus(&spec.sandbox.resources);
            if random.below(2) == 0 && node.info.capacity.covers(&after) {
                ids += 1;
                put(node, SandboxId::from_u128(ids), spec);
            }
        }
    }
    let batch = (0..random.below(12)).flat_map(|index| {
        let spec = &specs[usize::try_from(random.below(4)).unwrap_or(0)];
        replicas(spec, 1000 + u128::from(index), 1)
    });
    let batch = batch.collect();
    (cluster, batch)
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
        let node = after.nodes.get_mut(node).expect("a node of the cluster");
        for victim in preempts {
            let gone = node.sandboxes.remove(victim);
            let gone = gone.expect("who is preempted is on the node, and was there before");
            node.allocated = std::mem::take(&mut node.allocated).minus(&gone.resources);
        }
    }
    for (request, answer) in batch.iter().zip(answers) {
        if let Placement::On { node, .. } = answer {
            let node = after.nodes.get_mut(node).expect("a node of the cluster");
            put(node, request.sandbox, &request.workload);
        }
    }
    after
}

/// How many were placed.
pub fn placed(answers: &[Placement]) -> usize {
    let on = |answer: &&Placement| matches!(answer, Placement::On { .. });
    answers.iter().filter(on).count()
}
