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
mod task;
mod turn;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, Name, Result};

use crate::program::{Erased, Program, ResourceName};
use crate::registry::{Definition, DefinitionFaults, Fault, Language};

pub use expression::Expression;
pub use graph::TaskGraph;
pub use model::{
    CatchRule, ErrorPattern, Fallback, GraphDefinition, Limits, MapRule, RetryRule, TaskDefinition,
    TaskRun,
};
pub use task::{Configure, TaskBuilder};

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
    /// How many tasks were added, and at which place those stand that have a name.
    added: usize,
    places: Vec<usize>,
}

impl WorkflowBuilder {
    /// A workflow without tasks, whose output is `null`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task `name` that calls `function` (`namespace/name@qualifier`), as `configure` has
    /// it. Tasks run concurrently unless one uses the other's result or is put after it.
    #[must_use]
    pub fn task(self, name: &str, function: &str, configure: impl Configure) -> Self {
        let function = function.parse().map(TaskRun::Function);
        self.step(name, "function", function, configure)
    }

    /// Adds a task that tells `function`, and then waits until somebody completes the task's token:
    /// the function's input may hold it ([`Expression::token`]).
    #[must_use]
    pub fn callback(self, name: &str, function: &str, configure: impl Configure) -> Self {
        let function = function.parse().map(TaskRun::Callback);
        self.step(name, "function", function, configure)
    }

    /// Adds a task that a worker pulls under the name `work`.
    #[must_use]
    pub fn worker(self, name: &str, work: &str, configure: impl Configure) -> Self {
        let work = ResourceName::new(work).map(TaskRun::Worker);
        self.step(name, "worker", work, configure)
    }

    /// Adds a task that the engine's resources run under the name `resource`.
    #[must_use]
    pub fn resource(self, name: &str, resource: &str, configure: impl Configure) -> Self {
        let resource = ResourceName::new(resource).map(TaskRun::Resource);
        self.step(name, "resource", resource, configure)
    }

    /// Adds a task that is an execution of another workflow (`namespace/name@version`).
    #[must_use]
    pub fn workflow(self, name: &str, workflow: &str, configure: impl Configure) -> Self {
        let workflow = workflow.parse().map(TaskRun::Workflow);
        self.step(name, "workflow", workflow, configure)
    }

    /// Adds a task that waits for `signal`; signals that come before are kept for it.
    #[must_use]
    pub fn signal(self, name: &str, signal: &str, configure: impl Configure) -> Self {
        let signal = Name::new(signal).map(TaskRun::Signal);
        self.step(name, "signal", signal, configure)
    }

    /// Adds a task that only lets time pass.
    #[must_use]
    pub fn sleep(self, name: &str, time: Duration, configure: impl Configure) -> Self {
        self.step(name, "sleep", Ok(TaskRun::Sleep(time)), configure)
    }

    fn step(
        mut self,
        name: &str,
        kind: &str,
        run: Result<TaskRun>,
        configure: impl Configure,
    ) -> Self {
        let path = format!("/tasks/{}", self.added);
        let place = self.added;
        self.added += 1;
        let mut fault = |field: &str, error: Error| {
            let at = format!("{path}/{field}");
            self.faults.push(Fault::new(at, error.message()));
        };
        // A task that cannot run is kept for the sake of those that use its result.
        let run = run.unwrap_or_else(|error| {
            fault(&format!("run/{kind}"), error);
            TaskRun::Sleep(Duration::ZERO)
        });
        match Name::new(name) {
            Err(error) => fault("name", error),
            Ok(name) => {
                let task = TaskBuilder {
                    task: TaskDefinition::new(name, run),
                    faults: Vec::new(),
                };
                let built = configure(task);
                let at = |(field, message): (&str, String)| {
                    Fault::new(format!("{path}{field}"), message)
                };
                self.faults.extend(built.faults.into_iter().map(at));
                self.tasks.push(built.task);
                self.places.push(place);
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
        let found = validate::faults(&graph, Limits::default());
        faults.extend(found.into_iter().map(|fault| placed(fault, &self.places)));
        if !faults.is_empty() {
            return Err(DefinitionFaults(faults).into());
        }
        let text = serde_json::to_string(&graph).map_err(|error| {
            Error::invalid("build workflow", "it has no form in JSON").with_source(error)
        })?;
        Ok(Definition::new(language(), text))
    }
}

/// The fault with the place where its author put the task.
fn placed(fault: Fault, places: &[usize]) -> Fault {
    let Some(rest) = fault.path.strip_prefix("/tasks/") else {
        return fault;
    };
    let (index, field) = match rest.split_once('/') {
        Some((index, field)) => (index, format!("/{field}")),
        None => (rest, String::new()),
    };
    let index = index.parse::<usize>().ok();
    match index.and_then(|index| places.get(index)) {
        Some(place) => Fault::new(format!("/tasks/{place}{field}"), fault.message),
        None => fault,
    }
}
