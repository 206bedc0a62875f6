//! The filters that the scheduler's contract demands.

use faas_core::Name;
use faas_core::explain::Reason;

use super::scene::{Scene, label};
use super::{Filter, NodeView, PlacementRequest};
use crate::workload::Constraint;

pub(super) const CLOSED: Reason = Reason::new("placement.closed", "takes no more sandboxes");
const KIND: Reason = Reason::new("placement.kind", "does not run this kind of executable")
    .helped_by("add a node agent that runs it");
const STATE: Reason = Reason::new("placement.state", "cannot keep a sandbox {state}")
    .helped_by("add a node agent that can");
const ELSEWHERE: Reason = Reason::new("placement.elsewhere", "is not the node asked for");
const REACH: Reason = Reason::new("placement.reach", "offers no reach that the hook can use");
const TAINT: Reason = Reason::new("placement.taint", "has the taint {taint}")
    .helped_by("let the workload tolerate it");
pub(super) const ROOM: Reason = Reason::new(
    "placement.room",
    "has not the room: needs {needs}; free {free}",
)
.helped_by("add nodes, or ask for less");
const APART: Reason = Reason::new("placement.apart", "holds a workload to be apart from");
const NO_LABEL: Reason = Reason::new("placement.no_label", "has no label {label}");
const UNIQUE: Reason = Reason::new(
    "placement.unique",
    "{label} {value} has its replica already",
);
const CLUSTER: Reason = Reason::new("placement.cluster", "{label} is not {value}");
const GROUP_BY: Reason = Reason::new(
    "placement.group_by",
    "{label} {value} has more replicas than another value",
);
const LIKE: Reason = Reason::new("placement.like", "{label} is none of those allowed");
const UNLIKE: Reason = Reason::new("placement.unlike", "{label} is one of those excluded");
const MAX_PER: Reason = Reason::new(
    "placement.max_per",
    "{label} {value} has all of its {max} replicas",
);

/// Only nodes that are open.
#[derive(Debug, Clone, Copy)]
pub struct Open;
/// Only nodes that run the kind of executable.
#[derive(Debug, Clone, Copy)]
pub struct Kind;
/// Only nodes that offer the state that the sandbox is to be in.
#[derive(Debug, Clone, Copy)]
pub struct States;
/// Only the node that the request names, if it names one.
#[derive(Debug, Clone, Copy)]
pub struct Only;
/// Only nodes that offer a reach that the hook needs.
#[derive(Debug, Clone, Copy)]
pub struct Reachable;
/// Only nodes whose taints are tolerated.
#[derive(Debug, Clone, Copy)]
pub struct Taints;
/// Only where every [`Constraint`] holds. A node without the label fits `Unlike` alone.
#[derive(Debug, Clone, Copy)]
pub struct Constraints;
/// Not with workloads that one of the two wants to be apart from.
#[derive(Debug, Clone, Copy)]
pub struct Apart;
/// Only nodes with enough free of everything.
#[derive(Debug, Clone, Copy)]
pub struct Fit;

/// All of them, the cheapest first; what preemption may cure comes last.
pub fn all() -> Vec<Box<dyn Filter>> {
    vec![
        Box::new(Only),
        Box::new(Open),
        Box::new(Kind),
        Box::new(States),
        Box::new(Reachable),
        Box::new(Taints),
        Box::new(Constraints),
        Box::new(Apart),
        Box::new(Fit),
    ]
}

/// Whether a replica could go to a node if there were room and no other replica.
pub(super) fn could_ever(request: &PlacementRequest, node: &NodeView) -> bool {
    let mut constraints = request.workload.rules.constraints.iter();
    closed(node).is_none()
        && kind(request, node).is_none()
        && state(request, node).is_none()
        && reach(request, node).is_none()
        && taint(request, node).is_none()
        && constraints.all(|constraint| of_label(constraint, node).is_none())
}

fn closed(node: &NodeView) -> Option<Reason> {
    (!node.open).then_some(CLOSED)
}

fn kind(request: &PlacementRequest, node: &NodeView) -> Option<Reason> {
    let kind = request.workload.sandbox.executable.kind();
    (!node.info.executables.contains(&kind)).then_some(KIND)
}

fn state(request: &PlacementRequest, node: &NodeView) -> Option<Reason> {
    let state = || format!("{:?}", request.state).to_lowercase();
    let offered = node.info.states.contains(&request.state);
    (!offered).then(|| STATE.with("state", state()))
}

fn reach(request: &PlacementRequest, node: &NodeView) -> Option<Reason> {
    let needs = &request.reach;
    let offers = needs.iter().any(|kind| node.info.reach.contains(kind));
    (!needs.is_empty() && !offers).then_some(REACH)
}

fn taint(request: &PlacementRequest, node: &NodeView) -> Option<Reason> {
    let mut taints = node.info.taints.iter();
    let taint = taints.find(|taint| !request.workload.rules.tolerates.contains(*taint))?;
    Some(TAINT.with("taint", taint.as_str()))
}

/// What the label alone decides, whatever else is placed.
fn of_label(constraint: &Constraint, node: &NodeView) -> Option<Reason> {
    let value = |name: &Name| label(&node.info, name);
    let missing = |name: &Name| NO_LABEL.with("label", name.as_str());
    match constraint {
        Constraint::Unique(name) | Constraint::GroupBy(name) | Constraint::MaxPer(name, _) => {
            value(name).is_none().then(|| missing(name))
        }
        Constraint::Cluster(name, wanted) => {
            let reason = CLUSTER
                .with("label", name.as_str())
                .with("value", wanted.as_str());
            (value(name).as_ref() != Some(wanted)).then_some(reason)
        }
        Constraint::Like(name, allowed) => {
            let fits = value(name).is_some_and(|value| allowed.contains(&value));
            (!fits).then(|| LIKE.with("label", name.as_str()))
        }
        Constraint::Unlike(name, excluded) => {
            let fits = value(name).is_none_or(|value| !excluded.contains(&value));
            (!fits).then(|| UNLIKE.with("label", name.as_str()))
        }
    }
}

/// What depends on where the other replicas are: whether a value of the constraint's label takes
/// one more.
pub(super) fn of_count(
    constraint: &Constraint,
    request: &PlacementRequest,
    value: &Name,
    scene: &Scene<'_>,
) -> Option<Reason> {
    let (Constraint::Unique(name) | Constraint::GroupBy(name) | Constraint::MaxPer(name, _)) =
        constraint
    else {
        return None;
    };
    let tally = scene.tally(request.workload.id, name)?;
    let count = tally.replicas(value);
    let reason = match constraint {
        Constraint::Unique(_) if count > 0 => UNIQUE,
        Constraint::MaxPer(_, max) if count >= *max => MAX_PER.with("max", *max),
        Constraint::GroupBy(_) if count > tally.least() => GROUP_BY,
        _ => return None,
    };
    Some(
        reason
            .with("label", name.as_str())
            .with("value", value.as_str()),
    )
}

/// The label that a constraint counts by.
fn counted(constraint: &Constraint) -> Option<&Name> {
    match constraint {
        Constraint::Unique(name) | Constraint::GroupBy(name) | Constraint::MaxPer(name, _) => {
            Some(name)
        }
        _ => None,
    }
}

pub(super) fn room(request: &PlacementRequest, node: &NodeView) -> Option<Reason> {
    let needs = &request.workload.sandbox.resources;
    if node
        .info
        .capacity
        .covers(&node.allocated.clone().plus(needs))
    {
        return None;
    }
    let free = node.info.capacity.clone().minus(&node.allocated);
    let reason = ROOM.with("needs", needs.to_string());
    Some(reason.with("free", free.to_string()))
}

macro_rules! filters {
    ($($filter:ident($request:ident, $node:ident, $scene:pat) $refuses:expr;)*) => {$(
        impl Filter for $filter {
            fn refuses(
                &self,
                $request: &PlacementRequest,
                $node: &NodeView,
                $scene: &Scene<'_>,
            ) -> Option<Reason> {
                $refuses
            }
        }
    )*};
}
filters! {
    Open(_request, node, _) closed(node);
    Kind(request, node, _) kind(request, node);
    States(request, node, _) state(request, node);
    Only(request, node, _) {
        let elsewhere = |only: &faas_core::NodeName| *only != node.info.name;
        request.only.as_ref().is_some_and(elsewhere).then_some(ELSEWHERE)
    };
    Reachable(request, node, _) reach(request, node);
    Taints(request, node, _) taint(request, node);
    Constraints(request, node, scene) {
        let mut constraints = request.workload.rules.constraints.iter();
        constraints.find_map(|constraint| {
            of_label(constraint, node).or_else(|| {
                let value = label(&node.info, counted(constraint)?)?;
                of_count(constraint, request, &value, scene)
            })
        })
    };
    Apart(request, node, scene) {
        let own = request.workload.id;
        if !scene.has_apart() {
            return None;
        }
        let mut placed = node.sandboxes.values();
        placed.any(|other| scene.are_apart(own, other.workload)).then_some(APART)
    };
    Fit(request, node, _) room(request, node);
}
