//! Who must go so that a sandbox of higher priority has a place.

use std::cmp::Reverse;

use faas_core::{NodeName, Resources, SandboxId};

use super::{NodeView, PlacementRequest};
use crate::workload::Priority;

/// A way to make room; the least is the mildest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preemption {
    highest: Option<Priority>,
    count: usize,
    pub(super) node: NodeName,
    pub(super) victims: Vec<SandboxId>,
}

/// The fewest that must leave a node before it passes; `None` if that does not help.
pub(super) fn victims(
    request: &PlacementRequest,
    node: &NodeView,
    mut passes: impl FnMut(&NodeView) -> bool,
) -> Option<Preemption> {
    let mine = request.workload.priority;
    let mut lower: Vec<_> = node
        .sandboxes
        .iter()
        .filter(|(_, placed)| placed.priority < mine)
        .map(|(id, placed)| (placed.priority, *id))
        .collect();
    if lower.is_empty() {
        return None;
    }
    // Looked at before anything is copied: most nodes would not have the room even so.
    let leaving = lower.iter().filter_map(|(_, id)| node.sandboxes.get(id));
    let gained = leaving.fold(Resources::default(), |sum, placed| {
        sum.plus(&placed.resources)
    });
    let free = node
        .info
        .capacity
        .clone()
        .minus(&node.allocated)
        .plus(&gained);
    if !free.covers(&request.workload.sandbox.resources) {
        return None;
    }
    let mut left = node.clone();
    for (_, id) in &lower {
        left.free(*id);
    }
    if !passes(&left) {
        return None;
    }
    // Those of the highest priority are the first to be allowed to stay.
    lower.sort_by_key(|(priority, id)| (Reverse(*priority), *id));
    let mut gone = Vec::new();
    for (priority, id) in lower {
        let mut with = left.clone();
        if let Some(placed) = node.sandboxes.get(&id) {
            with.place(id, placed.clone());
        }
        if passes(&with) {
            left = with;
        } else {
            gone.push((priority, id));
        }
    }
    Some(Preemption {
        highest: gone.iter().map(|(priority, _)| *priority).max(),
        count: gone.len(),
        node: node.info.name.clone(),
        victims: gone.into_iter().map(|(_, id)| id).collect(),
    })
}
