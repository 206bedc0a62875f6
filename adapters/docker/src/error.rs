//! Failures of the engine in the platform's words.

use std::io::Error as IoError;
use std::path::Path;

use bollard::errors::Error as EngineError;
use faas_core::{Error, SandboxId};

/// What the engine answered instead of what it was asked for. All that we ask for can be asked for
/// again: names make it happen once.
pub(crate) fn engine(operation: &'static str, what: &str, error: EngineError) -> Error {
    let message = format!("{what}: {error}");
    let made = match status(&error) {
        Some(400) => Error::invalid(operation, message),
        Some(401) => Error::unauthenticated(operation, message),
        Some(403) => Error::permission_denied(operation, message),
        Some(404) => Error::not_found(operation, message),
        Some(409) => Error::conflict(operation, message),
        _ => Error::unavailable(operation, message),
    };
    made.with_source(error)
}

/// The HTTP status of the engine's answer, if it gave one.
pub(crate) fn status(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// A file operation that failed.
pub(crate) fn file(operation: &'static str, path: &Path, error: IoError) -> Error {
    let message = format!("{}: {error}", path.display());
    Error::unavailable(operation, message).with_source(error)
}

/// A sandbox that is not on this node.
pub(crate) fn not_found(operation: &'static str, sandbox: SandboxId) -> Error {
    Error::not_found(operation, format!("no sandbox {sandbox} is here"))
}

/// A sandbox that was stopped while something else was done with it.
pub(crate) fn stopped(operation: &'static str, sandbox: SandboxId) -> Error {
    Error::cancelled(
        operation,
        format!("sandbox {sandbox} was stopped meanwhile"),
    )
}

/// A defect of ours: a task that ended without an answer.
pub(crate) fn lost(operation: &'static str) -> Error {
    Error::internal(operation, "its task ended without an answer")
}
