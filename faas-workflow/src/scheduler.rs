//! W3 [`WorkflowScheduler`]: which of the tasks that may run is run when.

pub mod critical_path;
pub mod eager;
pub mod fair_share;
mod learned;
pub mod pools;
pub mod prewarm_horizon;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::policy::SeededRandom;
use faas_core::{
    Description, ExecutionId, FunctionRef, Monotonic, Namespace, Result, TaskId, WorkflowName,
};

use serde::{Deserialize, Serialize};

use crate::program::{DefinitionDigest, Outline, TaskTarget};

pub use critical_path::CriticalPath;
pub use eager::Eager;
pub use fair_share::FairShare;
pub use pools::{PoolMember, Pools};
pub use prewarm_horizon::PrewarmHorizon;

/// What a policy knows besides what it observed.
#[derive(Debug)]
#[non_exhaustive]
pub struct SchedulerContext {
    /// The time.
    pub now: Monotonic,
    /// Randomness for this decision.
    pub random: SeededRandom,
    /// How many tasks more may run at once on this engine.
    pub free: usize,
}

impl SchedulerContext {
    /// A context.
    pub fn new(now: Monotonic, random: SeededRandom, free: usize) -> Self {
        Self { now, random, free }
    }
}

/// A task that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyTask {
    /// Which one.
    pub id: TaskId,
    /// Of which execution.
    pub execution: ExecutionId,
    /// Of whose workflow.
    pub namespace: Namespace,
    /// Of which workflow.
    pub workflow: WorkflowName,
    /// Of which definition of it.
    pub digest: DefinitionDigest,
    /// Which step of it.
    pub label: String,
    /// Who runs it.
    pub target: TaskTarget,
    /// How urgent its author says it is; 0 is usual.
    pub priority: i32,
    /// Since when it may run.
    pub since: Monotonic,
}

/// What changed since the policy was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulerChange {
    /// A task may run.
    Ready(ReadyTask),
    /// A task runs: by this policy's decision, or from before a restart.
    Started(ReadyTask),
    /// A task that ran ended.
    Ended {
        /// Which one.
        task: TaskId,
        /// How long it took.
        took: Duration,
        /// Whether it answered.
        succeeded: bool,
        /// How long of that it waited for an instance that was started for it, if one was.
        cold: Option<Duration>,
    },
    /// A task that waited or ran is no longer wanted.
    Withdrawn(TaskId),
    /// Executions of this definition are here, whose steps follow each other so; told once, before
    /// their tasks.
    Workflow {
        /// Which definition.
        digest: DefinitionDigest,
        /// Its steps.
        outline: Arc<Outline>,
    },
    /// An execution is not here any more.
    Closed(ExecutionId),
}

/// A task to run now.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStart {
    /// Which one.
    pub task: TaskId,
    /// Why now.
    pub reasons: Vec<Reason>,
}

/// A function that will be needed soon.
#[derive(Debug, Clone, PartialEq)]
pub struct Prewarm {
    /// Which one.
    pub function: FunctionRef,
    /// When, about.
    pub at: Monotonic,
    /// How many at once.
    pub concurrency: u32,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What a policy decided.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Schedule {
    /// What to run now, in this order.
    pub starts: Vec<TaskStart>,
    /// What to warm up.
    pub prewarms: Vec<Prewarm>,
    /// When to be asked again, at the latest.
    pub wake_at: Option<Monotonic>,
}

/// W3: a policy that says which of the ready tasks of an engine run when.
///
/// ```text
/// Program: what may run ─ observe ─▶ WorkflowScheduler ─ decide ─▶ WorkflowEngine: append, invoke
/// ```
///
/// A deterministic state machine: no I/O, no clock, no lock.
///
/// # Contract
/// - **only_ready**: `decide` MUST start only tasks that were observed as ready, and have neither
///   started nor been withdrawn since.
/// - **once**: no task is started twice.
/// - **bounded**: `decide` starts at most `free` tasks.
/// - **reasoned**: each start carries at least one reason.
/// - **deterministic**: equal observations, contexts and states give equal schedules.
/// - **saved**: a policy restored from `save` decides as the saved one would.
/// - **starves_none**: with room for all, every ready task is started, or `wake_at` says when to
///   ask again.
///
/// # Errors
/// `restore` answers `Internal` or `Unsupported` for bytes that no version of it saved, and then
/// leaves the policy as it was.
///
/// # Implementing
/// [`Eager`] is the example to read; `workflow_scheduler_conformance!` the suite.
///
/// # Example
/// ```
/// # use faas_core::{Monotonic, policy::SeededRandom};
/// # use faas_workflow::scheduler::{Eager, SchedulerContext, WorkflowScheduler};
/// let mut policy = Eager::new();
/// let mut context = SchedulerContext::new(Monotonic::ZERO, SeededRandom::new(1), 8);
/// assert!(policy.decide(&mut context).starts.is_empty(), "nothing was observed as ready");
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait WorkflowScheduler: Send + Sync + 'static {
    /// Learns of a change.
    fn observe(&mut self, change: SchedulerChange);
    /// Decides.
    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule;
    /// The state as bytes.
    fn save(&self) -> Result<Bytes>;
    /// The state from bytes.
    fn restore(&mut self, bytes: &[u8]) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

impl<T: WorkflowScheduler + ?Sized> WorkflowScheduler for Box<T> {
    fn observe(&mut self, change: SchedulerChange) {
        (**self).observe(change);
    }
    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        (**self).decide(context)
    }
    fn save(&self) -> Result<Bytes> {
        (**self).save()
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        (**self).restore(bytes)
    }
    fn describe(&self) -> Description {
        (**self).describe()
    }
}
