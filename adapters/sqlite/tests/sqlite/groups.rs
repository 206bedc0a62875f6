//! Commits that share a transaction, and those that must not spoil it.

use std::time::Duration;

use faas_core::store::{Batch, BatchOutcome, Key, Precondition, Space, Store};
use faas_core::{ByteSize, ErrorKind, Retry};
use faas_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::common::{UNWATCHED, WATCHED, fresh, place, put, value};

/// Keeps the writer from beginning until it is dropped.
struct Stalled(Connection);

impl Stalled {
    fn new(path: &std::path::Path) -> Self {
        let connection = Connection::open(path).expect("a connection");
        connection
            .busy_timeout(Duration::from_secs(30))
            .expect("a timeout");
        connection.execute_batch("BEGIN IMMEDIATE").expect("a lock");
        Self(connection)
    }
}

#[tokio::test]
async fn what_waits_shares_one_transaction() {
    let (store, directory) = fresh().await;
    let stalled = Stalled::new(&directory.path().join("state.db"));
    let commits: Vec<_> = (0..100)
        .map(|n| store.commit(put(WATCHED, &Key::new("n").number(n), "v")))
        .collect();
    drop(stalled.0);
    for commit in commits {
        commit.await.expect("committed");
    }
    let statistics = store.statistics();
    assert_eq!(statistics.commits, 100);
    // The first may have gone ahead alone.
    assert!(statistics.transactions <= 2, "{statistics:?}");
}

#[tokio::test]
async fn a_batch_that_is_refused_undoes_none_of_its_neighbours() {
    let (store, directory) = fresh().await;
    let stalled = Stalled::new(&directory.path().join("state.db"));
    let key = Key::new("contended");
    let once = |n: u32| {
        let batch = Batch::new().put(WATCHED, key.clone(), n.to_string(), Precondition::Absent);
        batch.put(
            WATCHED,
            Key::new("n").number(n.into()),
            "v",
            Precondition::Any,
        )
    };
    let commits: Vec<_> = (0..50).map(|n| store.commit(once(n))).collect();
    let others: Vec<_> = (100..150)
        .map(|n| store.commit(put(WATCHED, &Key::new("n").number(n), "v")))
        .collect();
    drop(stalled.0);
    let mut succeeded = Vec::new();
    for (n, commit) in commits.into_iter().enumerate() {
        match commit.await {
            Ok(_) => succeeded.push(n),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(succeeded, [0], "the first call comes first");
    for other in others {
        other
            .await
            .expect("it has nothing to do with the refused ones");
    }
    assert_eq!(store.statistics().commits, 51);
    assert!(
        value(&store, &WATCHED, &Key::new("n").number(7))
            .await
            .is_none()
    );
    assert!(
        value(&store, &WATCHED, &Key::new("n").number(107))
            .await
            .is_some()
    );
}

#[tokio::test]
async fn a_batch_that_does_not_fit_undoes_none_of_its_neighbours() {
    let (_directory, path) = place();
    let store = SqliteStore::builder(&path)
        .max_size(ByteSize::mib(4))
        .open()
        .await;
    let store = store.expect("a new store");
    let stalled = Stalled::new(&path);
    let large = "x".repeat(8 << 20);
    let large = put(UNWATCHED, &Key::new("large"), &large);
    let large_id = large.id();
    let commits: Vec<_> = (0..10)
        .map(|n| store.commit(put(UNWATCHED, &Key::new("n").number(n), "v")))
        .collect();
    let large = store.commit(large);
    let later = store.commit(put(UNWATCHED, &Key::new("later"), "v"));
    drop(stalled.0);
    let error = large.await.expect_err("8 MiB do not fit 4");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Exhausted, Retry::Safe),
        "{error}"
    );
    for commit in commits.into_iter().chain([later]) {
        commit.await.expect("it fits");
    }
    let outcome = store.outcome(large_id).await.expect("it knows");
    assert_eq!(outcome, BatchOutcome::Aborted);
    store
        .commit(put(UNWATCHED, &Key::new("small"), "v"))
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn a_batch_is_submitted_once() {
    let (store, _directory) = fresh().await;
    let batch = put(WATCHED, &Key::new("a"), "1");
    let committed = store.commit(batch.clone()).await.expect("committed");
    let error = store.commit(batch.clone()).await.expect_err("again");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let outcome = store.outcome(batch.id()).await.expect("it knows");
    assert_eq!(outcome, BatchOutcome::Committed(committed));
    store.commit(batch.again()).await.expect("another batch");
}

#[tokio::test]
async fn a_space_is_declared_alike_everywhere() {
    let (store, _directory) = fresh().await;
    let key = Key::new("a");
    let (watched, unwatched) = (Space::watched("s"), Space::unwatched("s"));
    let both = put(watched.clone(), &key, "1").put(
        unwatched.clone(),
        Key::new("b"),
        "1",
        Precondition::Any,
    );
    let invalid = |error: faas_core::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    };
    invalid(store.commit(both).await.expect_err("in one batch"));
    store
        .commit(put(watched, &key, "1"))
        .await
        .expect("committed");
    let commit = store.commit(put(unwatched.clone(), &key, "2")).await;
    invalid(commit.expect_err("in another batch"));
    invalid(store.get(&unwatched, &key).await.expect_err("in a read"));
    let scan = faas_core::store::Scan::new(unwatched, faas_core::store::KeyRange::all());
    invalid(store.scan(scan).await.expect_err("in a scan"));
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (_directory, path) = place();
    let store = SqliteStore::builder(&path)
        .queue(10, ByteSize::mib(64))
        .open()
        .await;
    let store = store.expect("a new store");
    let stalled = Stalled::new(&path);
    let batch = |n| put(UNWATCHED, &Key::new("n").number(n), "v");
    let commits: Vec<_> = (0..10).map(|n| store.commit(batch(n))).collect();
    let error = store
        .commit(batch(10))
        .await
        .expect_err("the queue is full");
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Exhausted, Retry::Safe)
    );
    drop(stalled.0);
    for commit in commits {
        commit.await.expect("committed");
    }
    store.commit(batch(11)).await.expect("there is room again");
}
