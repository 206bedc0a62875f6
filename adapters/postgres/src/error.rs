//! What the server said, in words that say what to do.

use faas_core::{Error, ErrorKind, Retry};
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What a failed statement means for those who asked.
pub(crate) fn postgres(operation: &'static str, error: tokio_postgres::Error) -> Error {
    let (kind, retry, advice) = match error.as_db_error() {
        Some(db) => meaning(db.code()),
        None => (
            ErrorKind::Unavailable,
            Retry::Safe,
            "the server cannot be reached, or the connection was cut",
        ),
    };
    let message = match error.as_db_error() {
        Some(db) => format!("{advice} ({}: {})", db.code().code(), db.message()),
        None => format!("{advice} ({})", chain(&error)),
    };
    Error::new(kind, retry, operation, message).with_source(error)
}

/// The error and its causes: the driver's own words alone say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn meaning(code: &SqlState) -> (ErrorKind, Retry, &'static str) {
    use ErrorKind::{Exhausted, Internal, InvalidArgument, PermissionDenied, Unavailable};
    use Retry::{Never, Safe};
    match code.code() {
        "53100" => (
            Exhausted,
            Safe,
            "the server's disk is full: free some space",
        ),
        "53200" => (
            Exhausted,
            Safe,
            "the server is out of memory or of locks: raise max_locks_per_transaction",
        ),
        "53300" => (
            Exhausted,
            Safe,
            "the server has no connection left: use fewer, or raise max_connections",
        ),
        "40001" | "40P01" => (Unavailable, Safe, "another transaction came first"),
        "55P03" | "57014" => (Unavailable, Safe, "another transaction holds it too long"),
        "57P01" | "57P02" | "57P03" => (Unavailable, Safe, "the server is going down or coming up"),
        "25006" => (
            Unavailable,
            Safe,
            "this server only reads: connect to the primary",
        ),
        "3D000" => (InvalidArgument, Never, "make the database first"),
        "42501" => (
            PermissionDenied,
            Never,
            "grant this role the right to make and use the schema",
        ),
        // The only key that a batch can meet again is its own id.
        "23505" => (
            InvalidArgument,
            Never,
            "this batch was submitted before, or decided to be aborted; submit `again`",
        ),
        "XX001" | "XX002" => (Internal, Never, "the database is damaged: restore a backup"),
        code if code.starts_with("28") => (PermissionDenied, Never, "check user and password"),
        code if code.starts_with("08") => (Unavailable, Safe, "the connection failed"),
        _ => (Internal, Never, "the server refused a statement"),
    }
}

/// A connection from the pool that could not be had.
pub(crate) fn pool(operation: &'static str, error: deadpool_postgres::PoolError) -> Error {
    use deadpool_postgres::PoolError;
    match error {
        PoolError::Backend(error) => postgres(operation, error),
        PoolError::Closed => closed(operation),
        error => Error::unavailable(operation, error.to_string()).with_source(error),
    }
}

pub(crate) fn closed(operation: &'static str) -> Error {
    Error::unavailable(operation, "the store is closed").with_retry(Retry::Never)
}

pub(crate) fn late(operation: &'static str) -> Error {
    Error::unavailable(operation, "the server did not answer in time")
}

/// Whether the whole transaction may succeed when it is tried again at once.
pub(crate) fn is_lost_race(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| matches!(code.code(), "40001" | "40P01"))
}

/// Whether the server refused this statement and goes on with the session.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let goes_on = |db: &DbError| {
        matches!(db.parsed_severity(), Some(Severity::Error))
            && !db.code().code().starts_with("57P")
    };
    error.as_db_error().is_some_and(goes_on)
}
