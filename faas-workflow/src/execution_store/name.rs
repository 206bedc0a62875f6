//! How executions are named, and how they stand.

use std::fmt;
use std::sync::Arc;

use faas_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::program::Ending;

/// The name of an execution, given by whoever starts it: 1 to 80 characters of `A-Z a-z 0-9 - _`,
/// as Step Functions has it. Unique within a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionName(Arc<str>);

impl ExecutionName {
    /// Checks `text`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long, or has another character.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if (1..=80).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Self(text.into()));
        }
        let message = format!("execution name {text:?} is not 1 to 80 of A-Z, a-z, 0-9, '-', '_'");
        Err(Error::invalid("parse name", message))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ExecutionName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for ExecutionName {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl From<ExecutionName> for String {
    fn from(name: ExecutionName) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for ExecutionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExecutionStatus {
    /// It goes on.
    Running,
    /// It ended with an output.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It took longer than its definition allows.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
    /// It goes on as another execution of its name.
    Continued,
}

impl ExecutionStatus {
    /// In one word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timedout",
            Self::Cancelled => "cancelled",
            Self::Continued => "continued",
        }
    }

    /// Whether nothing more can happen.
    pub const fn is_ended(self) -> bool {
        !matches!(self, Self::Running)
    }
}

impl From<Option<&Ending>> for ExecutionStatus {
    fn from(ending: Option<&Ending>) -> Self {
        match ending {
            None => Self::Running,
            Some(Ending::Succeeded(_)) => Self::Succeeded,
            Some(Ending::Failed(_)) => Self::Failed,
            Some(Ending::TimedOut(_)) => Self::TimedOut,
            Some(Ending::Cancelled(_)) => Self::Cancelled,
            Some(Ending::Continued(_)) => Self::Continued,
        }
    }
}
