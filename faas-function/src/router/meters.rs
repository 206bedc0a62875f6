//! [`Meters`]: handles of the metrics of one function, made once; each invocation that ends is
//! counted once.

use std::time::Duration;

use faas_core::StartKind;
use faas_core::telemetry::{
    INSTANCES, INVOCATION_SECONDS, INVOCATIONS, QUEUE_DEPTH, QUEUE_SECONDS,
};
use metrics::{Counter, Gauge, Histogram};

use crate::registry::FunctionRevision;

/// The metrics of one function.
pub(super) struct Meters {
    ended: [[Counter; 4]; 4],
    seconds: [Histogram; 3],
    pub(super) waited: Histogram,
    pub(super) depth: Gauge,
    pub(super) instances: Gauge,
}

/// How an invocation ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Success,
    Failure,
    /// The platform failed, or refused it.
    Error,
    /// The caller dropped it.
    Cancelled,
}

/// How invocations start, and what never got an instance, by [`place`].
const STARTS: [&str; 4] = ["cold", "warm", "prewarmed", "none"];
const UNSERVED: usize = 3;
const ENDS: [&str; 4] = ["success", "failure", "error", "cancelled"];

/// Where the meters of a start stand.
const fn place(start: StartKind) -> usize {
    match start {
        StartKind::Cold => 0,
        StartKind::Warm => 1,
        StartKind::Prewarmed => 2,
    }
}

impl Meters {
    pub(super) fn new(revision: &FunctionRevision) -> Self {
        let namespace = revision.function.namespace.to_string();
        let function = revision.function.name.to_string();
        let labels = [("namespace", namespace), ("function", function)];
        let ended = STARTS.map(|start| {
            ENDS.map(|outcome| {
                let [namespace, function] = labels.clone();
                let labels = [
                    namespace,
                    function,
                    ("start", start.into()),
                    ("outcome", outcome.into()),
                ];
                metrics::counter!(INVOCATIONS, &labels)
            })
        });
        let starts = [StartKind::Cold, StartKind::Warm, StartKind::Prewarmed];
        let seconds = starts.map(|start| {
            let [namespace, function] = labels.clone();
            let labels = [namespace, function, ("start", STARTS[place(start)].into())];
            metrics::histogram!(INVOCATION_SECONDS, &labels)
        });
        Self {
            ended,
            seconds,
            waited: metrics::histogram!(QUEUE_SECONDS, &labels),
            depth: metrics::gauge!(QUEUE_DEPTH, &labels),
            instances: metrics::gauge!(INSTANCES, &labels),
        }
    }

    /// An invocation ended that had an instance; `took` is from the door to its trailer or error.
    pub(super) fn ended(&self, start: StartKind, end: End, took: Duration) {
        self.ended[place(start)][end as usize].increment(1);
        self.seconds[place(start)].record(took.as_secs_f64());
    }

    /// The caller has dropped an invocation that had an instance.
    pub(super) fn dropped(&self, start: StartKind) {
        self.ended[place(start)][End::Cancelled as usize].increment(1);
    }

    /// An invocation ended that never got an instance, or none that lived.
    pub(super) fn unserved(&self, end: End) {
        self.ended[UNSERVED][end as usize].increment(1);
    }
}

/// Counts invocations of what is no function: without labels that outsiders could choose.
pub(super) struct Unrouted([Counter; 2]);

impl Unrouted {
    pub(super) fn new() -> Self {
        let counter = |outcome| {
            let labels = [
                ("namespace", ""),
                ("function", ""),
                ("start", STARTS[UNSERVED]),
                ("outcome", outcome),
            ];
            metrics::counter!(INVOCATIONS, &labels)
        };
        Self([End::Error, End::Cancelled].map(|end| counter(ENDS[end as usize])))
    }

    pub(super) fn ended(&self, end: End) {
        let Self([error, cancelled]) = self;
        match end {
            End::Cancelled => cancelled.increment(1),
            _ => error.increment(1),
        }
    }
}

/// Counts an invocation that does not come to its end otherwise: dropped, it is cancelled.
pub(super) struct Tally<F: FnMut(End)> {
    count: F,
    end: Option<End>,
}

impl<F: FnMut(End)> Tally<F> {
    pub(super) fn new(count: F) -> Self {
        let end = Some(End::Cancelled);
        Self { count, end }
    }

    /// It ends with an error.
    pub(super) fn fails(mut self) {
        self.end = Some(End::Error);
    }

    /// It goes on, and is counted elsewhere.
    pub(super) fn goes_on(mut self) {
        self.end = None;
    }
}

impl<F: FnMut(End)> Drop for Tally<F> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            (self.count)(end);
        }
    }
}
