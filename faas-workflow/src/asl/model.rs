//! [`StateMachine`]: a definition, compiled.

mod map;
mod resource;
mod rule;

use std::sync::Arc;

use serde_json::Value;

use super::expression::QueryLanguage;
use super::path::{Path, Reference};
use super::settings::Settings;
use super::template::{Place, Template};
use crate::program::DefinitionDigest;

pub(super) use map::{Batcher, Items, Limit, Map, Mode, Reader, ReaderFormat, Writer};
pub(super) use resource::{Resource, ResourceKind};
pub(super) use rule::{Comparison, Condition, Operand, Operator, Rule, Test, Type};

/// A state, by its place in [`StateMachine::states`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub(super) struct StateIndex(pub(super) usize);

/// A definition, compiled: a program of the engine.
#[derive(Debug)]
pub struct StateMachine {
    pub(super) digest: DefinitionDigest,
    pub(super) settings: Settings,
    /// All states of all levels.
    pub(super) states: Vec<State>,
    pub(super) start: StateIndex,
    /// How long an execution may take, in seconds.
    pub(super) timeout: Option<u64>,
}

/// One state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: Arc<str>,
    pub(super) query: QueryLanguage,
    pub(super) flow: Flow,
    pub(super) kind: Kind,
    pub(super) next: Next,
    pub(super) retry: Vec<Retrier>,
    pub(super) catch: Vec<Catcher>,
}

/// Where an execution goes from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    End,
    To(StateIndex),
}

/// What a state takes and gives.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) input_path: Selection,
    /// `Parameters`, or `Arguments`.
    pub(super) arguments: Option<Template>,
    pub(super) result_selector: Option<Template>,
    pub(super) result_path: ResultPath,
    pub(super) output_path: Selection,
    pub(super) assign: Option<Template>,
    /// `Output`, of JSONata.
    pub(super) output: Option<Template>,
}

/// `InputPath`, `OutputPath`.
#[derive(Debug, Default)]
pub(super) enum Selection {
    #[default]
    Whole,
    /// `null`: an empty object.
    Nothing,
    Path(Path),
}

/// `ResultPath`.
#[derive(Debug, Default)]
pub(super) enum ResultPath {
    #[default]
    Whole,
    /// `null`: the input is the output.
    Discard,
    Place {
        text: String,
        reference: Reference,
    },
}

#[derive(Debug)]
pub(super) enum Kind {
    Pass {
        result: Option<Value>,
    },
    Task(Box<Task>),
    Choice {
        rules: Vec<Rule>,
        default: Option<StateIndex>,
    },
    Wait(Wait),
    Succeed,
    Fail {
        error: Option<Text>,
        cause: Option<Text>,
    },
    /// The first state of each branch.
    Parallel {
        branches: Vec<StateIndex>,
    },
    Map(Box<Map>),
}

impl Kind {
    /// As a definition writes it, and as events begin.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "Pass",
            Self::Task(_) => "Task",
            Self::Choice { .. } => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed => "Succeed",
            Self::Fail { .. } => "Fail",
            Self::Parallel { .. } => "Parallel",
            Self::Map(_) => "Map",
        }
    }
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) resource: Resource,
    pub(super) timeout: Option<Amount>,
    pub(super) heartbeat: Option<Amount>,
    pub(super) credentials: Option<Template>,
}

/// A number that is given, or computed.
#[derive(Debug)]
pub(super) enum Amount {
    Literal(u64),
    Computed(Place),
}

#[derive(Debug)]
pub(super) enum Wait {
    Seconds(Amount),
    Until(Text),
}

/// A text that is given, or computed.
#[derive(Debug)]
pub(super) enum Text {
    Literal(String),
    Computed(Place),
}

/// Whether a retrier's delays are shortened at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Jitter {
    #[default]
    None,
    Full,
}

#[derive(Debug)]
pub(super) struct Retrier {
    pub(super) errors: Vec<String>,
    pub(super) interval: u64,
    pub(super) attempts: u32,
    pub(super) backoff: f64,
    pub(super) max_delay: Option<u64>,
    pub(super) jitter: Jitter,
}

#[derive(Debug)]
pub(super) struct Catcher {
    pub(super) errors: Vec<String>,
    pub(super) next: StateIndex,
    pub(super) result_path: ResultPath,
    pub(super) assign: Option<Template>,
    pub(super) output: Option<Template>,
}

impl StateMachine {
    pub(super) fn state(&self, index: StateIndex) -> &State {
        // Indices come from the definition alone.
        &self.states[index.0]
    }
}
