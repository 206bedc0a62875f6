//! [`SqliteStoreBuilder`]: how a store is set up and opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ByteSize, Clock, Error, Result, TokioClock};

use crate::error::Fault;
use crate::file::{self, DatabaseFile};
use crate::queue::Bounds;
use crate::store::SqliteStore;

const OPEN: &str = "open SQLite store";
/// The smallest bound of the file's size: the empty schema needs less.
const SMALLEST: ByteSize = ByteSize::mib(1);

/// What an acknowledged commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Power loss: each group of commits is synced before it is acknowledged or shown.
    #[default]
    Full,
    /// The end of the process, but not power loss, which may take the commits since the last
    /// checkpoint (the file stays sound). No commit waits for the disk. The store then declares
    /// [`Durability::Process`](faas_core::store::Durability::Process).
    Normal,
}

impl Synchronous {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// How closely a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Integrity {
    /// Not at all: damage shows when it is read.
    Skip,
    /// The structure of every page. Reads the whole file once.
    #[default]
    Quick,
    /// That, and each index against its table. Several times slower than `Quick`.
    Full,
}

impl Integrity {
    pub(crate) fn pragma(self) -> Option<&'static str> {
        match self {
            Self::Skip => None,
            Self::Quick => Some("quick_check"),
            Self::Full => Some("integrity_check"),
        }
    }
}

/// Sets up a [`SqliteStore`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    pub(crate) synchronous: Synchronous,
    integrity: Integrity,
    create: bool,
    lock_patience: Duration,
    max_size: Option<ByteSize>,
    pub(crate) readers: usize,
    pub(crate) queue: Bounds,
    pub(crate) kept: Bounds,
    pub(crate) clock: Arc<dyn Clock>,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            integrity: Integrity::Quick,
            create: true,
            lock_patience: Duration::from_secs(1),
            max_size: None,
            readers: 4,
            queue: Bounds::new(65_536, ByteSize::mib(256)),
            kept: Bounds::new(65_536, ByteSize::mib(64)),
            clock: Arc::new(TokioClock::new()),
        }
    }

    /// What an acknowledged commit survives; power loss unless said otherwise.
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How closely the file is looked at when it is opened; `Quick` unless said otherwise.
    pub fn integrity(mut self, integrity: Integrity) -> Self {
        self.integrity = integrity;
        self
    }

    /// Whether `open` makes the file if it is missing; it does unless said otherwise.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How long `open` waits for another process to let go of the file; one second unless said
    /// otherwise.
    pub fn lock_patience(mut self, patience: Duration) -> Self {
        self.lock_patience = patience;
        self
    }

    /// Refuses commits (`Exhausted`) that would make the file larger than this.
    pub fn max_size(mut self, size: ByteSize) -> Self {
        self.max_size = Some(size);
        self
    }

    /// How many reads run at once; the others wait. Four unless said otherwise.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// How many commits, and how many bytes of them, may wait for the writer; more are refused
    /// with `Exhausted`. 65,536 and 256 MiB unless said otherwise.
    pub fn queue(mut self, commits: usize, bytes: ByteSize) -> Self {
        self.queue = Bounds::new(commits, bytes);
        self
    }

    /// How many changes of each watched space, and how many bytes of them, are kept for watches
    /// that come late. 65,536 and 64 MiB unless said otherwise.
    pub fn kept_changes(mut self, changes: usize, bytes: ByteSize) -> Self {
        self.kept = Bounds::new(changes, bytes);
        self
    }

    /// The clock that outcomes age by, and that is held while work is off the runtime.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn check(&self) -> Result<()> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, what: &str| {
            if wrong {
                faults.push(what.to_owned());
            }
        };
        fault(self.path.file_name().is_none(), "the path names no file");
        fault(
            !(1..=1024).contains(&self.readers),
            "the readers are not between 1 and 1024",
        );
        fault(self.queue.items == 0, "the queue holds no commit");
        fault(
            self.queue.bytes < crate::store::LIMITS.batch_bytes,
            "the queue holds less than one batch may have (64 MiB)",
        );
        fault(self.kept.items == 0, "no change is kept");
        fault(self.kept.bytes == 0, "no byte of changes is kept");
        fault(
            self.max_size.is_some_and(|size| size < SMALLEST),
            "the largest size is below 1 MiB",
        );
        Error::check(OPEN, faults)
    }

    /// Opens the file, or makes it and the directories above it.
    ///
    /// What a crash left in the log beside the file is brought into it first, and synced: nothing
    /// is shown that could still be lost.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the options, or if the file is another program's;
    /// `NotFound` if it is missing and must not be made; `Conflict` if another process has it
    /// open; `Unsupported` if a later release made it;
    /// `PermissionDenied` if it or its directory cannot be written; `Exhausted` if the disk is
    /// full; `Internal` if the file is damaged (it is left as it is); else `Unavailable`.
    pub async fn open(mut self) -> Result<SqliteStore> {
        self.check()?;
        let absolute = std::path::absolute(&self.path);
        self.path = absolute.map_err(|error| Fault::file(&self.path, error).into_error(OPEN))?;
        if !self.create && !self.path.exists() {
            let missing = format!("there is no {}", self.path.display());
            return Err(Error::not_found(OPEN, missing));
        }
        let lock = file::lock(&self.path, &*self.clock, self.lock_patience).await;
        let file = DatabaseFile::new(self.path.clone(), lock.map_err(|e| e.into_error(OPEN))?);
        let hold = self.clock.hold();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = self.open_locked(file);
            drop(hold);
            opened
        });
        opened
            .await
            .map_err(|error| Error::internal(OPEN, "it was cut short").with_source(error))?
            .map_err(|fault| fault.into_error(OPEN))
    }

    fn open_locked(self, file: DatabaseFile) -> Result<SqliteStore, Fault> {
        let connection = file.open_writer(self.synchronous, self.integrity)?;
        if let Some(size) = self.max_size {
            limit(&connection, size).map_err(|error| file.fault(error))?;
        }
        SqliteStore::start(self, file, connection)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn limit(connection: &rusqlite::Connection, size: ByteSize) -> rusqlite::Result<()> {
    let page = connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?;
    let page = page.unsigned_abs();
    let pages = i64::try_from(size.0 / page.max(1)).unwrap_or(i64::MAX);
    let pages = pages.min(i64::from(u32::MAX - 1));
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}
