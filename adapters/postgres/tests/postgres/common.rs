//! Stores in schemas of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faas_core::store::conformance::Fixture;
use faas_core::store::{Batch, Key, MemoryStore, Precondition, Space, Store};
use faas_core::{Clock, TokioClock};
use faas_postgres::{PostgresStore, PostgresStoreBuilder};
use futures::FutureExt;

use crate::server::Server;

pub(crate) const WATCHED: Space = Space::watched("watched");
pub(crate) const UNWATCHED: Space = Space::unwatched("unwatched");

/// A schema that no other test has.
pub(crate) fn schema() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn builder(server: &Server) -> PostgresStoreBuilder {
    PostgresStore::builder(server.url())
        .schema(schema())
        .readers(4)
}

/// A fresh store for the suites. Where there is no server the suites run over another store, and
/// the skip is said.
pub(crate) async fn fixture() -> Fixture {
    let Some(server) = Server::shared() else {
        return Fixture::new(MemoryStore::new());
    };
    let store = builder(server).open().await.expect("a new store");
    let compacting = store.clone();
    let compact = move |space, revision| {
        let store = compacting.clone();
        async move {
            let compacted = store.compact(&space, revision).await;
            compacted.expect("a healthy store compacts");
        }
        .boxed()
    };
    Fixture::new(store).compacting(Box::new(compact))
}

/// A fresh store to set components on.
pub(crate) async fn store() -> Arc<dyn Store> {
    fixture().await.into_store()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

pub(crate) fn put(space: Space, key: &Key, value: &str) -> Batch {
    Batch::new().put(space, key.clone(), value.to_owned(), Precondition::Any)
}

/// What is at a key, as text.
pub(crate) async fn value(store: &dyn Store, space: &Space, key: &Key) -> Option<String> {
    let entry = store.get(space, key).await.expect("a read succeeds");
    entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}
