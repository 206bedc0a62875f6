//! What operators ask of a store: backup, integrity, compaction, figures.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use faas_core::store::{Revision, Space};
use faas_core::{Error, Result};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::config::Integrity;
use crate::error::Fault;
use crate::file::{self, DatabaseFile};
use crate::queue::Request;
use crate::store::SqliteStore;

const BACKUP: &str = "back up";

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Batches that happened.
    pub commits: u64,
    /// Transactions, and thus syncs, that they took.
    pub transactions: u64,
}

impl SqliteStore {
    /// Writes all that is committed now into a new file at `path`, while the store goes on. The
    /// copy is a store's file: open it, or put it in the place of this one while that is closed.
    ///
    /// # Errors
    /// `AlreadyExists` if something is at `path`; `Exhausted` if the disk is full; else as reads.
    pub async fn backup(&self, path: impl Into<PathBuf>) -> Result<()> {
        let path = path.into();
        let file = self.shared().file.clone();
        let copied = move |connection: &Connection| {
            Ok(copy(connection, &file, &path).map_err(|fault| fault.into_error(BACKUP)))
        };
        self.read(BACKUP, copied).await
    }

    /// Looks whether the file is sound, while the store goes on.
    ///
    /// # Errors
    /// `Internal`, with the first finding, if it is damaged.
    pub async fn check_integrity(&self, integrity: Integrity) -> Result<()> {
        let file = self.shared().file.clone();
        let check = move |connection: &Connection| {
            let checked = file.check_integrity(connection, integrity);
            Ok(checked.map_err(|fault| fault.into_error("check integrity")))
        };
        self.read("check integrity", check).await
    }

    /// Forgets the changes of `space` up to and with `revision`; watches from before it fail with
    /// `Compacted`. The store does this by itself when more than the
    /// [kept changes](crate::SqliteStoreBuilder::kept_changes) are there.
    ///
    /// # Errors
    /// As a commit's.
    pub async fn compact(&self, space: &Space, revision: Revision) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let hold = self.shared().clock.hold();
        let request = Request::Compact(space.clone(), revision, answer, hold);
        let asked = self.queue().ask(request);
        asked.map_err(|refusal| self.refused(refusal, "compact"))?;
        let lost = |_| Error::unavailable("compact", "the writer ended without an answer");
        answered.await.map_err(lost)?
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        let counters = &self.shared().counters;
        Statistics {
            commits: counters.commits.load(Ordering::Relaxed),
            transactions: counters.transactions.load(Ordering::Relaxed),
        }
    }
}

/// Copies the database as one read transaction shows it, to a name of its own first: what is at
/// `path` is whole and synced, or not there.
fn copy(connection: &Connection, source: &DatabaseFile, path: &Path) -> Result<(), Fault> {
    let unusable = |error| Fault::file(path, error);
    let partial = file::beside(path, "-partial");
    if path.exists() {
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(unusable(taken));
    }
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    let Some(target) = partial.to_str() else {
        let finding = "a backup's path must be UTF-8".into();
        let path = path.to_owned();
        return Err(Fault::Foreign { path, finding });
    };
    let copied = connection
        .execute("VACUUM INTO ?1", [target])
        .map_err(|error| source.fault(error))
        .and_then(|_| {
            file::sync(&partial).map_err(unusable)?;
            // Unlike `rename` this never replaces what came there meanwhile.
            std::fs::hard_link(&partial, path).map_err(unusable)
        });
    let removed = std::fs::remove_file(&partial);
    copied?;
    removed.map_err(unusable)?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    file::sync(parent.unwrap_or(Path::new("."))).map_err(unusable)
}
