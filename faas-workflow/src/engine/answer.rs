//! What a function's answer is to a workflow.

use faas_core::Payload;
use serde_json::Value;

use crate::program::{Data, TaskError};

/// An answer as data: nothing is `null`, JSON is itself, other text is a string.
pub(crate) fn payload_data(payload: Payload) -> Result<Data, TaskError> {
    if payload.is_empty() {
        return Ok(Data::new(Value::Null));
    }
    let parsed = serde_json::from_slice::<Value>(payload.as_bytes());
    if let Ok(value) = parsed {
        return Ok(Data::new(value));
    }
    let text = std::str::from_utf8(payload.as_bytes()).ok();
    match text.filter(|_| !payload.content_type().is_json()) {
        Some(text) => Ok(Data::new(text.into())),
        None => {
            let message = format!("the answer ({payload:?}) is neither JSON nor text");
            Err(TaskError::new("Data.NotJson", message))
        }
    }
}
