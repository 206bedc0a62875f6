//! A store that can be kept from answering.

use async_trait::async_trait;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space,
};
use faas_core::{MemoryStore, Result, Store};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::gate::Gate;

/// Answers while its gate is open.
#[derive(Debug, Default)]
pub(crate) struct Stalling {
    inner: MemoryStore,
    pub(crate) gate: Gate,
}

#[async_trait]
impl Store for Stalling {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.gate.pass().await;
        self.inner.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.gate.pass().await;
        self.inner.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let (gate, committed) = (self.gate.clone(), self.inner.commit(batch));
        Box::pin(async move {
            gate.pass().await;
            committed.await
        })
    }
    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.inner.watch(space, prefix, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.inner.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    fn name(&self) -> &'static str {
        "stalling"
    }
}
