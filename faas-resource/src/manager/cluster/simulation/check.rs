//! What must hold at every moment, and when all has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::{Resources, SandboxId};

use super::world::World;
use crate::agent::SandboxPhase;
use crate::manager::cluster::action::Action;
use crate::manager::cluster::core::{Core, Counts, Stage};

impl World {
    pub(super) fn check(&self) {
        self.accounts();
        self.one_thing_at_a_time();
        self.no_more_than_wanted();
        self.told_in_order();
    }

    /// What nodes are taken to hold is what their sandboxes take, and no more than they have.
    fn accounts(&self) {
        for (name, view) in self.core.cluster.nodes() {
            let there = self.core.sandboxes.iter();
            let there = there.filter(|(_, sandbox)| sandbox.replica.node == *name);
            let taken = there
                .clone()
                .fold(Resources::default(), |sum, (_, sandbox)| {
                    sum.plus(&sandbox.template.sandbox.resources)
                });
            assert_eq!(view.allocated, taken, "the account of {name}");
            let ids: BTreeSet<_> = there.clone().map(|(id, _)| *id).collect();
            assert!(view.sandboxes.keys().copied().eq(ids), "who is on {name}");
            // Those who wait for others to leave hold nothing yet.
            let started = there.filter(|(_, sandbox)| !matches!(sandbox.stage, Stage::Awaiting(_)));
            let held = started.fold(Resources::default(), |sum, (_, sandbox)| {
                sum.plus(&sandbox.template.sandbox.resources)
            });
            assert!(view.info.capacity.covers(&held), "{name} holds {held}");
        }
        for (id, sandbox) in &self.core.sandboxes {
            let workload = self.core.workloads.get(&sandbox.workload());
            let known = workload.is_some_and(|workload| workload.replicas.contains(id));
            assert!(known, "{id} is of no workload: {sandbox:?}");
        }
    }

    fn one_thing_at_a_time(&self) {
        let mut seen = BTreeSet::new();
        for action in &self.pending {
            let id = sandbox_of(action);
            assert!(seen.insert(id), "two things at once for {id}");
            if let Some(sandbox) = self.core.sandboxes.get(&id) {
                let fits = match (action, sandbox.stage) {
                    (Action::Move(to), Stage::Moving(state)) => to.to == state,
                    (Action::Resume(..), Stage::Resuming(_))
                    | (Action::Stop(_), Stage::Stopping) => true,
                    _ => false,
                };
                assert!(fits, "{action:?} in {:?}", sandbox.stage);
            }
        }
        for (id, sandbox) in &self.core.sandboxes {
            let idle = match sandbox.stage {
                Stage::In(_) | Stage::Assigning(_) => true,
                Stage::Awaiting(_) => {
                    let leaves = |id| self.core.making_room.contains_key(id);
                    !sandbox.room.is_empty() && sandbox.room.iter().all(leaves)
                }
                _ => false,
            };
            assert!(
                idle || seen.contains(id),
                "nobody works on {id}: {sandbox:?}"
            );
        }
    }

    /// In each state no more replicas are to stay than are wanted.
    fn no_more_than_wanted(&self) {
        for (id, workload) in &self.core.workloads {
            if self.core.dirty.contains(id) {
                continue;
            }
            let wanted = self.core.wanted(workload);
            let staying = goals(&self.core, workload.replicas.iter());
            assert!(
                staying.running <= wanted.running,
                "{staying:?} of {wanted:?}"
            );
            assert!(staying.paused <= wanted.paused, "{staying:?} of {wanted:?}");
            assert!(
                staying.created <= wanted.created,
                "{staying:?} of {wanted:?}"
            );
        }
    }

    /// A replica that was ready is told to retire or be gone before anything else of it; and what is
    /// gone is so for ever, unless its node or its workload came back.
    fn told_in_order(&self) {
        for ((id, workload), told) in &self.told {
            let fits = |pair: &[&str]| match pair {
                ["ready", next] => ["retiring", "gone"].contains(next),
                ["pooled", next] => ["pooled", "ready", "gone"].contains(next),
                ["retiring", next] => ["pooled", "ready", "gone"].contains(next),
                // Lost with its node, or assigned away, and back.
                ["gone", next] => ["pooled", "ready", "gone"].contains(next),
                _ => true,
            };
            assert!(told.windows(2).all(fits), "{id} of {workload}: {told:?}");
        }
    }

    /// At rest all that is wanted is there, or it is said what keeps it; and nothing else is left.
    pub(super) fn check_converged(&self) {
        let core = &self.core;
        assert!(core.strays.is_empty() && core.making_room.is_empty() && core.lost.is_empty());
        for (id, workload) in &core.workloads {
            assert!(!workload.removed, "{id} is not removed");
            let wanted = core.wanted(workload);
            let there = goals(core, workload.replicas.iter());
            let complete = there == wanted;
            assert!(
                complete || workload.waiting.is_some(),
                "{there:?} of {wanted:?}, and nobody says why"
            );
            assert!(
                !complete || workload.waiting.is_none(),
                "it waits for nothing"
            );
        }
        assert!(
            core.waiting
                .iter()
                .all(|id| core.workloads[id].waiting.is_some())
        );
        let mut real = BTreeMap::new();
        for (name, node) in &self.nodes {
            assert!(core.cluster.nodes()[name].open, "{name} is closed");
            real.extend(node.sandboxes.iter().map(|(id, status)| (*id, status)));
        }
        assert!(
            real.keys().eq(core.sandboxes.keys()),
            "what is there is not what is known"
        );
        for (id, sandbox) in &core.sandboxes {
            let status = real[id];
            assert_eq!(status.workload, sandbox.workload());
            assert_eq!(
                status.digest,
                self.digest(sandbox.workload()),
                "{id} is outdated"
            );
            let Stage::In(state) = sandbox.stage else {
                panic!("{id} is {:?}", sandbox.stage);
            };
            assert_eq!(status.phase, SandboxPhase::In(state));
            assert_eq!(sandbox.told, Some(state), "nobody was told");
        }
        self.no_room_for_those_who_wait();
    }

    /// Who waits for a running replica, and is within its bound, would fit on no node.
    fn no_room_for_those_who_wait(&self) {
        for workload in self.core.workloads.values() {
            let wanted = self.core.wanted(workload);
            let there = goals(&self.core, workload.replicas.iter());
            if there.running >= wanted.running {
                continue;
            }
            let needs = &workload.template.sandbox.resources;
            for (name, view) in self.core.cluster.nodes() {
                let after = view.allocated.clone().plus(needs);
                let fits = view.info.capacity.covers(&after);
                assert!(!fits, "{needs} would fit on {name}");
            }
        }
    }
}

fn sandbox_of(action: &Action) -> SandboxId {
    match action {
        Action::Move(to) => to.sandbox,
        Action::Resume(status, ..) => status.id,
        Action::Stop(stop) => stop.sandbox,
        other => panic!("{other:?} is not under way"),
    }
}

/// How many are to stay, by the state that they are to be in.
fn goals<'a>(core: &Core, replicas: impl Iterator<Item = &'a SandboxId>) -> Counts {
    let mut counts = Counts::default();
    for id in replicas {
        let sandbox = &core.sandboxes[id];
        let stays = !sandbox.retired && sandbox.stage != Stage::Stopping;
        if let Some(state) = sandbox.goal.filter(|_| stays) {
            *counts.of(state) += 1;
        }
    }
    counts
}
