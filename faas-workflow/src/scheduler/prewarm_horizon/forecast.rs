//! What will be called when the tasks that run have ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use faas_core::{ExecutionId, FunctionRef, Monotonic, TaskId};
use serde::{Deserialize, Serialize};

use crate::program::{DefinitionDigest, Join, Outline, TaskTarget};
use crate::scheduler::ReadyTask;
use crate::scheduler::learned::{Known, Learned, pairs};

/// How likely a step must be for its function to be warmed up.
const LIKELY: f64 = 0.5;
/// How many pairs of steps are remembered.
const PAIRS: usize = 1 << 20;

/// That a function will be called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Need {
    /// When, about.
    pub(super) at: Monotonic,
    /// In which execution.
    pub(super) execution: ExecutionId,
    /// By which step.
    pub(super) step: usize,
    /// Which one.
    pub(super) function: FunctionRef,
}

/// How often a step ended, and how often the other one began thereafter.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Followed {
    ended: u32,
    began: u32,
}

/// One execution as far as it has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progress {
    /// When the tasks that run will have ended, by step.
    running: BTreeMap<usize, BTreeMap<u128, Monotonic>>,
    ended: BTreeSet<usize>,
    /// Of which definition, and the steps that ended and that nothing was seen to follow yet.
    unfollowed: Option<(DefinitionDigest, Vec<usize>)>,
    /// Steps for which a need was told.
    told: BTreeSet<usize>,
}

type Pair = (DefinitionDigest, usize, usize);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Forecast {
    #[serde(with = "pairs")]
    executions: HashMap<ExecutionId, Progress>,
    #[serde(with = "pairs")]
    tasks: HashMap<TaskId, (ExecutionId, DefinitionDigest, usize)>,
    #[serde(with = "pairs")]
    followed: HashMap<Pair, Followed>,
    begun: Vec<ReadyTask>,
}

impl Forecast {
    pub(super) fn begins(&mut self, task: &ReadyTask, learned: &Learned) {
        if let Some(place) = learned.place(task) {
            let of = (task.execution, task.digest.clone(), place);
            self.tasks.insert(task.id, of);
            self.follows(task, place, learned);
            self.begun.push(task.clone());
        }
    }

    pub(super) fn take_begun(&mut self) -> Vec<ReadyTask> {
        std::mem::take(&mut self.begun)
    }

    pub(super) fn is_open(&self, execution: ExecutionId) -> bool {
        self.executions.contains_key(&execution)
    }

    /// An execution is over: what has not followed by now never does.
    pub(super) fn closed(&mut self, execution: ExecutionId, learned: &Learned) {
        let progress = self.executions.remove(&execution);
        let Some((digest, places)) = progress.and_then(|progress| progress.unfollowed) else {
            return;
        };
        if let Some(known) = learned.known(&digest) {
            for before in places {
                self.count(&digest, known, before, None);
            }
        }
    }

    /// A need was acted on: it may be told again, if the step takes its time to begin.
    pub(super) fn acted(&mut self, need: &Need) {
        if let Some(progress) = self.executions.get_mut(&need.execution) {
            progress.told.remove(&need.step);
        }
    }

    pub(super) fn ended(&mut self, task: TaskId) {
        self.begun.retain(|begun| begun.id != task);
        let Some((execution, digest, place)) = self.tasks.remove(&task) else {
            return;
        };
        let Some(progress) = self.executions.get_mut(&execution) else {
            return;
        };
        if let Some(running) = progress.running.get_mut(&place) {
            running.remove(&task.as_u128());
            if running.is_empty() {
                progress.running.remove(&place);
            }
        }
        progress.ended.insert(place);
        let (_, unfollowed) = progress.unfollowed.get_or_insert((digest, Vec::new()));
        if !unfollowed.contains(&place) {
            unfollowed.push(place);
        }
    }

    /// Learns that a step follows those that ended before it and lead to it.
    fn follows(&mut self, task: &ReadyTask, place: usize, learned: &Learned) {
        let Some(known) = learned.known(&task.digest) else {
            return;
        };
        let progress = self.executions.entry(task.execution).or_default();
        progress.told.remove(&place);
        let Some((_, unfollowed)) = &mut progress.unfollowed else {
            return;
        };
        let leads = |before: &mut usize| {
            let calls = calls_behind(known, *before);
            calls.iter().any(|(next, _)| *next == place)
        };
        for before in unfollowed.extract_if(.., leads).collect::<Vec<_>>() {
            self.count(&task.digest, known, before, Some(place));
        }
    }

    fn count(
        &mut self,
        digest: &DefinitionDigest,
        known: &Known,
        before: usize,
        began: Option<usize>,
    ) {
        if self.followed.len() >= PAIRS {
            self.followed.clear();
        }
        for (next, _) in calls_behind(known, before) {
            let followed = self
                .followed
                .entry((digest.clone(), before, next))
                .or_default();
            followed.ended += 1;
            followed.began += u32::from(Some(next) == began);
        }
    }

    fn likelihood(&self, digest: &DefinitionDigest, before: usize, next: usize) -> f64 {
        let pair = (digest.clone(), before, next);
        let followed = self.followed.get(&pair).copied().unwrap_or_default();
        // As if it had followed once: what is certain is warmed up from the first time on.
        f64::from(followed.began + 1) / f64::from(followed.ended + 1)
    }

    /// A task has begun: what it leads to is needed when it ends, as far as that can be told.
    pub(super) fn started(
        &mut self,
        task: &ReadyTask,
        learned: &Learned,
        now: Monotonic,
    ) -> Vec<Need> {
        let Some((_, _, place)) = self.tasks.get(&task.id).cloned() else {
            return Vec::new();
        };
        let Some(known) = learned.known(&task.digest) else {
            return Vec::new();
        };
        let took = learned.duration(&task.digest, place);
        let progress = self.executions.entry(task.execution).or_default();
        let Some(took) = took else {
            return Vec::new(); // It never ran: nobody knows when it will end.
        };
        let running = progress.running.entry(place).or_default();
        running.insert(task.id.as_u128(), now + took);
        let mut needs = Vec::new();
        for (next, function) in calls_behind(known, place) {
            let certain = known.outline.steps[next].join == Join::All;
            if !certain && self.likelihood(&task.digest, place, next) < LIKELY {
                continue;
            }
            let Some(progress) = self.executions.get_mut(&task.execution) else {
                continue;
            };
            if progress.told.contains(&next) {
                continue;
            }
            let Some(at) = begins_at(known, progress, next, now + took) else {
                continue;
            };
            progress.told.insert(next);
            needs.push(Need {
                at,
                execution: task.execution,
                step: next,
                function,
            });
        }
        needs
    }
}

/// The functions that are called next behind a step, past steps that nobody runs.
fn calls_behind(known: &Known, place: usize) -> Vec<(usize, FunctionRef)> {
    let mut found = Vec::new();
    let mut open = known.successors[place].clone();
    let mut seen = open.clone();
    while let Some(next) = open.pop() {
        match &known.outline.steps[next].target {
            Some(TaskTarget::Function(function)) => found.push((next, function.clone())),
            // It takes its own time: what lies behind is not near.
            Some(_) => {}
            None => {
                for behind in &known.successors[next] {
                    if !seen.contains(behind) {
                        seen.push(*behind);
                        open.push(*behind);
                    }
                }
            }
        }
    }
    found.sort_by_key(|(next, _)| *next);
    found
}

/// When a step begins that follows one that ends at `at`; nothing if it waits for one that has not
/// begun.
fn begins_at(known: &Known, progress: &Progress, step: usize, at: Monotonic) -> Option<Monotonic> {
    if known.outline.steps[step].join == Join::Any {
        return Some(at);
    }
    let mut latest = at;
    for before in before(&known.outline, step) {
        let ends = progress.running.get(&before).map(BTreeMap::values);
        match ends.into_iter().flatten().max() {
            Some(ends) => latest = latest.max(*ends),
            None if progress.ended.contains(&before) => {}
            None => return None,
        }
    }
    Some(latest)
}

fn before(outline: &Outline, step: usize) -> impl Iterator<Item = usize> + '_ {
    let edges = outline.edges.iter();
    edges
        .filter(move |edge| edge.to == step)
        .map(|edge| edge.from)
}
