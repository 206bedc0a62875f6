//! What is kept of changes and outcomes, and for how long.

use std::sync::Arc;
use std::time::Duration;

use faas_core::store::{BatchOutcome, Key, Revision, Store};
use faas_core::{ByteSize, ErrorKind, TokioClock};
use faas_sqlite::SqliteStore;
use futures::StreamExt;

use crate::common::{WATCHED, place, put};

#[tokio::test]
async fn old_changes_leave_by_count_and_by_size() {
    for (count, bytes) in [(100, ByteSize::mib(64)), (10_000, ByteSize::kib(100))] {
        let (_directory, path) = place();
        let builder = SqliteStore::builder(path).kept_changes(count, bytes);
        let store = builder.open().await.expect("a new store");
        let value = "x".repeat(1000);
        for n in 0..300 {
            let key = Key::new("n").number(n);
            store
                .commit(put(WATCHED, &key, &value))
                .await
                .expect("committed");
        }
        let gone = store
            .watch(&WATCHED, Key::empty(), Revision(100))
            .next()
            .await;
        let gone = gone.expect("an end").expect_err("too long ago");
        assert_eq!(gone.kind(), ErrorKind::Compacted);
        let kept = store.watch(&WATCHED, Key::empty(), Revision(250));
        let kept: Vec<_> = kept.take(50).collect().await;
        let first = kept[0].as_ref().expect("a change");
        assert_eq!(first.revision, Revision(251));
    }
}

#[tokio::test]
async fn the_bounds_hold_across_restarts() {
    let (_directory, path) = place();
    let open = async || {
        let builder = SqliteStore::builder(&path).kept_changes(10, ByteSize::mib(1));
        builder.open().await.expect("a store")
    };
    for round in 0..5u64 {
        let store = open().await;
        for n in 0..4 {
            let key = Key::new("n").number(round * 4 + n);
            store
                .commit(put(WATCHED, &key, "v"))
                .await
                .expect("committed");
        }
        store.close().await;
    }
    let store = open().await;
    let gone = store
        .watch(&WATCHED, Key::empty(), Revision(9))
        .next()
        .await;
    gone.expect("an end").expect_err("only ten are kept");
    let kept = store
        .watch(&WATCHED, Key::empty(), Revision(10))
        .next()
        .await;
    assert_eq!(kept.expect("one").expect("a change").revision, Revision(11));
}

#[tokio::test]
async fn the_last_commit_is_kept_whatever_its_size() {
    let (_directory, path) = place();
    let builder = SqliteStore::builder(path).kept_changes(1, ByteSize(1));
    let store = builder.open().await.expect("a new store");
    let mut live = store.watch(&WATCHED, Key::empty(), Revision(0));
    for n in 0..10 {
        let batch = (0..10).fold(faas_core::store::Batch::new(), |batch, m| {
            let key = Key::new("n").number(n * 10 + m);
            batch.put(WATCHED, key, "value", faas_core::store::Precondition::Any)
        });
        store.commit(batch).await.expect("committed");
        for _ in 0..10 {
            live.next()
                .await
                .expect("a change")
                .expect("who keeps up misses nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_kept_for_ten_minutes_and_then_leave() {
    let (_directory, path) = place();
    let clock = Arc::new(TokioClock::for_paused_time());
    let store = SqliteStore::builder(&path)
        .clock(clock)
        .open()
        .await
        .expect("a store");
    let commit = async |n| {
        let batch = put(WATCHED, &Key::new("n").number(n), "v");
        let id = batch.id();
        store.commit(batch).await.expect("committed");
        id
    };
    let first = commit(0).await;
    tokio::time::sleep(Duration::from_secs(599)).await;
    commit(1).await;
    let known = store.outcome(first).await.expect("an answer");
    assert!(matches!(known, BatchOutcome::Committed(_)), "{known:?}");
    tokio::time::sleep(Duration::from_secs(602)).await;
    commit(2).await;
    assert_eq!(
        store.outcome(first).await.expect("an answer"),
        BatchOutcome::Unknown
    );
    store.close().await;
    let look = rusqlite::Connection::open(&path).expect("a look");
    let left: i64 = look
        .query_row("SELECT count(*) FROM batch", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(left, 1, "only the last is needed");
}
