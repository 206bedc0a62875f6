//! A code store whose doors can be closed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Description, Digest, Error, Result};
use object_store::memory::InMemory;
use tokio::sync::watch;

use crate::CodeStore;
use crate::registry::ObjectCode;

/// Keeps code in memory. While it is closed, whoever puts code waits. A clone is the same store.
#[derive(Debug, Clone)]
pub struct GatedCode {
    inner: ObjectCode,
    open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<usize>>,
}

/// Counts one that waits.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl GatedCode {
    fn new(open: bool) -> Self {
        Self {
            inner: ObjectCode::new(Arc::new(InMemory::new())),
            open: Arc::new(watch::Sender::new(open)),
            waiting: Arc::new(watch::Sender::new(0)),
        }
    }

    /// One that holds nobody up.
    pub fn open() -> Self {
        Self::new(true)
    }

    /// One that holds up whoever puts code.
    pub fn closed() -> Self {
        Self::new(false)
    }

    /// Opens it.
    pub fn let_go(&self) {
        self.open.send_replace(true);
    }

    /// Ends when at least so many wait.
    pub async fn arrived(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        // The sender is `self`'s, and so cannot be gone.
        let _ = waiting.wait_for(|waiting| *waiting >= count).await;
    }

    /// Ends when at most so many wait.
    pub async fn left(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let _ = waiting.wait_for(|waiting| *waiting <= count).await;
    }
}

#[async_trait]
impl CodeStore for GatedCode {
    async fn put(&self, code: Bytes) -> Result<Digest> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let waits = Waits(&self.waiting);
        let mut open = self.open.subscribe();
        let opened = open.wait_for(|open| *open).await.map(drop);
        opened.map_err(|_| Error::unavailable("put code", "the gate is gone"))?;
        drop(waits);
        self.inner.put(code).await
    }

    async fn get(&self, digest: &Digest) -> Result<Bytes> {
        self.inner.get(digest).await
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        self.inner.delete(digest).await
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}
