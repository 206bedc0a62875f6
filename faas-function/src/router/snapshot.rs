//! What keeps the router's copy of the registry fresh: a task that follows the registry's watch.

use std::sync::Arc;
use std::time::Duration;

use faas_core::store::Revision;
use faas_core::{Clock, ErrorKind, Result};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::task::JoinHandle;

use super::routes::Routes;
use crate::registry::{MetadataStore, RegistryEvent};

/// How long it waits after the registry failed.
const BACKOFF: Duration = Duration::from_millis(200);
/// How many changes are taken up at once, if so many are there: each time, the table is copied.
const AT_ONCE: usize = 256;

/// Keeps [`Routes`] fresh until it is dropped.
pub(super) struct Snapshot(JoinHandle<()>);

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Snapshot {
    /// Reads the registry once, and follows it from then on.
    pub(super) async fn start(
        metadata: Arc<dyn MetadataStore>,
        clock: Arc<dyn Clock>,
        routes: Arc<Routes>,
    ) -> Result<Self> {
        let (records, after) = metadata.list(None).await?;
        routes.replace(records);
        let follower = Follower {
            metadata,
            clock,
            routes,
        };
        Ok(Self(tokio::spawn(follower.run(after))))
    }
}

struct Follower {
    metadata: Arc<dyn MetadataStore>,
    clock: Arc<dyn Clock>,
    routes: Arc<Routes>,
}

type Changes = BoxStream<'static, Vec<Result<RegistryEvent>>>;

impl Follower {
    async fn run(self, mut after: Revision) {
        loop {
            let changes = self.metadata.watch(after);
            self.follow(changes.ready_chunks(AT_ONCE).boxed()).await;
            // Ended or compacted: only a list says what is true now.
            after = self.list().await;
        }
    }

    /// Takes up changes, and asks about what the registry has not told of; until the watch ends.
    async fn follow(&self, mut changes: Changes) {
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = changes.next() => chunk,
                () = self.routes.doubted.notified() => {
                    self.ask().await;
                    continue;
                }
            };
            let Some(chunk) = chunk else { return };
            let told = chunk.len();
            let events: Vec<_> = chunk.into_iter().map_while(Result::ok).collect();
            let whole = events.len() == told;
            self.routes.apply(events);
            if !whole {
                return;
            }
        }
    }

    /// What the registry says now and not later is seen by its watch, so one answer is enough.
    async fn ask(&self) {
        while let Some(function) = self.routes.doubt() {
            match self.metadata.get(&function).await {
                Ok(_) => self.routes.trust(&function),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.routes.distrust(&function);
                }
                Err(error) => {
                    tracing::warn!(%function, %error, "the router cannot ask the registry");
                    self.pause().await;
                }
            }
        }
    }

    async fn list(&self) -> Revision {
        loop {
            self.pause().await;
            match self.metadata.list(None).await {
                Ok((records, revision)) => {
                    self.routes.replace(records);
                    return revision;
                }
                Err(error) => tracing::warn!(%error, "the router cannot read the registry"),
            }
        }
    }

    async fn pause(&self) {
        self.clock.sleep_until(self.clock.now() + BACKOFF).await;
    }
}
