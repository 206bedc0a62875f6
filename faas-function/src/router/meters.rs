//! [`Meters`]: handles of the metrics of one function, made once.

use std::time::Duration;

use faas_core::telemetry::{
    INSTANCES, INVOCATION_SECONDS, INVOCATIONS, QUEUE_DEPTH, QUEUE_SECONDS,
};
use faas_core::{Outcome, StartKind};
use metrics::{Counter, Gauge, Histogram};

use crate::registry::FunctionRevision;

/// The metrics of one function.
pub(super) struct Meters {
    ended: [[Counter; 3]; 3],
    seconds: [Histogram; 3],
    pub(super) waited: Histogram,
    pub(super) depth: Gauge,
    pub(super) instances: Gauge,
}

const STARTS: [StartKind; 3] = [StartKind::Cold, StartKind::Warm, StartKind::Prewarmed];

impl Meters {
    pub(super) fn new(revision: &FunctionRevision) -> Self {
        let namespace = revision.function.namespace.to_string();
        let function = revision.function.name.to_string();
        let labels = [("namespace", namespace), ("function", function)];
        let ended = STARTS.map(|start| {
            ["success", "failure", "error"].map(|outcome| {
                let start = start.to_string();
                let [namespace, function] = labels.clone();
                let labels = [
                    namespace,
                    function,
                    ("start", start),
                    ("outcome", outcome.into()),
                ];
                metrics::counter!(INVOCATIONS, &labels)
            })
        });
        let seconds = STARTS.map(|start| {
            let [namespace, function] = labels.clone();
            let labels = [namespace, function, ("start", start.to_string())];
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

    /// An invocation ended; `None` is an error of the platform.
    pub(super) fn ended(&self, start: StartKind, outcome: Option<&Outcome>, took: Duration) {
        let kind = match start {
            StartKind::Cold => 0,
            StartKind::Warm => 1,
            StartKind::Prewarmed => 2,
        };
        let how = match outcome {
            Some(Outcome::Success) => 0,
            Some(_) => 1,
            None => 2,
        };
        self.ended[kind][how].increment(1);
        self.seconds[kind].record(took.as_secs_f64());
    }
}
