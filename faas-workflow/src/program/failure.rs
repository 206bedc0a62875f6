//! [`TaskError`]: why a task failed.

use std::fmt;
use std::time::Duration;

use faas_core::{ErrorKind, FunctionError, Retry};
use serde::{Deserialize, Serialize};

/// Why a task failed: by a [`FunctionError`], or by the platform (kinds that begin with
/// `Platform.`), or by its data (kinds that begin with `Data.`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskError {
    /// The error's name; retry and catch match on it.
    pub kind: String,
    /// The error's text.
    pub message: String,
    /// What else the function said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Whether the platform says that another attempt may help.
    pub retry: TaskRetry,
    /// When another attempt may succeed, if the platform knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

/// [`Retry`] in a form that is stored, and that knows failing functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskRetry {
    /// A function failed; the workflow's own rules decide alone.
    Program,
    /// Trying again cannot help, whatever the rules say.
    Never,
    /// Nothing happened: trying again is safe, even without a rule.
    Safe,
    /// It may have happened: tried again, with the same idempotency key, where a rule says so.
    Ambiguous,
}

impl TaskError {
    /// An error with a name and a text that only the workflow's own rules retry.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            details: None,
            retry: TaskRetry::Program,
            retry_after: None,
        }
    }

    /// Replaces the retry status.
    #[must_use]
    pub fn with_retry(self, retry: TaskRetry) -> Self {
        Self { retry, ..self }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl From<FunctionError> for TaskError {
    fn from(error: FunctionError) -> Self {
        Self {
            details: error.details,
            ..Self::new(error.kind, error.message)
        }
    }
}

impl From<&faas_core::Error> for TaskError {
    fn from(error: &faas_core::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => "NotFound",
            ErrorKind::AlreadyExists => "AlreadyExists",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::Exhausted => "Exhausted",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::DeadlineExceeded => "DeadlineExceeded",
            ErrorKind::Cancelled => "Cancelled",
            ErrorKind::PermissionDenied => "PermissionDenied",
            ErrorKind::Unauthenticated => "Unauthenticated",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Compacted => "Compacted",
            _ => "Internal",
        };
        let retry = match error.retry() {
            Retry::Never => TaskRetry::Never,
            Retry::Safe => TaskRetry::Safe,
            Retry::Ambiguous => TaskRetry::Ambiguous,
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(format!("Platform.{kind}"), error.to_string()).with_retry(retry)
        }
    }
}
