//! [`TaskBuilder`]: how one task is run.

use std::time::Duration;

use faas_core::Name;

use super::{CatchRule, ErrorPattern, Expression, Fallback, MapRule, RetryRule, TaskDefinition};

/// What configures a task: `|task| task.after("other")`, or `|task| task`.
pub trait Configure: FnOnce(TaskBuilder) -> TaskBuilder {}
impl<F: FnOnce(TaskBuilder) -> TaskBuilder> Configure for F {}

/// Configures one task.
#[derive(Debug, Clone)]
pub struct TaskBuilder {
    pub(super) task: TaskDefinition,
    pub(super) faults: Vec<(&'static str, String)>,
}

impl TaskBuilder {
    /// What the function is given; the workflow's input unless said otherwise.
    #[must_use]
    pub fn input(mut self, input: Expression) -> Self {
        self.task.input = input;
        self
    }

    /// Runs only after `task`, though it uses nothing of its result.
    #[must_use]
    pub fn after(mut self, task: &str) -> Self {
        match Name::new(task) {
            Ok(name) => self.task.after.push(name),
            Err(error) => self.faults.push(("/after", error.message().into())),
        }
        self
    }

    /// Calls the function for each element of the list `items`, at most `concurrency` at once (0:
    /// all); the result is the list of the answers, in the order of the items.
    #[must_use]
    pub fn map(mut self, items: Expression, concurrency: u32) -> Self {
        self.task.map = Some(MapRule { items, concurrency });
        self
    }

    /// Tries again; the first rule that matches an error counts.
    #[must_use]
    pub fn retry(mut self, rule: RetryRule) -> Self {
        self.task.retry.push(rule);
        self
    }

    /// Goes on in spite of an error that no retry cured; the first rule that matches counts.
    #[must_use]
    pub fn catch(mut self, errors: impl IntoIterator<Item = &'static str>, then: Fallback) -> Self {
        let errors = errors.into_iter().map(ErrorPattern::from).collect();
        self.task.catch.push(CatchRule { errors, then });
        self
    }

    /// How urgent it is, for schedulers that ask: greater is more urgent, 0 is usual.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.task.priority = priority;
        self
    }

    /// How long one call, or waiting for a signal, may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.task.timeout = Some(timeout);
        self
    }
}
