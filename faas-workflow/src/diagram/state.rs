//! What became of each step.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::history::HistoryRecord;
use crate::program::{ProgramDiagram, StepPhase};

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Running,
    Succeeded,
    Failed,
    /// It failed, and is tried again or its failure was caught.
    Recovered,
}

impl Outcome {
    pub(super) const ALL: [Self; 4] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Recovered,
    ];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
        }
    }

    /// Colours that are told apart by those who see few: light, with dark text.
    pub(super) const fn colour(self) -> &'static str {
        match self {
            Self::Running => "#a6cee3",
            Self::Succeeded => "#b2df8a",
            Self::Failed => "#fb9a99",
            Self::Recovered => "#fdbf6f",
        }
    }
}

#[derive(Debug, Clone)]
struct State {
    outcome: Outcome,
    begun: Timestamp,
    changed: Timestamp,
    times: u32,
}

/// What became of all steps, by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct StepStates {
    steps: BTreeMap<String, State>,
    start: Option<Timestamp>,
}

impl StepStates {
    pub(super) fn observe(&mut self, record: &HistoryRecord, program: &dyn ProgramDiagram) {
        self.start.get_or_insert(record.at);
        let Some(change) = program.change(record) else {
            return;
        };
        let state = self.steps.entry(change.label).or_insert(State {
            outcome: Outcome::Running,
            begun: change.at,
            changed: change.at,
            times: 0,
        });
        state.times += u32::from(change.phase == StepPhase::Entered);
        state.changed = change.at;
        state.outcome = match change.phase {
            StepPhase::Entered => Outcome::Running,
            StepPhase::Succeeded => Outcome::Succeeded,
            StepPhase::Failed => Outcome::Failed,
            StepPhase::Recovered => Outcome::Recovered,
        };
    }

    pub(super) fn outcome(&self, label: &str) -> Option<Outcome> {
        self.steps.get(label).map(|state| state.outcome)
    }

    /// How often a step began, and how long it took.
    pub(super) fn summary(&self, label: &str) -> Option<String> {
        let state = self.steps.get(label)?;
        let took = between(state.begun, state.changed);
        let times = match state.times {
            0 | 1 => String::new(),
            times => format!(" ({times} times)"),
        };
        Some(match state.outcome {
            Outcome::Running => format!("running{times}"),
            outcome => format!("{} in {took:.1?}{times}", outcome.label()),
        })
    }

    /// When a step began, from the start of the execution.
    pub(super) fn begun(&self, label: &str) -> Option<String> {
        let state = self.steps.get(label)?;
        Some(format!("+{:.1?}", between(self.start?, state.begun)))
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
