//! [`Response`]: what came of an invocation.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::Result;
use crate::id::InvocationId;
use crate::invocation::Attributes;
use crate::payload::{ContentType, Payload};
use crate::resources::ByteSize;

/// Whether a sandbox had to be started for an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    /// It waited for a sandbox that was started on demand, and was its first.
    Cold,
    /// Its instance had served before.
    Warm,
    /// Its instance had been started ahead of demand and had not served yet.
    Prewarmed,
}

impl fmt::Display for StartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Prewarmed => "prewarmed",
        })
    }
}

/// A failing user function: not an [`Error`](crate::Error), for the platform did its part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{kind}: {message}")]
pub struct FunctionError {
    /// The error's name, as the function or its contract gives it; workflows match on it.
    pub kind: Cow<'static, str>,
    /// The error's text.
    pub message: String,
    /// Whatever else the function said: a stack trace, details; JSON if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl FunctionError {
    /// A closure panicked.
    pub const PANIC: &'static str = "Function.Panic";
    /// The function ran out of the time that its configuration grants.
    pub const TIMEOUT: &'static str = "Function.Timeout";
    /// The process exited or was killed while it had the request.
    pub const EXIT: &'static str = "Function.Exit";
    /// What the function sent is not of its contract.
    pub const PROTOCOL: &'static str = "Function.Protocol";
    /// The function answered more than the limit.
    pub const RESPONSE_TOO_LARGE: &'static str = "Function.ResponseTooLarge";
    /// The input is not what the function takes.
    pub const INPUT: &'static str = "Function.Input";
    /// Something that the function asked of the platform failed.
    pub const PLATFORM: &'static str = "Function.Platform";

    /// An error of the function with a name and a text.
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            details: None,
        }
    }

    /// Adds whatever else the function said.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }
}

/// So that a handler can use `?` on what it asks of the platform's types: a wrong input is
/// [`INPUT`](FunctionError::INPUT), all else [`PLATFORM`](FunctionError::PLATFORM).
impl From<crate::Error> for FunctionError {
    fn from(error: crate::Error) -> Self {
        let kind = match error.kind() {
            crate::ErrorKind::InvalidArgument => Self::INPUT,
            _ => Self::PLATFORM,
        };
        Self::new(kind, error.to_string())
    }
}

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

/// The end of a [`Body`]: what came of it all.
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

/// What came of an [`Invocation`](crate::Invocation); the outcome stands in the trailer of its
/// body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// Of which invocation.
    pub id: InvocationId,
    /// Whether a sandbox had to be started.
    pub start: StartKind,
    /// What the body is.
    pub content_type: ContentType,
    /// HTTP-like metadata, where the function gives it.
    pub attributes: Attributes,
    /// The bytes, and the trailer.
    pub body: Body,
}

/// A [`Response`] that has arrived in full.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Completed {
    /// Of which invocation.
    pub id: InvocationId,
    /// Whether a sandbox had to be started.
    pub start: StartKind,
    /// HTTP-like metadata, where the function gives it.
    pub attributes: Attributes,
    /// What the function answered; empty or partial if it failed.
    pub payload: Payload,
    /// How it ended, what it consumed, where the time went.
    pub trailer: Trailer,
}

impl Response {
    /// A response with the given body; warm until the router says otherwise.
    #[inline]
    pub fn new(id: InvocationId, content_type: ContentType, body: Body) -> Self {
        Self {
            id,
            start: StartKind::Warm,
            content_type,
            attributes: Attributes::new(),
            body,
        }
    }

    /// A whole, successful response.
    pub fn success(id: InvocationId, payload: Payload) -> Self {
        let content_type = payload.content_type().clone();
        Self::new(
            id,
            content_type,
            Body::whole(payload.into_bytes(), Trailer::success()),
        )
    }

    /// A whole response of a function that failed.
    pub fn failure(id: InvocationId, error: FunctionError) -> Self {
        Self::new(
            id,
            ContentType::OCTETS,
            Body::whole(bytes::Bytes::new(), Trailer::failure(error)),
        )
    }

    /// Sets whether a sandbox had to be started.
    #[must_use]
    pub fn with_start(mut self, start: StartKind) -> Self {
        self.start = start;
        self
    }

    /// Replaces the attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Waits for the whole body, `limit` bytes at most.
    ///
    /// # Errors
    /// As [`Body::collect`].
    pub async fn collect(self, limit: usize) -> Result<Completed> {
        let (bytes, trailer) = self.body.collect(limit).await?;
        let payload = Payload::new(bytes, self.content_type);
        Ok(Completed {
            id: self.id,
            start: self.start,
            attributes: self.attributes,
            payload,
            trailer,
        })
    }
}

impl Completed {
    /// The payload, or the function's error.
    ///
    /// # Errors
    /// The [`FunctionError`] if the function failed.
    pub fn into_result(self) -> Result<Payload, FunctionError> {
        match self.trailer.outcome {
            Outcome::Success => Ok(self.payload),
            Outcome::Failure(error) => Err(error),
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
