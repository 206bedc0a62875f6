//! [`FunctionError`]: what a function did wrong.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

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
