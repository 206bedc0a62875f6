//! What a program looks like from outside: its steps, and how they follow each other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TaskTarget;
use crate::history::HistoryRecord;

/// What kind of step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// Somebody works for it.
    Task,
    /// It only computes.
    Compute,
    /// It decides what follows.
    Choice,
    /// It waits: for time, or a signal.
    Wait,
    /// Its parts run at once.
    Parallel,
    /// Its part runs for each element of a list.
    Map,
    /// The workflow succeeds.
    Succeed,
    /// The workflow fails.
    Fail,
}

/// When a step begins that several steps lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When all of them have ended.
    All,
    /// When any of them has.
    #[default]
    Any,
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutlineStep {
    /// Its name, as the workflow's author knows it; unique within the workflow.
    pub label: String,
    /// What kind of step it is.
    pub kind: StepKind,
    /// Who runs it, if anybody does.
    pub target: Option<TaskTarget>,
    /// The step that it is a part of, by its place.
    pub parent: Option<usize>,
    /// When it begins.
    pub join: Join,
}

impl OutlineStep {
    /// A step of its own that nobody runs.
    pub fn new(label: impl Into<String>, kind: StepKind) -> Self {
        Self {
            label: label.into(),
            kind,
            target: None,
            parent: None,
            join: Join::Any,
        }
    }
}

/// That one step leads to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineEdge {
    /// From which step, by its place.
    pub from: usize,
    /// To which step.
    pub to: usize,
    /// When, if not always: an error that is caught, say.
    pub label: String,
}

/// The steps of a workflow, and how they follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outline {
    /// The steps; a part stands behind what it is a part of.
    pub steps: Vec<OutlineStep>,
    /// How they follow each other; edges do not lead into or out of a part.
    pub edges: Vec<OutlineEdge>,
}

impl Outline {
    /// Adds a step; answers its place.
    pub fn add(&mut self, step: OutlineStep) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Lets one step lead to another.
    pub fn connect(&mut self, from: usize, to: usize, label: impl Into<String>) {
        let label = label.into();
        self.edges.push(OutlineEdge { from, to, label });
    }

    /// The place of the step of that name.
    pub fn place(&self, label: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.label == label)
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepPhase {
    /// It began, or began again.
    Entered,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
    /// It failed, and is tried again or its failure was caught.
    Recovered,
}

/// That something became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepChange {
    /// Of which step.
    pub label: String,
    /// What.
    pub phase: StepPhase,
    /// When.
    pub at: Timestamp,
}

/// A program that can be drawn; reached through [`Program::diagram`](super::Program::diagram).
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ProgramDiagram: Send + Sync + 'static {
    /// Its steps.
    fn outline(&self) -> Outline;
    /// What a record of its history tells of a step; records are given in order.
    fn change(&self, record: &HistoryRecord) -> Option<StepChange>;
}
