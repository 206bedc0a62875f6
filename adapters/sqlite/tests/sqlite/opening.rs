//! Opening, closing, backup.

use std::fs;
use std::time::Duration;

use faas_core::store::{Key, KeyRange, Revision, Scan, Space, Store};
use faas_core::{ByteSize, ErrorKind};
use faas_sqlite::{Integrity, SqliteStore, Synchronous};
use futures::StreamExt;

use crate::common::{UNWATCHED, WATCHED, fresh, place, put, value};

#[tokio::test]
async fn what_was_committed_is_there_again_and_numbers_go_on() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).await.expect("a new store");
    let (a, b) = (Key::new("a"), Key::new("b"));
    let first = store
        .commit(put(WATCHED, &a, "1"))
        .await
        .expect("committed");
    store
        .commit(put(UNWATCHED, &b, "2"))
        .await
        .expect("committed");
    store.close().await;

    let store = SqliteStore::open(&path).await.expect("the same store");
    assert_eq!(value(&store, &WATCHED, &a).await.as_deref(), Some("1"));
    assert_eq!(value(&store, &UNWATCHED, &b).await.as_deref(), Some("2"));
    let second = store
        .commit(put(WATCHED, &a, "3"))
        .await
        .expect("committed");
    assert!(second.revision(&WATCHED) > first.revision(&WATCHED));
    assert!(second.versions[0] > first.versions[0]);
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let changes: Vec<_> = changes.take(2).collect().await;
    let revisions = changes.into_iter().map(|c| c.expect("a change").revision);
    let expected = [first, second].map(|c| c.revision(&WATCHED).expect("a revision"));
    assert_eq!(revisions.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn outcomes_outlast_the_process() {
    let (_directory, path) = place();
    let store = SqliteStore::open(&path).await.expect("a new store");
    let batch = put(WATCHED, &Key::new("a"), "1").put(
        Space::watched("another"),
        Key::new("b"),
        "2",
        faas_core::store::Precondition::Any,
    );
    let id = batch.id();
    let committed = store.commit(batch).await.expect("committed");
    store.close().await;
    let store = SqliteStore::open(&path).await.expect("the same store");
    let outcome = store.outcome(id).await.expect("it knows");
    assert_eq!(
        outcome,
        faas_core::store::BatchOutcome::Committed(committed)
    );
}

#[tokio::test]
async fn the_second_to_open_it_is_told_who_has_it() {
    let (store, directory) = fresh().await;
    let path = directory.path().join("state.db");
    let again = || {
        SqliteStore::builder(&path)
            .lock_patience(Duration::ZERO)
            .open()
    };
    let error = again().await.expect_err("it is open");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let owner = format!("process {}", std::process::id());
    assert!(error.message().contains(&owner), "{error}");
    store.close().await;
    again().await.expect("it was let go");
}

#[tokio::test]
async fn who_opens_it_waits_for_the_last_one_to_let_go() {
    let (store, directory) = fresh().await;
    let key = Key::new("dropped");
    drop(store.commit(put(UNWATCHED, &key, "1")));
    drop(store);
    let store = SqliteStore::builder(directory.path().join("state.db"))
        .lock_patience(Duration::from_secs(30))
        .open()
        .await
        .expect("the last clone is gone");
    let found = value(&store, &UNWATCHED, &key).await;
    assert_eq!(
        found.as_deref(),
        Some("1"),
        "what was submitted is committed"
    );
}

#[tokio::test]
async fn a_closed_store_refuses_and_its_watches_end() {
    let (store, _directory) = fresh().await;
    let mut changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let pending = store.commit(put(UNWATCHED, &Key::new("a"), "1"));
    store.close().await;
    pending.await.expect("it was submitted before");
    let end = changes.next().await.expect("an end").expect_err("an error");
    assert_eq!(end.kind(), ErrorKind::Unavailable);
    let error = store.commit(put(UNWATCHED, &Key::new("a"), "2")).await;
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Unavailable);
    let error = store.get(&UNWATCHED, &Key::new("a")).await;
    assert_eq!(error.expect_err("closed").kind(), ErrorKind::Unavailable);
    let later = store
        .watch(&WATCHED, Key::empty(), Revision(0))
        .next()
        .await;
    let error = later.expect("an end").expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    store.close().await;
}

#[tokio::test]
async fn every_fault_of_the_options_is_told_at_once() {
    let refused = SqliteStore::builder("/")
        .readers(0)
        .queue(0, ByteSize(1))
        .kept_changes(0, ByteSize(0))
        .max_size(ByteSize(1))
        .open()
        .await
        .expect_err("all of it is wrong");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.message().starts_with("7 faults"), "{refused}");
}

#[tokio::test]
async fn directories_are_made_and_a_missing_file_can_be_refused() {
    let (directory, _) = place();
    let path = directory.path().join("deep/er/state.db");
    let refused = SqliteStore::builder(&path).create(false).open().await;
    assert_eq!(refused.expect_err("missing").kind(), ErrorKind::NotFound);
    assert!(
        !path.parent().expect("a parent").exists(),
        "it left something"
    );
    let store = SqliteStore::open(&path).await.expect("made");
    store.close().await;
    let opened = SqliteStore::builder(&path).create(false).open().await;
    opened.expect("it is there");
}

#[tokio::test]
async fn a_weaker_promise_is_declared() {
    let (_directory, path) = place();
    let store = SqliteStore::builder(path)
        .synchronous(Synchronous::Normal)
        .integrity(Integrity::Skip)
        .open()
        .await
        .expect("a new store");
    assert_eq!(store.durability(), faas_core::store::Durability::Process);
    store
        .commit(put(UNWATCHED, &Key::new("a"), "1"))
        .await
        .expect("committed");
}

#[tokio::test]
async fn a_backup_is_a_store_of_its_own() {
    let (store, directory) = fresh().await;
    let key = Key::new("a");
    store
        .commit(put(WATCHED, &key, "1"))
        .await
        .expect("committed");
    let copy = directory.path().join("copy.db");
    store.backup(&copy).await.expect("a copy");
    store
        .commit(put(WATCHED, &key, "2"))
        .await
        .expect("committed");
    let again = store.backup(&copy).await.expect_err("it is there already");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    let builder = SqliteStore::builder(&copy).integrity(Integrity::Full);
    let copied = builder.open().await.expect("a store");
    assert_eq!(value(&copied, &WATCHED, &key).await.as_deref(), Some("1"));
    copied
        .commit(put(WATCHED, &key, "3"))
        .await
        .expect("committed");
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("2"));
    let names = fs::read_dir(directory.path()).expect("a directory");
    let left = names.filter(|name| {
        let name = name.as_ref().expect("a name").file_name();
        name.to_string_lossy().contains("partial")
    });
    assert_eq!(left.count(), 0, "a part of a copy is left");
}

#[tokio::test]
async fn a_backup_goes_on_beside_commits() {
    let (store, directory) = fresh().await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..500u64 {
                let key = Key::new("n").number(n);
                store
                    .commit(put(WATCHED, &key, "v"))
                    .await
                    .expect("committed");
            }
        })
    };
    let mut copies = Vec::new();
    while !writer.is_finished() {
        let copy = directory.path().join(format!("{}.db", copies.len()));
        store.backup(&copy).await.expect("a copy");
        copies.push(copy);
    }
    writer.await.expect("the writer succeeds");
    for copy in copies {
        let store = SqliteStore::open(copy).await.expect("a store");
        let page = store
            .scan(Scan::new(WATCHED, KeyRange::all()))
            .await
            .expect("a page");
        let (count, revision) = (page.entries.len() as u64, page.revision.0);
        assert_eq!(count, revision, "the copy is not of one moment");
    }
}

#[tokio::test(start_paused = true)]
async fn paused_time_waits_for_the_disk() {
    let (_directory, path) = place();
    let clock = std::sync::Arc::new(faas_core::TokioClock::for_paused_time());
    let store = SqliteStore::builder(path).clock(clock).open().await;
    let store = store.expect("a new store");
    for n in 0..50 {
        let commit = store.commit(put(WATCHED, &Key::new("n").number(n), "v"));
        let patient = tokio::time::timeout(Duration::from_secs(1), commit);
        patient.await.expect("time jumped").expect("committed");
    }
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let all = changes.take(50).count();
    let all = tokio::time::timeout(Duration::from_secs(1), all).await;
    assert_eq!(all.expect("time jumped"), 50);
    let closed = tokio::time::timeout(Duration::from_secs(1), store.close());
    closed.await.expect("time jumped");
}

#[tokio::test]
async fn the_queries_of_the_readme_run() {
    let (store, directory) = fresh().await;
    let key = Key::new("shop").child("checkout");
    store
        .commit(put(WATCHED, &key, "{\"kind\":\"k\"}"))
        .await
        .expect("committed");
    let delete = faas_core::store::Batch::new();
    let delete = delete.delete(WATCHED, key, faas_core::store::Precondition::Any);
    store
        .commit(put(UNWATCHED, &Key::new("ü").child(""), "ö"))
        .await
        .expect("committed");
    store.commit(delete).await.expect("committed");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let path = directory.path().join("state.db");
    let look = rusqlite::Connection::open_with_flags(path, flags).expect("a look");
    let readme = include_str!("../../README.md");
    let mut queries = 0;
    for block in readme.split("```sql").skip(1) {
        let block = block.split("```").next().expect("a block");
        for query in block.split(';').filter(|query| !query.trim().is_empty()) {
            let mut statement = look
                .prepare(query)
                .unwrap_or_else(|e| panic!("{query}: {e}"));
            let mut rows = statement.query([]).expect("rows");
            while rows
                .next()
                .unwrap_or_else(|e| panic!("{query}: {e}"))
                .is_some()
            {}
            queries += 1;
        }
    }
    assert_eq!(queries, 7);
    let shown = |query: &str| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        look.query_row(query, [], row).expect("a row")
    };
    let entry: (String, String) = shown("SELECT key, value FROM entries");
    assert_eq!(entry, ("ü//".into(), "ö".into()));
    let change: (String, String) = shown("SELECT key, what FROM changes ORDER BY revision DESC");
    assert_eq!(change, ("shop/checkout/".into(), "deleted".into()));
}
