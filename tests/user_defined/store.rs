//! All state goes into a store of one's own.

use std::sync::Arc;

use faas::Platform;
use faas::core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space,
};
use faas::core::{Component, MemoryStore, Result, Store};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{Asked, double, doubling, fourfold, names};

/// Counts what is committed.
#[derive(Debug)]
struct Audited(MemoryStore, Asked);

#[async_trait::async_trait]
impl Store for Audited {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.0.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.0.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        self.1.again();
        self.0.commit(batch)
    }
    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.0.watch(space, prefix, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.0.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    fn durability(&self) -> Durability {
        self.0.durability()
    }
    fn name(&self) -> &'static str {
        "audited memory"
    }
}

#[tokio::test]
async fn all_layers_keep_their_state_in_it() {
    let asked = Asked::default();
    let store = Audited(MemoryStore::new(), asked.clone());
    let platform = doubling(Platform::builder().store(Arc::new(store))).await;
    let deployed = asked.times();
    assert!(deployed > 0, "a function was registered elsewhere");
    assert_eq!(double(&platform, 4).await, 8);
    assert_eq!(fourfold(&platform, 4).await, 16);
    assert!(asked.times() > deployed, "an execution was kept elsewhere");
    for component in [Component::R1, Component::F1, Component::W1, Component::W4] {
        names(&platform, component, "audited memory");
    }
}
