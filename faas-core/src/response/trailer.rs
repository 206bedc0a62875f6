//! [`Trailer`]: how an invocation ended, what it consumed, and where its time went.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FunctionError;
use crate::resources::ByteSize;

/// How the function ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Success,
    /// It failed.
    Failure(FunctionError),
}

/// What an invocation consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// How long an instance was busy with it.
    pub duration: Duration,
    /// Processor time, where the sandbox can tell.
    pub cpu: Option<Duration>,
    /// The most memory its sandbox had used by its end, where the sandbox can tell.
    pub peak_memory: Option<ByteSize>,
}

/// A part of an invocation's way, by the component that it is spent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Phase {
    /// F5: finding the revision and an instance.
    Route,
    /// F5: waiting in the queue (all the phases of a cold start lie within it).
    Queue,
    /// F6: until the autoscaler had decided.
    Scale,
    /// F3: planning.
    Plan,
    /// R2 and R3: managing and placing.
    Place,
    /// The contract's hook: preparing.
    Prepare,
    /// R4: starting the sandbox.
    Start,
    /// F4: connecting to the sandbox until it speaks its contract.
    Connect,
    /// F4: the function itself and the transport to it.
    Run,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Route,
        Self::Queue,
        Self::Scale,
        Self::Plan,
        Self::Place,
        Self::Prepare,
        Self::Start,
        Self::Connect,
        Self::Run,
    ];

    /// The phase in one word, and the components it is spent in.
    pub const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Route => ("route", "F5"),
            Self::Queue => ("queue", "F5"),
            Self::Scale => ("scale", "F6"),
            Self::Plan => ("plan", "F3"),
            Self::Place => ("place", "R2, R3"),
            Self::Prepare => ("prepare", "hook"),
            Self::Start => ("start", "R4"),
            Self::Connect => ("connect", "F4"),
            Self::Run => ("run", "F4"),
        }
    }
}

/// Where the time of an invocation went; of fixed size, because every call carries one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeline([Duration; Phase::ALL.len()]);

impl Index<Phase> for Timeline {
    type Output = Duration;
    #[inline]
    fn index(&self, phase: Phase) -> &Duration {
        &self.0[phase as usize]
    }
}

impl IndexMut<Phase> for Timeline {
    #[inline]
    fn index_mut(&mut self, phase: Phase) -> &mut Duration {
        &mut self.0[phase as usize]
    }
}

impl Timeline {
    /// The phases that took any time, in order.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL
            .into_iter()
            .map(|phase| (phase, self[phase]))
            .filter(|(_, time)| !time.is_zero())
    }

    /// From the door to the end: route, queue and run (the others lie within the queue).
    #[inline]
    pub fn total(&self) -> Duration {
        self[Phase::Route]
            .saturating_add(self[Phase::Queue])
            .saturating_add(self[Phase::Run])
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?}", self.total())?;
        for (index, (phase, time)) in self.phases().enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            write!(f, "{separator}{} {time:.1?}", phase.label().0)?;
        }
        Ok(())
    }
}

/// The end of a [`Body`](crate::Body): what came of it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// How the function ended.
    pub outcome: Outcome,
    /// What it consumed.
    pub usage: Usage,
    /// Where the time went.
    pub timeline: Timeline,
}

impl Trailer {
    /// A success that consumed nothing yet.
    #[inline]
    pub fn success() -> Self {
        let (usage, timeline) = Default::default();
        Self {
            outcome: Outcome::Success,
            usage,
            timeline,
        }
    }

    /// A failure that consumed nothing yet.
    pub fn failure(error: FunctionError) -> Self {
        Self {
            outcome: Outcome::Failure(error),
            ..Self::success()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_counts_the_phases_of_a_cold_start_once() {
        let mut timeline = Timeline::default();
        for (phase, millis) in [(Phase::Route, 1), (Phase::Queue, 20), (Phase::Start, 15)] {
            timeline[phase] = Duration::from_millis(millis);
        }
        timeline[Phase::Run] = Duration::from_millis(4);
        assert_eq!(timeline.total(), Duration::from_millis(25));
        assert_eq!(
            timeline.to_string(),
            "25.0ms: route 1.0ms, queue 20.0ms, start 15.0ms, run 4.0ms"
        );
        timeline[Phase::Run] = Duration::MAX;
        assert_eq!(timeline.total(), Duration::MAX);
    }

    #[test]
    fn every_phase_has_a_place_of_its_own() {
        let mut timeline = Timeline::default();
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            timeline[phase] = Duration::from_secs(index as u64 + 1);
        }
        let seen: Vec<_> = timeline.phases().map(|(_, time)| time.as_secs()).collect();
        assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    }
}
