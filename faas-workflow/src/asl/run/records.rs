//! The public history: AWS's events, with AWS's details.

use serde_json::{Map, Value, json};

use super::Turn;
use super::frame::{Frame, StreamId};
use crate::history::HistoryRecord;

/// The details of an event.
pub(super) type Details = Map<String, Value>;

/// Details from `json!`.
pub(super) fn details(value: Value) -> Details {
    match value {
        Value::Object(fields) => fields,
        _ => Details::new(),
    }
}

/// Data as events show it: JSON text.
pub(super) fn text(value: &Value) -> Value {
    Value::String(value.to_string())
}

impl Turn<'_> {
    /// Writes an event that follows the frame's last, and is its last from now on.
    pub(super) fn record(&mut self, frame: &mut Frame, kind: &str, details: Details) -> u64 {
        let id = self.record_after(frame.stream, frame.last, kind, details);
        frame.last = id;
        id
    }

    /// Writes an event of a history that follows a given one.
    pub(super) fn record_after(
        &mut self,
        stream: StreamId,
        previous: u64,
        kind: &str,
        details: Details,
    ) -> u64 {
        let last = self.run.streams.entry(stream).or_default();
        *last += 1;
        let id = *last;
        if id > self.machine.settings.limits.history_events {
            self.overflow = true;
        }
        if stream == StreamId(0) {
            let details = Value::Object(details);
            let mut record = HistoryRecord::new(id, self.at, kind, details);
            record.previous = Some(previous);
            self.records.push(record);
        }
        id
    }

    /// Whether anybody sees the events of a frame, so that their details are worth making.
    pub(super) fn is_seen(frame: &Frame) -> bool {
        frame.stream == StreamId(0)
    }

    /// `…StateEntered`
    pub(super) fn record_entered(
        &mut self,
        frame: &mut Frame,
        kind: &str,
        name: &str,
        input: &Value,
    ) -> u64 {
        let entered = match Self::is_seen(frame) {
            true => details(json!({ "name": name, "input": text(input) })),
            false => Details::new(),
        };
        self.record(frame, &format!("{kind}StateEntered"), entered)
    }

    /// `…StateExited`
    pub(super) fn record_exited(
        &mut self,
        frame: &mut Frame,
        kind: &str,
        name: &str,
        output: &Value,
        assigned: &Map<String, Value>,
    ) {
        let mut exited = Details::new();
        if Self::is_seen(frame) {
            exited = details(json!({ "name": name, "output": text(output) }));
            if !assigned.is_empty() {
                let assigned = assigned.iter().map(|(k, v)| (k.clone(), text(v)));
                exited.insert(
                    "assignedVariables".into(),
                    Value::Object(assigned.collect()),
                );
            }
        }
        self.record(frame, &format!("{kind}StateExited"), exited);
    }
}
