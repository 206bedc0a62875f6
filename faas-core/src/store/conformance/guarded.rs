//! A store that owns what it stands on.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::Result;
use crate::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space, Store,
};

/// Declared in this order, the store goes before its guard.
pub(super) struct Guarded {
    store: Arc<dyn Store>,
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Guarded {
    pub(super) fn new(store: Arc<dyn Store>, guard: Option<Box<dyn Any + Send + Sync>>) -> Self {
        let _guard = guard;
        Self { store, _guard }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Guarded {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.store.get(space, key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.store.scan(scan).await
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        self.store.commit(batch)
    }

    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.store.watch(space, prefix, after)
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.store.outcome(id).await
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }

    fn name(&self) -> &'static str {
        self.store.name()
    }
}
