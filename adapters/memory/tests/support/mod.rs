//! What several tests need.

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Description, Monotonic, PolicyContext, Result};
use faas_resource::ResourceScheduler;
use faas_resource::scheduler::{ClusterChange, ClusterView, Placement, PlacementRequest};

/// The first node with room; knows nothing of rules.
#[derive(Debug)]
pub(crate) struct FirstFit;

impl ResourceScheduler for FirstFit {
    fn observe(&mut self, _: &ClusterChange) {}
    fn schedule(
        &mut self,
        _: &mut PolicyContext,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
    ) -> Vec<Placement> {
        let mut taken: std::collections::BTreeMap<_, _> = cluster
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.allocated.clone()))
            .collect();
        let mut place = |request: &PlacementRequest| {
            let takes = &request.workload.sandbox.resources;
            for (name, node) in cluster.nodes.iter().filter(|(_, node)| node.open) {
                let after = taken[name].clone().plus(takes);
                if node.info.capacity.covers(&after) {
                    taken.insert(name.clone(), after);
                    return Placement::On {
                        node: name.clone(),
                        preempts: vec![],
                        reasons: vec![],
                    };
                }
            }
            Placement::Unschedulable {
                reasons: vec![Reason::new("test.full", "every node is full")],
                nodes: vec![],
            }
        };
        batch.iter().map(&mut place).collect()
    }
    fn wake_at(&self) -> Option<Monotonic> {
        None
    }
    fn save(&self) -> Bytes {
        Bytes::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("FirstFit")
    }
}
