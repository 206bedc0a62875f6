//! The router's copy of the registry, kept fresh by a watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use faas_core::{Clock, Result};
use futures::StreamExt;
use tokio::task::JoinHandle;

use crate::registry::{FunctionId, FunctionRecord, MetadataStore, RegistryEvent};

/// How long it waits after the registry failed.
const BACKOFF: Duration = Duration::from_millis(200);

type Records = HashMap<FunctionId, Arc<FunctionRecord>>;

/// Is told of functions that are gone.
pub(super) type OnDeleted = Box<dyn Fn(&FunctionId) + Send + Sync>;

/// All functions and their aliases, in memory; ends its task when dropped.
pub(super) struct Snapshot {
    records: Arc<ArcSwap<Records>>,
    task: JoinHandle<()>,
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Snapshot {
    /// Reads the registry once, and follows it from then on.
    pub(super) async fn start(
        metadata: Arc<dyn MetadataStore>,
        clock: Arc<dyn Clock>,
        on_deleted: OnDeleted,
    ) -> Result<Self> {
        let (records, after) = metadata.list(None).await?;
        let records = Arc::new(ArcSwap::from_pointee(by_function(records)));
        let follower = Follower {
            metadata,
            clock,
            records: records.clone(),
            on_deleted,
        };
        let task = tokio::spawn(follower.run(after));
        Ok(Self { records, task })
    }

    /// One function.
    pub(super) fn get(&self, function: &FunctionId) -> Option<Arc<FunctionRecord>> {
        self.records.load().get(function).cloned()
    }
}

fn by_function(records: Vec<Arc<FunctionRecord>>) -> Records {
    let keyed = records.into_iter().map(|r| (r.function.clone(), r));
    keyed.collect()
}

struct Follower {
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
    records: Arc<ArcSwap<Records>>,
    on_deleted: OnDeleted,
}

impl Follower {
    async fn run(self, mut after: faas_core::store::Revision) {
        loop {
            let mut changes = self.metadata.watch(after);
            while let Some(Ok(change)) = changes.next().await {
                self.apply(change);
            }
            // Ended or compacted: only a list says what is true now.
            after = self.list().await;
        }
    }

    async fn list(&self) -> faas_core::store::Revision {
        loop {
            self.clock.sleep_until(self.clock.now() + BACKOFF).await;
            match self.metadata.list(None).await {
                Ok((records, revision)) => {
                    self.replace(by_function(records));
                    return revision;
                }
                Err(error) => tracing::warn!(%error, "the router cannot read the registry"),
            }
        }
    }

    fn replace(&self, records: Records) {
        let records = Arc::new(records);
        let before = self.records.swap(records.clone());
        for gone in before.keys().filter(|id| !records.contains_key(id)) {
            (self.on_deleted)(gone);
        }
    }

    fn apply(&self, change: RegistryEvent) {
        let mut records = Records::clone(&self.records.load());
        let gone = match change {
            RegistryEvent::Changed(record) => {
                records.insert(record.function.clone(), record);
                None
            }
            RegistryEvent::Deleted(function) => {
                records.remove(&function);
                Some(function)
            }
        };
        self.records.store(Arc::new(records));
        if let Some(function) = gone {
            (self.on_deleted)(&function);
        }
    }
}
