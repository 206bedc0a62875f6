//! What is wanted against what is there.

use std::collections::BTreeMap;

use faas_core::{Error, HookName, Monotonic, NodeName, SandboxId, WorkloadId};

use super::core::{Core, Counts, Stage, Workload};
use crate::agent::SandboxState::{self, Created, Paused, Running};
use crate::hook::ReachKind;
use crate::scheduler::PlacementRequest;
use crate::workload::WorkloadEvent;

/// How often one piece of news is thought through at once.
const ROUNDS: usize = 8;

/// A replica that may stay.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: SandboxId,
    /// The state that it is in or comes to.
    state: SandboxState,
    /// Whether its node can pause it.
    pausable: bool,
}

/// The goals of a workload's replicas, and how many are missing in each state.
#[derive(Debug, Default)]
struct Goals {
    goals: BTreeMap<SandboxId, SandboxState>,
    missing: Counts,
}

impl Core {
    /// Compares, for each dirty workload, what is wanted with what is there, and decides what is
    /// to be done: what is there first, then one batch of placements. `reach` says what a hook
    /// needs.
    pub(super) fn reconcile(
        &mut self,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
    ) {
        if self.starting {
            return;
        }
        // Who is preempted is to be placed anew. A scheduler that has them preempt each other is
        // asked again later.
        for _ in 0..ROUNDS {
            if self.dirty.is_empty() {
                return;
            }
            let mut batch = Vec::new();
            for id in std::mem::take(&mut self.dirty) {
                self.converge(id, now, reach, &mut batch);
            }
            if !batch.is_empty() {
                // Who is preempted for whom is the scheduler's; who asks first gets what is free.
                batch.sort_by_key(|request| std::cmp::Reverse(request.workload.priority));
                self.place_batch(&batch, now);
            }
        }
    }

    fn converge(
        &mut self,
        id: WorkloadId,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
        batch: &mut Vec<PlacementRequest>,
    ) {
        let Some(workload) = self.workloads.get(&id) else {
            return;
        };
        if workload.removed && workload.replicas.is_empty() {
            self.content(id);
            self.workloads.remove(&id);
            self.tell(WorkloadEvent::Removed(id));
            return;
        }
        let goals = goals(self.wanted(workload), self.candidates(workload));
        let replicas: Vec<_> = workload.replicas.iter().copied().collect();
        for replica in replicas {
            if let Some(sandbox) = self.sandboxes.get_mut(&replica) {
                sandbox.goal = goals.goals.get(&replica).copied();
            }
            self.step(replica, now);
        }
        self.request(id, goals.missing, now, reach, batch);
    }

    /// Replicas of the present spec that are not bound to go, those to keep first: what runs, what
    /// will, then what is nearest to it; of equals the one that is there for longest.
    fn candidates(&self, workload: &Workload) -> Vec<Candidate> {
        let mut found: Vec<_> = workload
            .replicas
            .iter()
            .filter_map(|id| {
                let sandbox = self.sandboxes.get(id)?;
                let state = sandbox.stage.state()?;
                let current = sandbox.template.digest == workload.template.digest;
                if sandbox.retired || !current || sandbox.exit.is_some() {
                    return None;
                }
                let comes = !matches!(sandbox.stage, Stage::In(_));
                let order = (std::cmp::Reverse(state), comes, sandbox.since, *id);
                let pausable = self.offers_on(&sandbox.replica.node, Paused);
                let candidate = Candidate {
                    id: *id,
                    state,
                    pausable,
                };
                Some((order, candidate))
            })
            .collect();
        found.sort_unstable_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }

    fn offers_on(&self, node: &NodeName, state: SandboxState) -> bool {
        let node = self.cluster.node(node);
        node.is_some_and(|node| node.info.states.contains(&state))
    }

    /// Asks for places for what is missing, unless it has to wait.
    fn request(
        &mut self,
        id: WorkloadId,
        missing: Counts,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
        batch: &mut Vec<PlacementRequest>,
    ) {
        let Some(workload) = self.workloads.get_mut(&id) else {
            return;
        };
        workload.put_off = None;
        if missing == Counts::default() {
            return self.content(id);
        }
        if now < workload.not_before {
            workload.put_off = Some(workload.not_before);
            let message = match &workload.last_end {
                Some(end) => format!("{} in a row ended early, the last: {end}", workload.crashes),
                None => "the last ones ended early".to_owned(),
            };
            return self.wait(id, Error::unavailable("start replica", message));
        }
        let template = workload.template.clone();
        let bound = (template.workload.max as usize).saturating_sub(workload.replicas.len());
        let needs = template.sandbox.hook.as_ref().map(reach);
        let of = |state, count| std::iter::repeat_n(state, count);
        let states = of(Running, missing.running)
            .chain(of(Paused, missing.paused))
            .chain(of(Created, missing.created));
        for state in states.take(bound) {
            let mut request = PlacementRequest::new(self.ids.next(), template.workload.clone());
            request.state = state;
            request.reach = needs.clone().unwrap_or_default();
            request.avoid.clone_from(&workload.avoid);
            batch.push(request);
        }
    }
}

/// Gives each replica its goal, from the ones to keep first on: those to run are taken from what
/// runs, then from what is paused, then from what is created; what runs beyond that is paused
/// rather than stopped. Those without a goal go.
fn goals(wanted: Counts, candidates: Vec<Candidate>) -> Goals {
    let mut all = Goals::default();
    let mut left = candidates;
    let mut take =
        |left: &mut Vec<Candidate>, goal, count: usize, fits: &dyn Fn(&Candidate) -> bool| {
            let mut lacking = count;
            left.retain(|candidate| {
                let taken = lacking > 0 && fits(candidate);
                if taken {
                    lacking -= 1;
                    all.goals.insert(candidate.id, goal);
                }
                !taken
            });
            lacking
        };
    let is = |state| move |candidate: &Candidate| candidate.state == state;
    let running = take(&mut left, Running, wanted.running, &|_| true);
    let mut paused = take(&mut left, Paused, wanted.paused, &is(Paused));
    let runs_and_pausable = |c: &Candidate| c.state == Running && c.pausable;
    paused = take(&mut left, Paused, paused, &runs_and_pausable);
    let created = take(&mut left, Created, wanted.created, &is(Created));
    paused = take(&mut left, Paused, paused, &|c| {
        c.state == Created && c.pausable
    });
    all.missing = Counts {
        running,
        paused,
        created,
    };
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(states: &[SandboxState]) -> Vec<Candidate> {
        let numbered = (1u128..).zip(states);
        numbered
            .map(|(id, state)| Candidate {
                id: SandboxId::from_u128(id),
                state: *state,
                pausable: id != 3,
            })
            .collect()
    }

    fn plan(
        wanted: [usize; 3],
        states: &[SandboxState],
    ) -> (Vec<(u128, SandboxState)>, [usize; 3]) {
        let [running, paused, created] = wanted;
        let wanted = Counts {
            running,
            paused,
            created,
        };
        let Goals { goals, missing } = goals(wanted, candidates(states));
        let goals = goals.into_iter().map(|(id, state)| (id.as_u128(), state));
        let missing = [missing.running, missing.paused, missing.created];
        (goals.collect(), missing)
    }

    #[test]
    fn the_nearest_are_promoted_before_any_is_missing() {
        let there = [Running, Paused, Created, Created];
        let (goals, missing) = plan([4, 0, 1], &there);
        assert_eq!(
            goals,
            [(1, Running), (2, Running), (3, Running), (4, Running)]
        );
        assert_eq!(missing, [0, 0, 1]);
    }

    #[test]
    fn what_runs_too_much_is_paused_where_its_node_can() {
        let there = [Running, Running, Running, Running];
        let (goals, missing) = plan([1, 2, 0], &there);
        assert_eq!(goals, [(1, Running), (2, Paused), (4, Paused)]);
        assert_eq!(missing, [0, 0, 0]);
    }

    #[test]
    fn a_created_one_is_paused_only_if_none_is_wanted_created() {
        let there = [Created, Created];
        assert_eq!(
            plan([0, 1, 1], &there),
            (vec![(1, Created), (2, Paused)], [0, 0, 0])
        );
        assert_eq!(
            plan([0, 1, 2], &there),
            (vec![(1, Created), (2, Created)], [0, 1, 0])
        );
    }
}
