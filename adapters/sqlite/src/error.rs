//! What can go wrong with the file, in words that say what to do.

use std::path::{Path, PathBuf};

use faas_core::{Error, ErrorKind, Retry};
use rusqlite::ErrorCode;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{} is open in another process ({owner}): stop it, or use another file", path.display())]
    Locked { path: PathBuf, owner: String },
    #[error("{} is another program's file ({finding}): use another path", path.display())]
    Foreign { path: PathBuf, finding: String },
    #[error(
        "{} was made by a later release (schema {found}; this one knows up to {known}): run that \
         release, or restore a backup made before it",
        path.display()
    )]
    Future {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "{} is damaged ({finding}); it was left as it is: restore a backup, or save what can be \
         read with `sqlite3 FILE .recover`",
        path.display()
    )]
    Damaged { path: PathBuf, finding: String },
    #[error(
        "{} was removed or replaced while it was open: nothing more is accepted; what was \
         acknowledged can still be read, and saved with `backup`",
        path.display()
    )]
    Gone { path: PathBuf },
    #[error("the disk of {} is full, or its size limit reached: free some space", path.display())]
    Full {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{} cannot be written: give this user the right to write it and its directory", path.display())]
    ReadOnly { path: PathBuf },
    #[error("{} is held by another program's transaction: end it", path.display())]
    Busy {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {source}", path.display())]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error("{} is closed", path.display())]
    Closed { path: PathBuf },
}

impl Fault {
    /// What SQLite said of the file at `path`.
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { path, source }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let finding = source.to_string();
                Self::Damaged { path, finding }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// What the operating system said of the file at `path`.
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let path = path.to_owned();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::File { path, source },
        }
    }

    pub(crate) fn into_error(self, operation: &'static str) -> Error {
        let (kind, retry) = match &self {
            Self::Locked { .. } => (ErrorKind::Conflict, Retry::Safe),
            Self::Full { .. } => (ErrorKind::Exhausted, Retry::Safe),
            Self::ReadOnly { .. } => (ErrorKind::PermissionDenied, Retry::Never),
            Self::Foreign { .. } => (ErrorKind::InvalidArgument, Retry::Never),
            Self::Future { .. } => (ErrorKind::Unsupported, Retry::Never),
            Self::Damaged { .. } => (ErrorKind::Internal, Retry::Never),
            Self::Gone { .. } | Self::Closed { .. } => (ErrorKind::Unavailable, Retry::Never),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                (ErrorKind::AlreadyExists, Retry::Never)
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (ErrorKind::Exhausted, Retry::Safe)
            }
            Self::Busy { .. } | Self::File { .. } => (ErrorKind::Unavailable, Retry::Safe),
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                    (ErrorKind::Unavailable, Retry::Safe)
                }
                _ => (ErrorKind::Internal, Retry::Never),
            },
        };
        Error::new(kind, retry, operation, self.to_string()).with_source(self)
    }
}
