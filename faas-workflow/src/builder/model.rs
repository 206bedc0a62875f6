//! A graph of tasks as data.

use std::time::Duration;

use faas_core::{FunctionRef, Name};
use serde::{Deserialize, Serialize};

use super::Expression;
use crate::program::{ChildExecution, Completion, ResourceName, TaskTarget};
use crate::registry::WorkflowRef;

/// What a definition, and its data, may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a definition.
    pub text_bytes: usize,
    /// Tasks of a definition.
    pub tasks: usize,
    /// How deep an expression may nest.
    pub depth: usize,
    /// Elements of a list that is mapped over.
    pub items: usize,
    /// Bytes of an input or result, about.
    pub data_bytes: usize,
    /// Signals that are kept until a task waits for them.
    pub signals: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 1 << 20,
            tasks: 1000,
            depth: 32,
            items: 100_000,
            data_bytes: 1 << 20,
            signals: 1000,
        }
    }
}

/// A workflow: what the builder's definitions say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphDefinition {
    /// The tasks, in any order.
    pub tasks: Vec<TaskDefinition>,
    /// What the workflow answers.
    #[serde(default)]
    pub output: Expression,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TaskDefinition {
    /// Its name.
    pub name: Name,
    /// What runs for it.
    pub run: TaskRun,
    /// What that is given.
    #[serde(default = "Expression::whole_input")]
    pub input: Expression,
    /// What it runs after, besides the tasks whose results it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    /// Whether it is called once for each element of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapRule>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<RetryRule>,
    /// What to do instead of failing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catch: Vec<CatchRule>,
    /// How long one call, or waiting for a signal, may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// More urgent ones are greater; 0 is usual.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub priority: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_usual(priority: &i32) -> bool {
    *priority == 0
}

/// What runs for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskRun {
    /// This function; its answer is the task's result.
    Function(FunctionRef),
    /// This function is told; the result comes from whoever has the task's token.
    Callback(FunctionRef),
    /// A worker that pulls the work under this name.
    Worker(ResourceName),
    /// What the engine knows by this name, and answers by itself.
    Resource(ResourceName),
    /// An execution of this workflow; its output is the task's result.
    Workflow(WorkflowRef),
    /// Nothing: a signal of this name is waited for, and what it carries is the task's result.
    Signal(Name),
    /// Nothing: so much time passes, and `null` is the task's result.
    Sleep(Duration),
}

impl TaskRun {
    /// Who runs it, if anybody does.
    pub fn target(&self) -> Option<TaskTarget> {
        let resource = |name: &ResourceName, completion| TaskTarget::Resource {
            name: name.clone(),
            completion,
        };
        match self {
            Self::Function(function) | Self::Callback(function) => {
                Some(TaskTarget::Function(function.clone()))
            }
            Self::Worker(name) => Some(resource(name, Completion::Worker)),
            Self::Resource(name) => Some(resource(name, Completion::Response)),
            Self::Workflow(workflow) => {
                Some(TaskTarget::Workflow(ChildExecution::new(workflow.clone())))
            }
            Self::Signal(_) | Self::Sleep(_) => None,
        }
    }
}

impl TaskDefinition {
    /// A task that gives the workflow's input to whatever runs.
    pub fn new(name: Name, run: TaskRun) -> Self {
        Self {
            name,
            run,
            input: Expression::whole_input(),
            after: Vec::new(),
            map: None,
            retry: Vec::new(),
            catch: Vec::new(),
            timeout: None,
            priority: 0,
        }
    }
}

/// See [`TaskBuilder::map`](super::TaskBuilder::map).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapRule {
    /// The list.
    pub items: Expression,
    /// At most so many at once; 0: all.
    #[serde(default)]
    pub concurrency: u32,
}

/// Which errors: a kind, `*` for all, or `Prefix.*` for all kinds that begin with `Prefix.`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorPattern(String);

impl From<&str> for ErrorPattern {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl ErrorPattern {
    /// Whether an error of that kind is meant.
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some("") => true,
            Some(prefix) if prefix.ends_with('.') => kind.starts_with(prefix),
            _ => self.0 == kind,
        }
    }

    /// Whether it can match nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// When to try again: after `interval`, then after `backoff` times as long, …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryRule {
    /// After which errors.
    pub errors: Vec<ErrorPattern>,
    /// How long to wait before the first retry.
    pub interval: Duration,
    /// By how much the wait grows each time; at least 1.
    pub backoff: f64,
    /// How many retries at most.
    pub retries: u32,
    /// The longest wait.
    pub max_delay: Duration,
    /// Whether to wait a random part of the time instead (full jitter).
    #[serde(default)]
    pub jitter: bool,
}

impl RetryRule {
    /// `retries` retries after any error, after `interval`, then twice as long each time, up to a
    /// minute.
    pub fn new(retries: u32, interval: Duration) -> Self {
        Self {
            errors: vec!["*".into()],
            interval,
            backoff: 2.0,
            retries,
            max_delay: Duration::from_secs(60),
            jitter: false,
        }
    }

    /// Only after these errors.
    #[must_use]
    pub fn on(self, errors: impl IntoIterator<Item = &'static str>) -> Self {
        let errors = errors.into_iter().map(ErrorPattern::from).collect();
        Self { errors, ..self }
    }

    /// Waits `backoff` times as long each time.
    #[must_use]
    pub fn backoff(self, backoff: f64) -> Self {
        Self { backoff, ..self }
    }

    /// Waits at most so long.
    #[must_use]
    pub fn max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
    }

    /// How long to wait before retry `number` (from 0).
    pub fn delay(&self, number: u32, entropy: u64) -> Duration {
        let exponent = i32::try_from(number).unwrap_or(i32::MAX);
        let seconds = self.interval.as_secs_f64() * self.backoff.powi(exponent);
        let seconds = seconds.min(self.max_delay.as_secs_f64());
        let part = if self.jitter {
            entropy as f64 / u64::MAX as f64
        } else {
            1.0
        };
        Duration::try_from_secs_f64(seconds * part).unwrap_or(self.max_delay)
    }
}

/// What to do instead of failing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatchRule {
    /// After which errors.
    pub errors: Vec<ErrorPattern>,
    /// What.
    pub then: Fallback,
}

/// See [`CatchRule::then`]; its expressions may use [`Expression::error`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fallback {
    /// This is the task's result.
    Value(Expression),
    /// The answer of this function is the task's result; if it fails too, the workflow fails.
    Call {
        /// What to call.
        function: FunctionRef,
        /// What to give it.
        input: Expression,
    },
}
