//! What is heard of nodes: what they are, what runs there, and that they fell silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::Reason;
use faas_core::{Monotonic, NodeName, SandboxId};

use super::action::{Action, Stop};
use super::core::{Core, Stage, Workload};
use crate::agent::{ExitCause, NodeInfo, SandboxPhase, SandboxStatus};
use crate::scheduler::ClusterChange;

const ADOPTED: Reason = Reason::new("sandbox.adopted", "it was on {node} before we were");
const RETURNED: Reason = Reason::new("sandbox.returned", "its node {node} answers again");
const OUTDATED: Reason = Reason::new(
    "sandbox.outdated",
    "it is on {node}, and of a spec that is not the present one",
);

/// The sandboxes of a node on which nothing was under way when its list was asked for, and the
/// turn of each.
pub(super) type Settled = BTreeMap<SandboxId, u64>;

impl Core {
    pub(super) fn node(&mut self, info: NodeInfo, open: bool) {
        self.change(&ClusterChange::Node(Arc::new(info), open));
        self.wake_waiting();
    }

    /// A node is other than it was.
    pub(super) fn changed(&mut self, info: NodeInfo) {
        let known = self.cluster.node(&info.name);
        let open = known.is_some_and(|node| node.open);
        self.node(info, open);
    }

    /// A list is asked for: what it will be compared with. One at a time for each node.
    pub(super) fn listing(&mut self, node: &NodeName) -> Settled {
        self.lists.insert(node.clone(), BTreeSet::new());
        let placed = self.cluster.node(node).map(|node| &node.sandboxes);
        let ids = placed.into_iter().flatten().map(|(id, _)| *id);
        ids.filter_map(|id| {
            let sandbox = self.sandboxes.get(&id)?;
            matches!(sandbox.stage, Stage::In(_)).then_some((id, sandbox.turn))
        })
        .collect()
    }

    /// A sandbox is stopped: a list that is on its way may still show it.
    pub(super) fn buried(&mut self, id: SandboxId, node: &NodeName) {
        if let Some(buried) = self.lists.get_mut(node) {
            buried.insert(id);
        }
    }

    /// A node answers with its list, which was asked for when those of `expected` were settled.
    pub(super) fn heard(
        &mut self,
        info: NodeInfo,
        expected: &Settled,
        listed: Vec<SandboxStatus>,
        now: Monotonic,
    ) {
        let node = info.name.clone();
        let opens = !self.cluster.node(&node).is_some_and(|node| node.open);
        if opens || self.cluster.node(&node).map(|node| &*node.info) != Some(&info) {
            self.node(info, true);
        }
        let mut missing = expected.clone();
        let buried = self.lists.remove(&node).unwrap_or_default();
        for status in listed {
            if buried.contains(&status.id) {
                continue;
            }
            let turn = missing.remove(&status.id);
            match (&status.phase, self.sandboxes.contains_key(&status.id)) {
                (_, false) => self.found(status, &node),
                (SandboxPhase::Exited(cause), true) => self.exited(status.id, cause.clone(), now),
                (SandboxPhase::In(_), true) => self.compare(status, turn, now),
            }
        }
        for (id, turn) in missing {
            if self.sandboxes.get(&id).map(|found| found.turn) == Some(turn) {
                self.ended(id, ExitCause::Unknown, now);
            }
        }
        self.lost.remove(&node);
        if opens {
            let kept = self.cluster.node(&node).map(|node| &node.sandboxes);
            let kept = kept.into_iter().flatten().map(|(id, _)| *id).collect();
            self.actions.push(Action::Sweep(node, kept));
        }
    }

    /// Somebody else may have changed a sandbox's state: then it is brought back.
    fn compare(&mut self, status: SandboxStatus, turn: Option<u64>, now: Monotonic) {
        let (SandboxPhase::In(state), Some(sandbox)) =
            (&status.phase, self.sandboxes.get(&status.id))
        else {
            return;
        };
        if turn == Some(sandbox.turn) && sandbox.stage != Stage::In(*state) {
            let (id, state) = (status.id, *state);
            self.withdraw(id);
            self.arrived(id, state, status, now);
        }
    }

    /// A sandbox is listed that is not known: of an earlier life, of a node that was silent, or of
    /// nobody.
    fn found(&mut self, status: SandboxStatus, node: &NodeName) {
        let id = status.id;
        if self.strays.contains(&id) {
            return;
        }
        let missed = self.lost.get(node).is_some_and(|lost| lost.contains(&id));
        // What we made, and neither know nor lost, came to be when we had given it up already.
        let ours = missed || !self.ids.made(id);
        let known = self.workloads.get(&status.workload);
        let known = known.filter(|workload| !workload.removed && !self.closing);
        let (SandboxPhase::In(state), Some(workload), true) = (&status.phase, known, ours) else {
            self.stray(&status, node);
            return;
        };
        if workload.template.digest != status.digest {
            let reason = OUTDATED.with("node", node.as_str());
            self.record(id, None, vec![reason]);
            self.stray(&status, node);
            return;
        }
        let template = workload.template.clone();
        let reason = if missed { RETURNED } else { ADOPTED };
        self.place(id, node, template.clone(), Stage::Resuming(*state), None);
        self.record(id, None, vec![reason.with("node", node.as_str())]);
        self.dirty.insert(status.workload);
        self.actions
            .push(Action::Resume(status, node.clone(), template));
    }

    /// Has a sandbox stopped that nobody wants.
    fn stray(&mut self, status: &SandboxStatus, node: &NodeName) {
        self.strays.insert(status.id);
        let known = self.workloads.get(&status.workload);
        let spec = known.map(|workload: &Workload| &workload.template.sandbox);
        self.actions.push(Action::Stop(Stop {
            sandbox: status.id,
            node: node.clone(),
            grace: spec.map_or(Duration::ZERO, |spec| spec.grace),
            hook: spec.and_then(|spec| spec.hook.clone()),
            end: match &status.phase {
                SandboxPhase::Exited(cause) => cause.clone(),
                SandboxPhase::In(_) => ExitCause::Stopped,
            },
        }));
    }

    /// A node has been silent for too long: what is there is taken for gone, and replaced.
    pub(super) fn lose(&mut self, node: &NodeName, now: Monotonic) {
        let Some(view) = self.cluster.node(node) else {
            return;
        };
        let (info, ids): (_, Vec<_>) = (
            (*view.info).clone(),
            view.sandboxes.keys().copied().collect(),
        );
        self.node(info, false);
        for id in ids {
            self.lose_sandbox(id, node, now);
        }
    }

    fn lose_sandbox(&mut self, id: SandboxId, node: &NodeName, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        if matches!(sandbox.stage, Stage::Awaiting(_)) {
            return self.forget(id, now);
        }
        let kept = !sandbox.retired && sandbox.stage != Stage::Stopping;
        let hook = sandbox.template.sandbox.hook.clone();
        sandbox.told = None;
        if sandbox.replica.endpoint.take().is_some() {
            self.actions.push(Action::Name(node.clone(), id, None));
        }
        self.actions
            .extend(hook.map(|hook| Action::Release(hook, id)));
        self.tell_gone(id, ExitCause::NodeLost);
        self.forget(id, now);
        if kept {
            self.lost.entry(node.clone()).or_default().insert(id);
        }
    }
}
