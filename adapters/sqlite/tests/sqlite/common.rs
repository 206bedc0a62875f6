//! Stores in directories of their own.

use std::path::PathBuf;
use std::sync::Arc;

use faas_core::store::conformance::Fixture;
use faas_core::store::{Batch, Key, Precondition, Space, Store};
use faas_core::{Clock, TokioClock};
use faas_sqlite::SqliteStore;
use futures::FutureExt;
use tempfile::TempDir;

pub(crate) const WATCHED: Space = Space::watched("watched");
pub(crate) const UNWATCHED: Space = Space::unwatched("unwatched");

/// A directory, gone with the test, and the path of a store in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.db");
    (directory, path)
}

pub(crate) async fn fresh() -> (SqliteStore, TempDir) {
    let (directory, path) = place();
    let store = SqliteStore::open(path).await.expect("a new store");
    (store, directory)
}

/// A fresh store for the suites.
pub(crate) async fn fixture() -> Fixture {
    let (store, directory) = fresh().await;
    let compacting = store.clone();
    let compact = move |space, revision| {
        let store = compacting.clone();
        async move {
            let compacted = store.compact(&space, revision).await;
            compacted.expect("a healthy store compacts");
        }
        .boxed()
    };
    Fixture::new(store)
        .keeping(directory)
        .compacting(Box::new(compact))
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
