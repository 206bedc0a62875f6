//! What can go wrong in an execution, and what matches it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::program::TaskError;

pub(super) const RUNTIME: &str = "States.Runtime";
pub(super) const TIMEOUT: &str = "States.Timeout";
pub(super) const DATA_LIMIT: &str = "States.DataLimitExceeded";
pub(super) const PARAMETER_PATH: &str = "States.ParameterPathFailure";
pub(super) const RESULT_PATH: &str = "States.ResultPathMatchFailure";
pub(super) const INTRINSIC: &str = "States.IntrinsicFailure";
pub(super) const NO_CHOICE: &str = "States.NoChoiceMatched";
pub(super) const QUERY: &str = "States.QueryEvaluationError";
pub(super) const ITEM_READER: &str = "States.ItemReaderFailed";
pub(super) const RESULT_WRITER: &str = "States.ResultWriterFailed";
pub(super) const THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";

/// An error with its name and its cause; either may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
    /// Whether it is a timeout for want of heartbeats.
    pub(super) heartbeat: bool,
}

/// Why something could not be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) error: &'static str,
    pub(super) detail: String,
    /// The field whose expression it is about.
    pub(super) field: Option<String>,
    /// Whether it shows only after the state's fields were computed.
    pub(super) late: bool,
}

impl Trouble {
    pub(super) fn new(error: &'static str, detail: impl Into<String>) -> Self {
        Self {
            error,
            detail: detail.into(),
            field: None,
            late: false,
        }
    }

    /// An expression's fault.
    pub(super) fn of_field(field: &str, detail: impl Into<String>) -> Self {
        let mut trouble = Self::new(QUERY, detail);
        trouble.field = Some(field.into());
        trouble
    }

    pub(super) fn late(mut self) -> Self {
        self.late = true;
        self
    }

    pub(super) fn runtime(detail: impl Into<String>) -> Self {
        Self::new(RUNTIME, detail)
    }
}

impl Failure {
    pub(super) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            cause: Some(cause.into()),
            heartbeat: false,
        }
    }

    pub(super) fn timeout(heartbeat: bool) -> Self {
        Self {
            error: Some(TIMEOUT.into()),
            cause: None,
            heartbeat,
        }
    }

    /// Whether a rule for errors of that name is for this one.
    pub(super) fn matches(&self, pattern: &str) -> bool {
        let error = self.error.as_deref();
        if error == Some(pattern) {
            return true;
        }
        match pattern {
            "States.ALL" => error != Some(RUNTIME),
            "States.TaskFailed" => !matches!(error, Some(RUNTIME | TIMEOUT)),
            "States.HeartbeatTimeout" => self.heartbeat,
            _ => false,
        }
    }

    /// As the details of an event.
    pub(super) fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        let cause = self.cause.clone().map(|cause| ("cause", cause));
        let error = self.error.clone().map(|error| ("error", error));
        for (name, text) in cause.into_iter().chain(error) {
            details.insert(name.into(), text.into());
        }
        details
    }

    /// As a catcher's state sees it.
    pub(super) fn output(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        let missing = match self.error.as_deref() {
            // AWS gives a timeout an empty cause.
            Some(TIMEOUT) if self.cause.is_none() => Value::String(String::new()),
            _ => text(&self.cause),
        };
        let fields = [("Error", text(&self.error)), ("Cause", missing)];
        fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
    }

    /// As the engine knows errors.
    pub(super) fn into_task_error(self) -> TaskError {
        let (error, cause) = (self.error, self.cause);
        TaskError::new(error.unwrap_or_default(), cause.unwrap_or_default())
    }
}
