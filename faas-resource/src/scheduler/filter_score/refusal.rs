//! Why no node takes a sandbox, over all nodes.

use faas_core::NodeName;
use faas_core::explain::Reason;

use super::Placement;

const NO_NODES: Reason =
    Reason::new("placement.no_nodes", "there is no node").helped_by("add a node agent");

/// The refusals of all nodes, counted by cause.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    nodes: Vec<(NodeName, Reason)>,
    causes: Vec<(usize, NodeName, Reason)>,
    all: usize,
}

impl Refusals {
    /// A node refuses.
    pub(super) fn add(&mut self, node: &NodeName, reason: Reason) {
        self.add_many(1, node, reason);
    }

    /// So many nodes refuse for one cause; this is one of them.
    pub(super) fn add_many(&mut self, count: usize, node: &NodeName, reason: Reason) {
        if count == 0 {
            return;
        }
        self.all += count;
        let mut causes = self.causes.iter_mut();
        match causes.find(|(_, _, first)| first.code == reason.code) {
            Some((known, ..)) => *known += count,
            None => self.causes.push((count, node.clone(), reason)),
        }
    }

    /// Why one of the first nodes refuses.
    pub(super) fn list(&mut self, node: &NodeName, reason: Reason) {
        self.nodes.push((node.clone(), reason));
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all
    }

    pub(super) fn into_placement(mut self) -> Placement {
        // What concerns most nodes is told first.
        self.causes
            .sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
        let all = self.all;
        let told = |(count, node, first): (usize, NodeName, Reason)| Reason {
            code: first.code,
            template: "{count} of {nodes} nodes refuse: {node}, for one, {why}",
            help: first.help,
            fields: vec![
                ("count", count.into()),
                ("nodes", all.into()),
                ("node", node.as_str().into()),
                ("why", first.to_string().into()),
            ],
        };
        let mut reasons: Vec<_> = self.causes.into_iter().map(told).collect();
        if reasons.is_empty() {
            reasons.push(NO_NODES);
        }
        Placement::Unschedulable {
            reasons,
            nodes: self.nodes,
        }
    }
}
