//! The Rust builder: tasks with dependencies, as data that can be stored and compiled again.
//!
//! ```
//! use faas_workflow::builder::{Expression, WorkflowBuilder};
//!
//! let definition = WorkflowBuilder::new()
//!     .task("count", "count-words", |task| {
//!         task.map(Expression::input("/files"), 4).input(Expression::item(""))
//!     })
//!     .task("merge", "merge-counts", |task| task.input(Expression::result("count", "")))
//!     .output(Expression::result("merge", ""))
//!     .build()?;
//! assert_eq!(definition.language.as_str(), "rust");
//! # Ok::<(), faas_core::Error>(())
//! ```

pub mod expression;
pub mod graph;
pub mod model;
mod turn;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, FunctionRef, Name, Result};

use crate::program::{Erased, Program};
use crate::registry::{Definition, DefinitionFaults, Fault, Language};

pub use expression::Expression;
pub use graph::TaskGraph;
pub use model::{
    CatchRule, ErrorPattern, Fallback, GraphDefinition, Limits, MapRule, RetryRule, TaskDefinition,
};

/// The name of the builder's language.
pub const LANGUAGE: &str = "rust";

/// Compiles what [`WorkflowBuilder`] builds.
#[derive(Debug, Clone, Copy, Default)]
pub struct RustBuilder {
    /// What a definition, and its data, may be.
    pub limits: Limits,
}

impl Language for RustBuilder {
    fn name(&self) -> Name {
        language()
    }

    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>, DefinitionFaults> {
        if definition.text.len() > self.limits.text_bytes {
            let message = format!("is longer than {} bytes", self.limits.text_bytes);
            return Err(DefinitionFaults(vec![Fault::new("", message)]));
        }
        let parsed = serde_json::from_str::<GraphDefinition>(&definition.text);
        let bad = |error| DefinitionFaults(vec![Fault::new("", format!("{error}"))]);
        let graph = TaskGraph::new(parsed.map_err(bad)?, definition.digest(), self.limits)?;
        Ok(Arc::new(Erased(graph)))
    }
}

#[expect(clippy::expect_used, reason = "the constant is a name")]
fn language() -> Name {
    Name::new(LANGUAGE).expect("a name")
}

/// Builds a workflow; all faults are reported by [`build`](Self::build).
#[derive(Debug, Clone, Default)]
pub struct WorkflowBuilder {
    tasks: Vec<TaskDefinition>,
    output: Expression,
    faults: Vec<Fault>,
}

impl WorkflowBuilder {
    /// A workflow without tasks, whose output is `null`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task `name` that calls `function` (`namespace/name@qualifier`), as `configure` has
    /// it. Tasks run concurrently unless one uses the other's result or is put after it.
    #[must_use]
    pub fn task(
        mut self,
        name: &str,
        function: &str,
        configure: impl FnOnce(TaskBuilder) -> TaskBuilder,
    ) -> Self {
        let path = format!("/tasks/{}", self.tasks.len());
        let parsed = (Name::new(name), function.parse::<FunctionRef>());
        match parsed {
            (Ok(name), Ok(function)) => {
                let task = TaskBuilder {
                    task: TaskDefinition::new(name, function),
                    faults: Vec::new(),
                };
                let built = configure(task);
                let at = |(field, message): (&str, String)| {
                    Fault::new(format!("{path}{field}"), message)
                };
                self.faults.extend(built.faults.into_iter().map(at));
                self.tasks.push(built.task);
            }
            (name, function) => {
                let faults = [("name", name.err()), ("function", function.err())];
                for (field, error) in faults {
                    let fault = |e: Error| Fault::new(format!("{path}/{field}"), e.message());
                    self.faults.extend(error.map(fault));
                }
            }
        }
        self
    }

    /// What the workflow answers.
    #[must_use]
    pub fn output(self, output: Expression) -> Self {
        Self { output, ..self }
    }

    /// The definition, for a [`WorkflowRegistry`](crate::WorkflowRegistry).
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn build(self) -> Result<Definition> {
        let graph = GraphDefinition {
            tasks: self.tasks,
            output: self.output,
        };
        let mut faults = self.faults;
        faults.extend(validate::faults(&graph, Limits::default()));
        if !faults.is_empty() {
            return Err(DefinitionFaults(faults).into());
        }
        let text = serde_json::to_string(&graph).map_err(|error| {
            Error::invalid("build workflow", "it has no form in JSON").with_source(error)
        })?;
        Ok(Definition::new(language(), text))
    }
}

/// Configures one task.
#[derive(Debug, Clone)]
pub struct TaskBuilder {
    task: TaskDefinition,
    faults: Vec<(&'static str, String)>,
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

    /// How long one call may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.task.timeout = Some(timeout);
        self
    }
}
