//! [`FairShare`]: each namespace its part, and the urgent first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Component, Description, Namespace, Result, TaskId};
use serde::{Deserialize, Serialize};

use super::learned::pairs;
use super::{ReadyTask, Schedule, SchedulerChange, SchedulerContext, TaskStart, WorkflowScheduler};

const TURN: Reason = Reason::new(
    "task.fair_share",
    "it was the turn of {namespace}: {running} of its tasks run, its weight is {weight}; \
     {task} has priority {priority} and waited {waited}",
);

/// The weight of a namespace that none was given.
const WEIGHT: u32 = 100;

/// What a namespace waits for, and how well it does.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Share {
    running: u64,
    /// When it got its last turn, counted in turns.
    served: u64,
    /// By urgency, then by arrival.
    ready: BTreeMap<(Reverse<i32>, u64), ReadyTask>,
}

/// Among the namespaces: first (if told to) those with the most urgent task, then those of which
/// the fewest tasks run for their weight, then those whose last turn is longest ago.
type Turn = (Reverse<i32>, u64, u64, Namespace);

/// Shares the engine's room between namespaces in proportion to their weights (100 unless said
/// otherwise), by the number of their tasks that run: who has the least for its weight is next, so
/// that one namespace's million tasks do not keep another's single one waiting (max-min fairness, as
/// in Ghodsi et al.: Dominant Resource Fairness, NSDI 2011, for one resource). Within a namespace
/// tasks of greater priority go first, then older ones.
#[derive(Debug, Default)]
pub struct FairShare {
    weights: HashMap<Namespace, u32>,
    priority_first: bool,
    shares: HashMap<Namespace, Share>,
    turns: BTreeSet<Turn>,
    places: HashMap<TaskId, (Namespace, Reverse<i32>, u64)>,
    running: HashMap<TaskId, Namespace>,
    arrived: u64,
    served: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(with = "pairs")]
    running: HashMap<TaskId, Namespace>,
    /// When each namespace had its last turn.
    #[serde(with = "pairs")]
    served: HashMap<Namespace, u64>,
    ready: Vec<ReadyTask>,
}

impl Stored for Saved {
    const KIND: &'static str = "fair-share-scheduler";
    const VERSION: u32 = 1;
}

impl FairShare {
    /// Every namespace alike; priorities count within each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a namespace another weight than 100; 0 counts as 1.
    #[must_use]
    pub fn weight(mut self, namespace: Namespace, weight: u32) -> Self {
        self.weights.insert(namespace, weight.max(1));
        self
    }

    /// Lets priorities count across namespaces: the most urgent task of all goes first, and shares
    /// decide between equals. For a platform whose tenants trust each other.
    #[must_use]
    pub fn priority_first(self) -> Self {
        Self {
            priority_first: true,
            ..self
        }
    }

    fn weight_of(&self, namespace: &Namespace) -> u32 {
        self.weights.get(namespace).copied().unwrap_or(WEIGHT)
    }

    fn turn(&self, namespace: &Namespace) -> Option<Turn> {
        let share = self.shares.get(namespace)?;
        let (urgency, _) = *share.ready.first_key_value()?.0;
        let urgency = if self.priority_first {
            urgency
        } else {
            Reverse(0)
        };
        let weight = u64::from(self.weight_of(namespace));
        // In fixed point: the same on every machine.
        let load = (share.running << 32) / weight;
        Some((urgency, load, share.served, namespace.clone()))
    }

    /// Changes a share, and its place among the turns with it.
    fn change<T>(&mut self, namespace: &Namespace, change: impl FnOnce(&mut Share) -> T) -> T {
        if let Some(turn) = self.turn(namespace) {
            self.turns.remove(&turn);
        }
        let share = self.shares.entry(namespace.clone()).or_default();
        let changed = change(share);
        if share.running == 0 && share.ready.is_empty() {
            // Who comes back later comes as a stranger: nothing grows with those who are gone.
            self.shares.remove(namespace);
        }
        self.turns.extend(self.turn(namespace));
        changed
    }

    fn take_in(&mut self, task: ReadyTask) {
        self.arrived += 1;
        let place = (Reverse(task.priority), self.arrived);
        let namespace = task.namespace.clone();
        self.places
            .insert(task.id, (namespace.clone(), place.0, place.1));
        self.change(&namespace, |share| share.ready.insert(place, task));
    }

    fn forget(&mut self, id: TaskId) {
        if let Some((namespace, urgency, arrived)) = self.places.remove(&id) {
            self.change(&namespace, |share| share.ready.remove(&(urgency, arrived)));
        }
    }

    fn runs(&mut self, id: TaskId, namespace: &Namespace) {
        self.forget(id);
        if self.running.insert(id, namespace.clone()).is_none() {
            self.change(namespace, |share| share.running += 1);
        }
    }

    fn runs_no_more(&mut self, id: TaskId) {
        if let Some(namespace) = self.running.remove(&id) {
            self.change(&namespace, |share| share.running -= 1);
        }
    }

    fn next(&mut self, context: &SchedulerContext) -> Option<TaskStart> {
        let (.., namespace) = self.turns.first()?.clone();
        let share = self.shares.get(&namespace)?;
        let task = share.ready.first_key_value()?.1.clone();
        let running = share.running;
        let weight = self.weight_of(&namespace);
        self.served += 1;
        let served = self.served;
        // It counts as running from now on, for the turns that follow.
        self.runs(task.id, &namespace);
        self.change(&namespace, |share| share.served = served);
        let reason = TURN
            .with("namespace", namespace.as_str())
            .with("running", running)
            .with("weight", u64::from(weight))
            .with("task", task.label)
            .with("priority", f64::from(task.priority))
            .with("waited", context.now.since(task.since));
        Some(TaskStart {
            task: task.id,
            reasons: vec![reason],
        })
    }
}

impl WorkflowScheduler for FairShare {
    fn observe(&mut self, change: SchedulerChange) {
        match change {
            SchedulerChange::Ready(task) => self.take_in(task),
            SchedulerChange::Started(task) => self.runs(task.id, &task.namespace),
            SchedulerChange::Ended { task, .. } => self.runs_no_more(task),
            SchedulerChange::Withdrawn(id) => {
                self.forget(id);
                self.runs_no_more(id);
            }
            SchedulerChange::Workflow { .. } | SchedulerChange::Closed(_) => {}
        }
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        let starts = std::iter::from_fn(|| self.next(context)).take(context.free);
        Schedule {
            starts: starts.collect(),
            ..Schedule::default()
        }
    }

    fn save(&self) -> Result<Bytes> {
        let mut ready: Vec<_> = self.places.iter().collect();
        ready.sort_by_key(|(_, (_, _, arrived))| *arrived);
        let task = |(_, (namespace, urgency, arrived)): (&TaskId, &(Namespace, _, u64))| {
            let share = self.shares.get(namespace)?;
            share.ready.get(&(*urgency, *arrived)).cloned()
        };
        let served = self.shares.iter();
        encoding::encode(&Saved {
            running: self.running.clone(),
            served: served.map(|(n, share)| (n.clone(), share.served)).collect(),
            ready: ready.into_iter().filter_map(task).collect(),
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = encoding::decode::<Saved>(bytes)?;
        *self = Self {
            weights: std::mem::take(&mut self.weights),
            priority_first: self.priority_first,
            ..Self::default()
        };
        saved.ready.into_iter().for_each(|task| self.take_in(task));
        for (id, namespace) in saved.running {
            self.runs(id, &namespace);
        }
        for (namespace, served) in saved.served {
            self.served = self.served.max(served);
            self.change(&namespace, |share| share.served = served);
        }
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("FairShare").provides(Component::W3)
    }
}

#[cfg(test)]
mod tests;
