//! Failures of the operating system in the platform's words.

use std::io::{Error as IoError, ErrorKind as IoKind};
use std::path::Path;

use faas_core::{Error, SandboxId};

/// A file operation that failed.
pub(crate) fn file(operation: &'static str, path: &Path, error: IoError) -> Error {
    let message = format!("{}: {error}", path.display());
    Error::unavailable(operation, message).with_source(error)
}

/// A program that did not start: the spec's fault, or the system is short of something.
pub(crate) fn start(path: &Path, error: IoError) -> Error {
    let message = format!("cannot start {}: {error}", path.display());
    match error.kind() {
        IoKind::NotFound | IoKind::PermissionDenied | IoKind::InvalidInput => {
            Error::invalid("start sandbox", message).with_source(error)
        }
        // ENOEXEC (8) has no kind of its own.
        _ if error.raw_os_error() == Some(8) => {
            Error::invalid("start sandbox", message).with_source(error)
        }
        _ => Error::unavailable("start sandbox", message).with_source(error),
    }
}

/// A sandbox that is not on this node.
pub(crate) fn not_found(operation: &'static str, sandbox: SandboxId) -> Error {
    Error::not_found(operation, format!("no sandbox {sandbox} is here"))
}

/// A defect of ours: a task that ended without an answer.
pub(crate) fn lost(operation: &'static str) -> Error {
    Error::internal(operation, "its task ended without an answer")
}
