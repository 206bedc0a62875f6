//! [`PostgresStore`]: the store.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::store::{
    AmbiguousCommit, Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key,
    Limits, Page, Revision, Scan, Space, Store,
};
use faas_core::{Clock, Result};
use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::config::PostgresStoreBuilder;
use crate::lanes::Shared;
use crate::pools::Pools;
use crate::queue::Queue;
use crate::{listener, reads, upkeep};

/// An index row of PostgreSQL holds 2,704 bytes; each operation takes a lock of the server.
pub(crate) const LIMITS: Limits = Limits {
    operations: 128,
    batch_bytes: 16 << 20,
    value_bytes: 8 << 20,
    key_bytes: 2048,
};

/// A durable [`Store`] in a PostgreSQL database, which several processes may share; a clone is the
/// same store.
///
/// Commits that wait share a transaction; those that have no key and no watched space in common
/// go side by side, in this process and in others. Watches are woken by the commits of this
/// process and by `NOTIFY` of others. When the last clone is dropped, what was submitted is still
/// committed; [`close`](Self::close) waits for that.
///
/// A commit whose connection is cut before the answer is an
/// [`AmbiguousCommit`]; [`outcome`](Store::outcome) of its batch decides it.
///
/// ```no_run
/// use faas_postgres::PostgresStore;
///
/// # async fn open() -> faas_core::Result<()> {
/// let store = PostgresStore::open("postgresql://faas@db.internal/platform").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    durability: Durability,
    /// Closed when the last lane has ended.
    ended: watch::Receiver<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl PostgresStore {
    /// Connects to the database of `url`, without TLS.
    ///
    /// # Errors
    /// See [`PostgresStoreBuilder::open`].
    pub async fn open(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).open().await
    }

    /// A store in the database of `url`, to be set up.
    pub fn builder(url: impl Into<String>) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(url)
    }

    pub(crate) fn start(
        config: PostgresStoreBuilder,
        pools: Pools,
        durability: Durability,
    ) -> Self {
        let queue = Queue::new(config.queue);
        let shared = Arc::new(Shared::new(pools, queue, config.schema));
        let lanes = (0..config.lanes).map(|_| tokio::spawn(shared.clone().run_lane()));
        let lanes: Vec<_> = lanes.collect();
        let weak = Arc::downgrade(&shared);
        let helpers = [
            tokio::spawn(listener::run(weak.clone(), config.clock.clone())),
            tokio::spawn(upkeep::run(weak, config.clock.clone(), config.kept)),
        ];
        let (ending, ended) = watch::channel(());
        let closing = shared.clone();
        tokio::spawn(async move {
            for lane in join_all(lanes).await {
                if let Err(error) = lane {
                    tracing::error!(%error, "a lane was cut short");
                }
            }
            for helper in helpers {
                helper.abort();
            }
            closing.hub.close();
            closing.pools.close();
            drop(ending);
        });
        Self(Arc::new(Inner {
            shared,
            clock: config.clock,
            durability,
            ended,
        }))
    }

    /// Commits what was submitted, ends the watches and the connections. What is asked later is
    /// refused.
    pub async fn close(&self) {
        let _hold = self.0.clock.hold();
        self.0.shared.queue.close();
        let mut ended = self.0.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Forgets the changes of `space` up to and with `revision`; watches from before it fail with
    /// `Compacted`. The store does this by itself when more than the
    /// [kept changes](PostgresStoreBuilder::kept_changes) are there.
    ///
    /// # Errors
    /// As a read's.
    pub async fn compact(&self, space: &Space, revision: Revision) -> Result<()> {
        upkeep::compact(&self.0.shared.pools, space, revision).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        reads::get(&self.0.shared.pools, space, key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        reads::scan(&self.0.shared.pools, scan).await
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let shared = &self.0.shared;
        let id = batch.id();
        let submitted = batch
            .validate(LIMITS)
            .and_then(|()| shared.queue.submit(batch, self.0.clock.hold()));
        match submitted {
            Err(error) => {
                shared.doubts.refused(id);
                futures::future::ready(Err(error)).boxed()
            }
            Ok(answer) => Box::pin(async move {
                let lost = |_| AmbiguousCommit(id).into_error("its lane ended without an answer");
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
        crate::watch::watch(&self.0.shared, space, prefix, after)
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        let shared = &self.0.shared;
        shared.doubts.outcome(&shared.pools, id).await
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn durability(&self) -> Durability {
        self.0.durability
    }

    fn name(&self) -> &'static str {
        "PostgreSQL"
    }
}
