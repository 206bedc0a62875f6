//! [`Diagram`]: a workflow, or one execution of it, drawn in the language of Graphviz or Mermaid.
//!
//! ```
//! # use std::sync::Arc;
//! # use faas_core::{MemoryStore, TokioClock};
//! # use faas_workflow::{Expression, RegisterWorkflow, StoreWorkflowRegistry, WorkflowBuilder};
//! # use faas_workflow::WorkflowRegistry;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let store = Arc::new(MemoryStore::new());
//! # let registry = StoreWorkflowRegistry::new(store, Arc::new(TokioClock::new()));
//! let definition = WorkflowBuilder::new()
//!     .task("split", "split-text", |task| task)
//!     .task("count", "count-words", |task| task.map(Expression::result("split", ""), 4))
//!     .build()?;
//! registry.register(RegisterWorkflow::new("shop".parse()?, "words".parse()?, definition)).await?;
//! let workflow = registry.get(&"shop/words".parse()?).await?;
//! assert!(workflow.to_mermaid()?.contains("n0 --> n1"));
//! assert!(workflow.to_dot()?.starts_with("digraph"));
//! # Ok::<(), faas_core::Error>(()) }).unwrap();
//! ```

mod dot;
mod mermaid;
mod state;

use faas_core::{Error, ExecutionId, Result};
use futures::TryStreamExt;

use crate::engine::WorkflowEngineExt;
use crate::history::HistoryRecord;
use crate::layer::WorkflowLayer;
use crate::program::{Outline, Program, ProgramDiagram, StepKind};
use crate::registry::CompiledWorkflow;
use state::StepStates;

/// A workflow to be drawn; with the outcome of its steps if it is that of an execution.
#[derive(Debug, Clone)]
pub struct Diagram {
    title: String,
    outline: Outline,
    states: Option<StepStates>,
}

fn drawn(program: &dyn Program) -> Result<&dyn ProgramDiagram> {
    let message = "its program has no outline that could be drawn";
    let none = || Error::unsupported("draw workflow", message);
    program.diagram().ok_or_else(none)
}

impl Diagram {
    /// A workflow as it is written.
    ///
    /// # Errors
    /// `Unsupported` for a program that shows no outline.
    pub fn of(workflow: &CompiledWorkflow) -> Result<Self> {
        let info = &workflow.info;
        Ok(Self {
            title: format!("{}/{}@{}", info.namespace, info.name, info.version.0),
            outline: drawn(&*workflow.program)?.outline(),
            states: None,
        })
    }

    /// A workflow with what a history of it tells, in order.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn of_history<'a>(
        workflow: &CompiledWorkflow,
        history: impl IntoIterator<Item = &'a HistoryRecord>,
    ) -> Result<Self> {
        let mut diagram = Self::of(workflow)?;
        let program = drawn(&*workflow.program)?;
        let mut states = StepStates::default();
        history
            .into_iter()
            .for_each(|record| states.observe(record, program));
        diagram.states = Some(states);
        Ok(diagram)
    }

    /// In the language of Graphviz: `dot -Tsvg` draws it. Steps are coloured by their outcome, and
    /// say how often they began and how long they took; edges say when the step they lead to began.
    pub fn to_dot(&self) -> String {
        dot::render(self)
    }

    /// In the language of Mermaid, which many viewers of Markdown draw; with the same colours and
    /// times as [`to_dot`](Self::to_dot).
    pub fn to_mermaid(&self) -> String {
        mermaid::render(self)
    }

    fn parts(&self, whole: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        let steps = self.outline.steps.iter().enumerate();
        let parts = steps.filter(move |(_, step)| step.parent == whole);
        parts.map(|(place, _)| place)
    }

    fn is_whole(&self, place: usize) -> bool {
        self.parts(Some(place)).next().is_some()
    }

    /// The steps with which it begins.
    fn first(&self) -> impl Iterator<Item = usize> + '_ {
        let entered = |place: usize| self.outline.edges.iter().any(|edge| edge.to == place);
        self.parts(None).filter(move |place| !entered(*place))
    }

    /// The steps that nothing follows.
    fn last(&self) -> impl Iterator<Item = usize> + '_ {
        let left = |place: usize| self.outline.edges.iter().any(|edge| edge.from == place);
        self.parts(None).filter(move |place| !left(*place))
    }

    /// What stands in a step, line by line.
    fn lines(&self, place: usize) -> Vec<String> {
        let step = &self.outline.steps[place];
        let mut lines = vec![step.label.clone()];
        match (&step.target, step.kind) {
            (Some(target), StepKind::Map) => lines.push(format!("each: {target}")),
            (Some(target), _) => lines.push(target.to_string()),
            (None, StepKind::Wait) => lines.push("wait".into()),
            (None, StepKind::Parallel) => lines.push("parallel".into()),
            (None, StepKind::Map) => lines.push("each".into()),
            (None, _) => {}
        }
        let states = self.states.as_ref();
        lines.extend(states.and_then(|states| states.summary(&step.label)));
        lines
    }

    /// What stands at an edge.
    fn edge(&self, label: &str, to: usize) -> String {
        let to = &self.outline.steps[to].label;
        let begun = self.states.as_ref().and_then(|states| states.begun(to));
        let parts = [Some(label.to_owned()), begun].into_iter().flatten();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    }
}

impl CompiledWorkflow {
    /// The workflow as a picture; see [`Diagram::to_dot`].
    ///
    /// # Errors
    /// `Unsupported` for a program that shows no outline.
    pub fn to_dot(&self) -> Result<String> {
        Diagram::of(self).map(|diagram| diagram.to_dot())
    }

    /// The workflow as a picture; see [`Diagram::to_mermaid`].
    ///
    /// # Errors
    /// `Unsupported` for a program that shows no outline.
    pub fn to_mermaid(&self) -> Result<String> {
        Diagram::of(self).map(|diagram| diagram.to_mermaid())
    }
}

impl WorkflowLayer {
    /// An execution as it stands, to be drawn.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for a program that shows no outline; the stores' own.
    pub async fn diagram(&self, execution: ExecutionId) -> Result<Diagram> {
        let head = self.engine().describe_execution(execution).await?;
        let workflow = self.registry().get(&head.workflow).await?;
        let mut diagram = Diagram::of(&workflow)?;
        let program = drawn(&*workflow.program)?;
        let mut states = StepStates::default();
        let mut records = std::pin::pin!(self.engine().records(execution));
        while let Some(record) = records.try_next().await? {
            states.observe(&record, program);
        }
        diagram.title = format!("{} ({})", head.name, head.status().label());
        diagram.states = Some(states);
        Ok(diagram)
    }
}

#[cfg(test)]
mod tests;
