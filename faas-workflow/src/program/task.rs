//! [`TaskRequest`]: what a program wants run.

use std::time::Duration;

use faas_core::FunctionRef;
use serde::{Deserialize, Serialize};

use super::{Completion, Data, TaskNumber, TaskTarget, TaskToken};

/// A task that may run now: all it depends on is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskRequest {
    /// This attempt's number.
    pub task: TaskNumber,
    /// Names the logical call: attempts that share it share an idempotency key. It must follow from
    /// the call's own place in the workflow, not from the order in which other things happened
    /// (`count[3]`, not `the seventh call`): a pipelined execution that goes on from an earlier
    /// point may see another order.
    pub key: String,
    /// The step's name, as the workflow's author knows it.
    pub label: String,
    /// Who runs it.
    pub target: TaskTarget,
    /// What it is given.
    pub input: Data,
    /// How long it may take, counted from its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What whoever ends it from outside must show, if its [`Completion`](super::Completion)
    /// allows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TaskToken>,
    /// More urgent ones are greater; 0 is usual. What it means is the scheduler's.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_usual(priority: &i32) -> bool {
    *priority == 0
}

impl TaskRequest {
    /// The first attempt of a call of `function`, whose key is its number.
    pub fn new(
        task: TaskNumber,
        label: impl Into<String>,
        function: FunctionRef,
        input: Data,
    ) -> Self {
        Self::of(task, label, TaskTarget::Function(function), input)
    }

    /// The first attempt of something for `target`, whose key is its number.
    pub fn of(task: TaskNumber, label: impl Into<String>, target: TaskTarget, input: Data) -> Self {
        Self {
            task,
            key: task.to_string(),
            label: label.into(),
            target,
            input,
            timeout: None,
            token: None,
            priority: 0,
        }
    }

    /// When the task is over: a function that gets a token is called back.
    pub fn completion(&self) -> Completion {
        match &self.target {
            TaskTarget::Resource { completion, .. } => *completion,
            TaskTarget::Function(_) if self.token.is_some() => Completion::Callback,
            TaskTarget::Function(_) => Completion::Response,
            TaskTarget::Workflow(_) => Completion::Job,
        }
    }

    /// Whether it takes a place among the tasks that run, until whoever runs it has taken it over.
    pub fn takes_place(&self) -> bool {
        let waits = self.completion() == Completion::Worker;
        !waits && !matches!(self.target, TaskTarget::Workflow(_))
    }
}
