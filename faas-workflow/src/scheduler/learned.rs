//! What policies learn of workflows: how long steps take, and which follow which.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ReadyTask, SchedulerChange};
use crate::program::{DefinitionDigest, Outline};
use faas_core::TaskId;

/// How much a new duration counts against the mean so far.
const WEIGHT: f64 = 0.2;
/// How many workflows are remembered; then all are forgotten, and learned again.
const WORKFLOWS: usize = 4096;
/// What a step is thought to take that has never run.
const UNKNOWN: Duration = Duration::from_secs(1);

/// An exponentially weighted mean (Roberts: Control Chart Tests Based on Geometric Moving Averages,
/// Technometrics 1959), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean(f64);

impl Mean {
    pub(super) fn of(first: Duration) -> Self {
        Self(first.as_secs_f64())
    }

    pub(super) fn add(&mut self, value: Duration) {
        self.0 += WEIGHT * (value.as_secs_f64() - self.0);
    }

    pub(super) fn get(self) -> Duration {
        Duration::try_from_secs_f64(self.0).unwrap_or_default()
    }
}

/// A workflow's outline with what was learned of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) outline: Arc<Outline>,
    /// By the steps' places.
    pub(super) places: BTreeMap<String, usize>,
    pub(super) successors: Vec<Vec<usize>>,
    pub(super) durations: Vec<Option<Mean>>,
    /// From each step to the end of the workflow, by the durations at the last reckoning.
    ranks: Vec<Duration>,
    reckoned: Vec<Duration>,
}

impl Known {
    fn new(outline: Arc<Outline>) -> Self {
        let count = outline.steps.len();
        let places = outline.steps.iter().enumerate();
        let places = places.map(|(place, step)| (step.label.clone(), place));
        let mut known = Self {
            places: places.collect(),
            successors: followers(&outline),
            outline,
            durations: vec![None; count],
            ranks: Vec::new(),
            reckoned: Vec::new(),
        };
        known.reckon();
        known
    }

    fn duration(&self, place: usize) -> Duration {
        match self.durations[place] {
            Some(mean) => mean.get(),
            None if self.outline.steps[place].target.is_some() => UNKNOWN,
            None => Duration::ZERO,
        }
    }

    fn learn(&mut self, place: usize, took: Duration) {
        let mean = &mut self.durations[place];
        match mean {
            Some(mean) => mean.add(took),
            None => *mean = Some(Mean::of(took)),
        }
        let (now, then) = (self.duration(place), self.reckoned[place]);
        // Ranks are reckoned anew when a step is a tenth faster or slower than it was.
        if now.abs_diff(then) * 10 > then {
            self.reckon();
        }
    }

    /// The upward rank of each step (Topcuoglu et al.: Performance-Effective and Low-Complexity
    /// Task Scheduling, TPDS 2002): its duration and the longest way behind it. Loops count once.
    fn reckon(&mut self) {
        let count = self.outline.steps.len();
        self.reckoned = (0..count).map(|place| self.duration(place)).collect();
        self.ranks = vec![Duration::ZERO; count];
        for place in last_first(&self.successors) {
            let behind = self.successors[place].iter().map(|next| self.ranks[*next]);
            let behind = behind.max().unwrap_or_default();
            self.ranks[place] = self.reckoned[place].saturating_add(behind);
        }
    }
}

/// The steps that may begin when a step ends, parts of others seen as if they stood in their place:
/// the first parts of a step follow it, and what follows it follows its last parts too.
fn followers(outline: &Outline) -> Vec<Vec<usize>> {
    let count = outline.steps.len();
    let mut next = vec![Vec::new(); count];
    let mut entered = vec![false; count];
    for edge in &outline.edges {
        next[edge.from].push(edge.to);
        entered[edge.to] = true;
    }
    let own: Vec<_> = next.iter().map(Vec::len).collect();
    // Wholes stand before their parts: what follows a whole is known when its parts are seen.
    for place in 0..count {
        let Some(whole) = outline.steps[place].parent else {
            continue;
        };
        if own[place] == 0 {
            let behind: Vec<_> = next[whole]
                .iter()
                .take(own[whole].max(1))
                .copied()
                .collect();
            let behind = behind.into_iter().filter(|step| *step != place);
            next[place].extend(behind.collect::<Vec<_>>());
        }
    }
    for (place, step) in outline.steps.iter().enumerate() {
        if let Some(whole) = step.parent.filter(|_| !entered[place]) {
            next[whole].push(place);
        }
    }
    next
}

/// All places, each behind those that follow it (but for loops).
fn last_first(successors: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(successors.len());
    let mut seen = vec![false; successors.len()];
    for start in 0..successors.len() {
        let mut open = vec![(start, 0)];
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        while let Some((place, child)) = open.pop() {
            match successors[place].get(child) {
                Some(&next) => {
                    open.push((place, child + 1));
                    if !std::mem::replace(&mut seen[next], true) {
                        open.push((next, 0));
                    }
                }
                None => order.push(place),
            }
        }
    }
    order
}

/// What was learned of all workflows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Learned {
    #[serde(with = "pairs")]
    workflows: HashMap<DefinitionDigest, Known>,
    #[serde(with = "pairs")]
    running: HashMap<TaskId, (DefinitionDigest, usize)>,
}

impl Learned {
    pub(super) fn observe(&mut self, change: &SchedulerChange) {
        match change {
            SchedulerChange::Workflow { digest, outline } => {
                if self.workflows.len() >= WORKFLOWS {
                    self.workflows.clear();
                }
                let known = || Known::new(outline.clone());
                self.workflows.entry(digest.clone()).or_insert_with(known);
            }
            SchedulerChange::Started(task) => {
                if let Some(place) = self.place(task) {
                    let place = (task.digest.clone(), place);
                    self.running.insert(task.id, place);
                }
            }
            SchedulerChange::Ended { task, took, .. } => {
                let place = self.running.remove(task);
                if let Some((digest, place)) = place
                    && let Some(known) = self.workflows.get_mut(&digest)
                {
                    known.learn(place, *took);
                }
            }
            SchedulerChange::Withdrawn(task) => drop(self.running.remove(task)),
            SchedulerChange::Ready(_) | SchedulerChange::Closed(_) => {}
        }
    }

    pub(super) fn known(&self, digest: &DefinitionDigest) -> Option<&Known> {
        self.workflows.get(digest)
    }

    pub(super) fn place(&self, task: &ReadyTask) -> Option<usize> {
        let known = self.workflows.get(&task.digest)?;
        known.places.get(&task.label).copied()
    }

    /// How long it is from the start of a step to the end of its workflow, about; nothing for a
    /// workflow that shows no outline.
    pub(super) fn rank(&self, task: &ReadyTask) -> Duration {
        let place = self.place(task);
        let known = self.workflows.get(&task.digest);
        let rank = known.zip(place).map(|(known, place)| known.ranks[place]);
        rank.unwrap_or_default()
    }

    /// How long a step takes, about, if it ever ran.
    pub(super) fn duration(&self, digest: &DefinitionDigest, place: usize) -> Option<Duration> {
        let known = self.workflows.get(digest)?;
        known.durations[place].map(Mean::get)
    }
}

/// Maps whose keys are no text, as lists of pairs.
pub(super) mod pairs {
    use std::collections::HashMap;
    use std::hash::Hash;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::scheduler) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &HashMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(in crate::scheduler) fn deserialize<'de, K, V, D>(
        deserializer: D,
    ) -> Result<HashMap<K, V>, D::Error>
    where
        K: DeserializeOwned + Eq + Hash,
        V: DeserializeOwned,
        D: Deserializer<'de>,
    {
        let pairs = Vec::<(K, V)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{OutlineStep, StepKind};

    fn outline(edges: &[(usize, usize)], parents: &[Option<usize>]) -> Arc<Outline> {
        let mut outline = Outline::default();
        for (place, parent) in parents.iter().enumerate() {
            let mut step = OutlineStep::new(format!("s{place}"), StepKind::Task);
            step.parent = *parent;
            step.target = Some(crate::program::TaskTarget::Function("f".parse().unwrap()));
            outline.add(step);
        }
        for (from, to) in edges {
            outline.connect(*from, *to, "");
        }
        Arc::new(outline)
    }

    #[test]
    fn a_rank_is_the_longest_way_to_the_end() {
        // 0 → 1 → 3, 0 → 2 → 3; 2 is slow.
        let mut known = Known::new(outline(&[(0, 1), (0, 2), (1, 3), (2, 3)], &[None; 4]));
        for (place, seconds) in [(0, 1), (1, 1), (2, 10), (3, 2)] {
            known.learn(place, Duration::from_secs(seconds));
        }
        let ranks: Vec<_> = known.ranks.iter().map(Duration::as_secs).collect();
        assert_eq!(ranks, [13, 3, 12, 2]);
    }

    #[test]
    fn parts_are_followed_by_what_follows_the_whole() {
        // 0 (with the parts 1 → 2, and 3) → 4
        let parents = [None, Some(0), Some(0), Some(0), None];
        let outline = outline(&[(0, 4), (1, 2)], &parents);
        assert_eq!(
            followers(&outline),
            [vec![4, 1, 3], vec![2], vec![4], vec![4], vec![]]
        );
    }

    #[test]
    fn loops_and_long_chains_are_borne() {
        let loops = Known::new(outline(&[(0, 1), (1, 2), (2, 0)], &[None; 3]));
        assert!(
            loops
                .ranks
                .iter()
                .all(|rank| *rank <= Duration::from_secs(3))
        );
        let count = 50_000;
        let edges: Vec<_> = (1..count).map(|place| (place - 1, place)).collect();
        let long = Known::new(outline(&edges, &vec![None; count]));
        assert_eq!(long.ranks[0], UNKNOWN * count as u32);
    }
}
