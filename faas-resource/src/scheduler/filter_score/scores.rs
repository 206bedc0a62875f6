//! Preferences among nodes.

use faas_core::Resources;

use super::scene::{Scene, label};
use super::{NodeView, PlacementRequest, Score};

/// Nodes with much free, so that load is even: Kubernetes' `LeastAllocated`.
#[derive(Debug, Clone, Copy)]
pub struct LeastAllocated;
/// Nodes with little free, so that others stay empty: Kubernetes' `MostAllocated`.
#[derive(Debug, Clone, Copy)]
pub struct BinPack;
/// Nodes with few replicas of the workload.
#[derive(Debug, Clone, Copy)]
pub struct Spread;
/// Nodes with the labels that the rules prefer: the share of them that it has.
#[derive(Debug, Clone, Copy)]
pub struct Prefers;
/// Nodes with the workloads that the rules want near: the share of them that it has.
#[derive(Debug, Clone, Copy)]
pub struct Near;

/// The share of processors and memory that is free with the sandbox there, as their mean.
fn free_with(request: &PlacementRequest, node: &NodeView) -> f64 {
    let Resources { cpu, memory, .. } = &node.info.capacity;
    let needs = &request.workload.sandbox.resources;
    let share = |capacity: u64, taken: u64, more: u64| {
        let free = capacity.saturating_sub(taken.saturating_add(more));
        free as f64 / capacity.max(1) as f64
    };
    let cpu = share(cpu.0, node.allocated.cpu.0, needs.cpu.0);
    let memory = share(memory.0, node.allocated.memory.0, needs.memory.0);
    f64::midpoint(cpu, memory)
}

/// The share of `all` that `has`; zero of nothing.
fn share(all: usize, has: usize) -> f64 {
    has as f64 / all.max(1) as f64
}

macro_rules! scores {
    ($($score:ident($request:ident, $node:ident, $scene:pat) $value:expr;)*) => {$(
        impl Score for $score {
            fn score(
                &self,
                $request: &PlacementRequest,
                $node: &NodeView,
                $scene: &Scene<'_>,
            ) -> f64 {
                $value
            }
        }
    )*};
}
scores! {
    LeastAllocated(request, node, _) free_with(request, node);
    BinPack(request, node, _) 1.0 - free_with(request, node);
    Spread(request, node, scene) {
        let here = scene.replicas(request.workload.id, &node.info.name);
        1.0 / (1.0 + f64::from(here))
    };
    Prefers(request, node, _) {
        let prefers = &request.workload.rules.prefers;
        let has = prefers.iter().filter(|(name, value)| {
            label(&node.info, name).as_ref() == Some(*value)
        });
        share(prefers.len(), has.count())
    };
    Near(request, node, scene) {
        let near = &request.workload.rules.near;
        let here = near.iter();
        let here = here.filter(|workload| scene.replicas(**workload, &node.info.name) > 0);
        share(near.len(), here.count())
    };
}
