//! The file: who has it, whether it still is there, whether it is sound.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Result as IoResult, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faas_core::Clock;
use rusqlite::{Connection, OpenFlags};

use crate::config::{Integrity, Synchronous};
use crate::error::Fault;
use crate::schema;

/// How long a statement waits for another program's transaction.
const BUSY: Duration = Duration::from_secs(5);
/// How often a lock that another process holds is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept prepared on each connection.
const PREPARED: usize = 32;

/// The database's file, locked for this process until it is released.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    /// Which files they were when they were opened: the database's, and that of its log.
    identities: [Option<Identity>; 2],
    lock: Mutex<Option<File>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl DatabaseFile {
    pub(crate) fn new(path: PathBuf, lock: File) -> Self {
        Self {
            path,
            identities: [None; 2],
            lock: Mutex::new(Some(lock)),
        }
    }

    /// Lets another process open the file.
    pub(crate) fn release(&self) {
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What SQLite said of this file.
    pub(crate) fn fault(&self, error: rusqlite::Error) -> Fault {
        Fault::sqlite(&self.path, error)
    }

    /// Remembers which files are open.
    pub(crate) fn identify(&mut self) {
        self.identities = [identity(&self.path), identity(&self.log())];
    }

    /// Fails when the open files are no longer those at their paths: what is written to them goes
    /// when they are closed.
    pub(crate) fn check_identity(&self) -> Result<(), Fault> {
        let now = [identity(&self.path), identity(&self.log())];
        if now == self.identities {
            return Ok(());
        }
        let path = self.path.clone();
        Err(Fault::Gone { path })
    }

    /// The write-ahead log beside the database.
    pub(crate) fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    /// Makes lasting what the log holds.
    pub(crate) fn sync_log(&self) -> Result<(), Fault> {
        let log = self.log();
        match sync(&log) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Fault::file(&log, error))
            }
            _ => Ok(()),
        }
    }

    /// Makes lasting what the directory says of the files in it.
    pub(crate) fn sync_directory(&self) -> Result<(), Fault> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        sync(directory).map_err(|error| Fault::file(directory, error))
    }

    /// The connection that writes, in a file of the present schema.
    pub(crate) fn open_writer(
        &self,
        synchronous: Synchronous,
        integrity: Integrity,
    ) -> Result<Connection, Fault> {
        let sqlite = |error| self.fault(error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.check_complete()?;
        let mut connection = Connection::open_with_flags(&self.path, flags).map_err(sqlite)?;
        prepare(&connection).map_err(sqlite)?;
        if connection.is_readonly("main").map_err(sqlite)? {
            let path = self.path.clone();
            return Err(Fault::ReadOnly { path });
        }
        self.check_integrity(&connection, integrity)?;
        for (name, value) in [
            ("synchronous", synchronous.pragma()),
            ("foreign_keys", "off"),
            ("wal_autocheckpoint", "0"),
        ] {
            connection
                .pragma_update(None, name, value)
                .map_err(sqlite)?;
        }
        schema::migrate(&mut connection, &self.path, schema::MIGRATIONS)?;
        let journal: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(sqlite)?;
        if journal != "wal" {
            return Err(Fault::Foreign {
                path: self.path.clone(),
                finding: format!("its journal stays {journal}; is it on a network file system?"),
            });
        }
        Ok(connection)
    }

    /// Fails when there is a log without its database: SQLite would begin anew and drop it.
    fn check_complete(&self) -> Result<(), Fault> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size(&self.path) > 0 || size(&self.log()) == 0 {
            return Ok(());
        }
        Err(Fault::Damaged {
            path: self.path.clone(),
            finding: "it is missing, but its log is there".into(),
        })
    }

    /// A connection that only reads.
    pub(crate) fn open_reader(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = |error| self.fault(error);
        let connection = Connection::open_with_flags(&self.path, flags).map_err(sqlite)?;
        prepare(&connection).map_err(sqlite)?;
        // The log is opened by the first read.
        let read = connection.query_row("SELECT count(*) FROM space", [], |_| Ok(()));
        read.map_err(sqlite)?;
        Ok(connection)
    }

    /// Fails when SQLite finds the file damaged.
    pub(crate) fn check_integrity(
        &self,
        connection: &Connection,
        integrity: Integrity,
    ) -> Result<(), Fault> {
        let Some(pragma) = integrity.pragma() else {
            return Ok(());
        };
        let finding: String = connection
            .query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))
            .map_err(|error| self.fault(error))?;
        if finding == "ok" {
            return Ok(());
        }
        let path = self.path.clone();
        Err(Fault::Damaged { path, finding })
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.pragma_update(None, "trusted_schema", "off")?;
    connection.pragma_update(None, "temp_store", "memory")
}

/// The file of this name with `suffix` behind it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(crate) fn sync(path: &Path) -> IoResult<()> {
    File::open(path)?.sync_all()
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    Some(Identity(metadata.dev(), metadata.ino()))
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}

/// Makes the file's directory, and takes the lock beside the file, waiting up to `patience` for
/// a process that is on its way out.
pub(crate) async fn lock(
    path: &Path,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<File, Fault> {
    let place = beside(path, "-lock");
    let unusable = |error| Fault::file(&place, error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| Fault::file(directory, error))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options.open(&place).map_err(unusable)?;
    let deadline = clock.now() + patience;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::Error(error)) => return Err(unusable(error)),
            Err(fs::TryLockError::WouldBlock) if clock.now() >= deadline => {
                let mut owner = String::new();
                lock.read_to_string(&mut owner).map_err(unusable)?;
                let path = path.to_owned();
                return Err(Fault::Locked { path, owner });
            }
            Err(fs::TryLockError::WouldBlock) => {
                clock.sleep_until(clock.now() + LOCK_PAUSE).await;
            }
        }
    }
    lock.set_len(0).map_err(unusable)?;
    lock.rewind().map_err(unusable)?;
    write!(lock, "process {}", std::process::id()).map_err(unusable)?;
    Ok(lock)
}
