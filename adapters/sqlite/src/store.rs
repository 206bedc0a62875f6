//! [`SqliteStore`]: the store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::store::{
    AmbiguousCommit, Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key,
    Limits, Page, Revision, Scan, Space, Store,
};
use faas_core::{Error, Result};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::config::{SqliteStoreBuilder, Synchronous};
use crate::error::Fault;
use crate::file::DatabaseFile;
use crate::queue::{Queue, Refusal};
use crate::readers::{Read, Readers};
use crate::reads;
use crate::shared::{Counters, Refusals, Shared};
use crate::writer::{Upkeep, Writer, empty_log};

pub(crate) const LIMITS: Limits = Limits {
    operations: 1024,
    batch_bytes: 64 << 20,
    value_bytes: 16 << 20,
    key_bytes: 4096,
};

/// A durable [`Store`] in one SQLite file; a clone is the same store.
///
/// One thread writes. Commits that wait for it share one transaction and one sync, in the order of
/// the calls. Reads have connections of their own and never wait for the writer. Watches are woken
/// after the sync. When the last clone is dropped, what was submitted is still committed, then the
/// file is closed; [`close`](Self::close) waits for that.
///
/// One process has the file at a time. People may look into it meanwhile, with `sqlite3`: the
/// README shows the queries.
///
/// ```
/// use faas_core::store::{Batch, Key, Precondition, Space, Store};
/// use faas_sqlite::SqliteStore;
///
/// const BOOKS: Space = Space::watched("books");
/// # #[tokio::main]
/// # async fn main() -> faas_core::Result<()> {
/// # let directory = tempfile::tempdir().expect("a directory");
/// let path = directory.path().join("state.db");
/// let store = SqliteStore::open(&path).await?;
/// let batch = Batch::new().put(BOOKS, Key::new("dune"), "Herbert", Precondition::Absent);
/// store.commit(batch).await?;
/// store.close().await;
///
/// let store = SqliteStore::open(&path).await?;
/// let entry = store.get(&BOOKS, &Key::new("dune")).await?;
/// assert_eq!(entry.map(|entry| entry.value).as_deref(), Some(&b"Herbert"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    shared: Arc<Shared>,
    durability: Durability,
    /// Closed when the writer's thread ends.
    ended: watch::Receiver<()>,
}

impl SqliteStore {
    /// Opens the file at `path`, or makes it: what it acknowledges survives power loss.
    ///
    /// # Errors
    /// See [`SqliteStoreBuilder::open`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// A store in the file at `path`, to be set up.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path)
    }

    pub(crate) fn start(
        config: SqliteStoreBuilder,
        mut file: DatabaseFile,
        connection: Connection,
    ) -> Result<Self, Fault> {
        // What is in the log but was never synced must not be shown. Where it cannot be brought
        // into the file, a sync of the log does, too.
        match empty_log(&connection, &file) {
            Err(Fault::Busy { .. } | Fault::Full { .. }) => file.sync_log()?,
            other => other?,
        }
        file.sync_directory()?;
        file.identify();
        let sqlite = |error| Fault::sqlite(config.path(), error);
        let revisions = reads::revisions(&connection).map_err(sqlite)?;
        let now = config.clock.now();
        let upkeep = Upkeep::load(&connection, config.kept, now).map_err(sqlite)?;
        let file = Arc::new(file);
        let clock = config.clock.clone();
        let shared = Arc::new(Shared {
            readers: Arc::new(Readers::open(file.clone(), clock.clone(), config.readers)?),
            hub: crate::watch::Hub::new(revisions),
            file,
            clock,
            refusals: Refusals::default(),
            counters: Counters::default(),
        });
        let (queue, requests) = Queue::new(config.queue);
        let writer = Writer::new(shared.clone(), connection, requests, upkeep).map_err(sqlite)?;
        let (ending, ended) = watch::channel(());
        let thread = std::thread::Builder::new().name("faas-sqlite".into());
        let run = move || {
            writer.run();
            drop(ending);
        };
        let spawned = thread.spawn(run);
        spawned.map_err(|error| Fault::file(config.path(), error))?;
        Ok(Self(Arc::new(Inner {
            queue,
            shared,
            durability: match config.synchronous {
                Synchronous::Full => Durability::Disk,
                Synchronous::Normal => Durability::Process,
            },
            ended,
        })))
    }

    /// Commits what was submitted, ends the watches, closes the file, and lets another process
    /// have it. What is asked later is refused.
    pub async fn close(&self) {
        let _hold = self.0.shared.clock.hold();
        // An error says that the writer has ended already.
        let _ = self.0.queue.ask(crate::queue::Request::Close);
        let mut ended = self.0.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Read<T> + Send + 'static,
    ) -> Result<T> {
        self.0.shared.readers.read(operation, work).await
    }

    pub(crate) fn refused(&self, refusal: Refusal, operation: &'static str) -> Error {
        match refusal {
            Refusal::Full(error) => error,
            Refusal::Closed => self.0.shared.readers.closed(operation),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        let (space, key) = (space.clone(), key.clone());
        self.read("get", move |connection| reads::get(connection, &space, key))
            .await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.read("scan", move |connection| reads::page(connection, scan))
            .await
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let id = batch.id();
        let refuse = |error| {
            self.0.shared.refusals.remember(id);
            futures::future::ready(Err(error)).boxed()
        };
        if let Err(error) = batch.validate(LIMITS) {
            return refuse(error);
        }
        match self.0.queue.submit(batch, &*self.0.shared.clock) {
            Err(refusal) => refuse(self.refused(refusal, "commit")),
            Ok(answer) => Box::pin(async move {
                let lost = |_| AmbiguousCommit(id).into_error("the writer ended without an answer");
                answer.await.map_err(lost)?
            }),
        }
    }

    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        let shared = &self.0.shared;
        crate::watch::watch(&shared.hub, shared.readers.clone(), space, prefix, after)
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        let read = move |connection: &Connection| reads::outcome(connection, id).map(Ok);
        let stored = self.read("outcome", read).await?;
        Ok(match stored {
            Some(committed) => BatchOutcome::Committed(committed),
            None if self.0.shared.refusals.contains(id) => BatchOutcome::Aborted,
            None => BatchOutcome::Unknown,
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        self.0.durability
    }

    fn name(&self) -> &'static str {
        "SQLite"
    }
}
