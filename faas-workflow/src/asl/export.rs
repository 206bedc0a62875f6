//! A history in the shape of AWS's `GetExecutionHistory`, for the viewers that there are.

use serde_json::{Map, Value, json};

use crate::history::HistoryRecord;

/// The record as an event of AWS's: its details under the name that its type gives them.
///
/// ```
/// # use faas_workflow::HistoryRecord;
/// # use faas_workflow::asl::aws_event;
/// # use jiff::Timestamp;
/// # use serde_json::json;
/// let details = json!({ "name": "Greet", "input": "{}" });
/// let record = HistoryRecord::new(2, Timestamp::UNIX_EPOCH, "PassStateEntered", details);
/// assert_eq!(aws_event(&record), json!({
///     "id": 2, "previousEventId": 0, "timestamp": "1970-01-01T00:00:00.000Z",
///     "type": "PassStateEntered",
///     "stateEnteredEventDetails": {
///         "name": "Greet", "input": "{}", "inputDetails": { "truncated": false },
///     },
/// }));
/// ```
pub fn aws_event(record: &HistoryRecord) -> Value {
    let mut event = Map::new();
    event.insert("id".into(), record.id.into());
    event.insert(
        "previousEventId".into(),
        record.previous.unwrap_or(0).into(),
    );
    event.insert("timestamp".into(), super::timestamp::show(record.at).into());
    event.insert("type".into(), record.kind.as_str().into());
    let mut details = record.details.as_object().cloned().unwrap_or_default();
    for data in ["input", "output"] {
        if details.contains_key(data) {
            details.insert(format!("{data}Details"), json!({ "truncated": false }));
        }
    }
    if !details.is_empty() {
        event.insert(details_name(&record.kind), Value::Object(details));
    }
    Value::Object(event)
}

/// The events as `GetExecutionHistory` answers them.
pub fn aws_history(records: &[HistoryRecord]) -> Value {
    let events: Vec<Value> = records.iter().map(aws_event).collect();
    json!({ "events": events })
}

/// The field that holds the details of events of a type.
fn details_name(kind: &str) -> String {
    for (ending, name) in [
        ("StateEntered", "stateEntered"),
        ("StateExited", "stateExited"),
    ] {
        if kind.ends_with(ending) {
            return format!("{name}EventDetails");
        }
    }
    let mut characters = kind.chars();
    let first = characters.next().map(|c| c.to_ascii_lowercase());
    let name: String = first.into_iter().chain(characters).collect();
    format!("{name}EventDetails")
}
