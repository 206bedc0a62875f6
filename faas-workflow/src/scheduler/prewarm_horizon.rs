//! [`PrewarmHorizon`]: functions are warm just when they are needed.

mod forecast;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::explain::Reason;
use faas_core::{Component, Description, FunctionRef, Monotonic, Result, TaskId};
use serde::{Deserialize, Serialize};

use super::learned::{Learned, Mean, pairs};
use super::{Prewarm, ReadyTask, Schedule, SchedulerChange, SchedulerContext, WorkflowScheduler};
use crate::content::Content;
use crate::program::TaskTarget;
use forecast::{Forecast, Need};

const SOON: Reason = Reason::new(
    "prewarm.horizon",
    "{calls} calls of it are about to follow running tasks in {left}, and an instance takes {cold}      to start",
);

/// How long an instance is thought to take of whose function no cold start was seen.
const COLD: Duration = Duration::from_millis(500);
/// How much sooner than it seems necessary: what was recorded is a mean, and half of all starts
/// take longer.
const MARGIN: f64 = 1.25;
/// How many functions' cold starts are remembered.
const FUNCTIONS: usize = 65_536;

/// While a task runs, the functions that will be called when it ends are warmed up just early
/// enough: Fission Workflows' idea, by learned instead of declared times. Another policy decides
/// what runs.
///
/// How long tasks run, how long a function's cold start takes, and how often one step really
/// follows another (so that rare branches warm up nothing) are learned from what is observed; so
/// the first executions of a workflow warm up only what certainly follows.
#[derive(Debug)]
pub struct PrewarmHorizon<P> {
    inner: P,
    learned: Learned,
    forecast: Forecast,
    cold: HashMap<FunctionRef, Mean>,
    calls: HashMap<TaskId, FunctionRef>,
    /// Hints to give, by the time at which to give them.
    hints: BTreeSet<(Monotonic, Need)>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    inner: Content,
    learned: Learned,
    forecast: Forecast,
    #[serde(with = "pairs")]
    cold: HashMap<FunctionRef, Mean>,
    #[serde(with = "pairs")]
    calls: HashMap<TaskId, FunctionRef>,
    hints: BTreeSet<(Monotonic, Need)>,
}

impl Stored for Saved {
    const KIND: &'static str = "prewarm-horizon-scheduler";
    const VERSION: u32 = 1;
}

impl<P: WorkflowScheduler> PrewarmHorizon<P> {
    /// Warms up what the tasks that `inner` starts lead to.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            learned: Learned::default(),
            forecast: Forecast::default(),
            cold: HashMap::new(),
            calls: HashMap::new(),
            hints: BTreeSet::new(),
        }
    }

    fn cold_start(&self, function: &FunctionRef) -> Duration {
        self.cold.get(function).map_or(COLD, |mean| mean.get())
    }

    fn started(&mut self, task: &ReadyTask, now: Monotonic) {
        if let TaskTarget::Function(function) = &task.target {
            self.calls.insert(task.id, function.clone());
        }
        for need in self.forecast.started(task, &self.learned, now) {
            let lead = self.cold_start(&need.function).mul_f64(MARGIN);
            let at = Monotonic::from_nanos(
                need.at
                    .as_nanos()
                    .saturating_sub(u64::try_from(lead.as_nanos()).unwrap_or(u64::MAX)),
            );
            self.hints.insert((at, need));
        }
    }

    fn ended(&mut self, task: TaskId, cold: Option<Duration>) {
        let function = self.calls.remove(&task);
        if let Some((function, cold)) = function.zip(cold) {
            if self.cold.len() >= FUNCTIONS {
                self.cold.clear();
            }
            let mean = self.cold.entry(function);
            mean.and_modify(|mean| mean.add(cold))
                .or_insert(Mean::of(cold));
        }
    }

    /// The hints whose time has come: one for each function.
    fn due(&mut self, now: Monotonic) -> Vec<Prewarm> {
        let mut calls: HashMap<FunctionRef, (u32, Monotonic)> = HashMap::new();
        let mut order = Vec::new();
        while let Some((at, need)) = self.hints.pop_first() {
            if at > now {
                self.hints.insert((at, need));
                break;
            }
            let open = self.forecast.is_open(need.execution);
            if !open || need.at < now {
                continue; // What follows has begun by now, or never will.
            }
            self.forecast.acted(&need);
            let known = calls.entry(need.function.clone()).or_insert_with(|| {
                order.push(need.function.clone());
                (0, need.at)
            });
            known.0 += 1;
            known.1 = known.1.min(need.at);
        }
        let prewarm = |function: FunctionRef| {
            let (concurrency, at) = *calls.get(&function)?;
            let cold = self.cold_start(&function);
            let reason = SOON
                .with("calls", u64::from(concurrency))
                .with("left", at.since(now))
                .with("cold", cold);
            Some(Prewarm {
                function,
                at,
                concurrency,
                reasons: vec![reason],
            })
        };
        order.into_iter().filter_map(prewarm).collect()
    }
}

impl<P: WorkflowScheduler> WorkflowScheduler for PrewarmHorizon<P> {
    fn observe(&mut self, change: SchedulerChange) {
        match &change {
            SchedulerChange::Started(task) => self.forecast.begins(task, &self.learned),
            SchedulerChange::Ended { task, cold, .. } => {
                self.forecast.ended(*task);
                self.ended(*task, *cold);
            }
            SchedulerChange::Withdrawn(task) => {
                self.forecast.ended(*task);
                self.calls.remove(task);
            }
            SchedulerChange::Closed(execution) => self.forecast.closed(*execution, &self.learned),
            SchedulerChange::Ready(_) | SchedulerChange::Workflow { .. } => {}
        }
        self.learned.observe(&change);
        self.inner.observe(change);
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        // When a task began is known when it is decided about what begun tasks lead to.
        for task in self.forecast.take_begun() {
            self.started(&task, context.now);
        }
        let mut schedule = self.inner.decide(context);
        schedule.prewarms.extend(self.due(context.now));
        let next = self.hints.first().map(|(at, _)| *at);
        schedule.wake_at = [schedule.wake_at, next].into_iter().flatten().min();
        schedule
    }

    fn save(&self) -> Result<Bytes> {
        encoding::encode(&Saved {
            inner: Content::from(&self.inner.save()?),
            learned: self.learned.clone(),
            forecast: self.forecast.clone(),
            cold: self.cold.clone(),
            calls: self.calls.clone(),
            hints: self.hints.clone(),
        })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved = encoding::decode::<Saved>(bytes)?;
        self.inner.restore(&Bytes::from(saved.inner))?;
        self.learned = saved.learned;
        self.forecast = saved.forecast;
        self.cold = saved.cold;
        self.calls = saved.calls;
        self.hints = saved.hints;
        Ok(())
    }

    fn describe(&self) -> Description {
        let name = format!("PrewarmHorizon over {}", self.inner.describe().name);
        Description::new(name).provides(Component::W3)
    }
}

#[cfg(test)]
mod tests;
