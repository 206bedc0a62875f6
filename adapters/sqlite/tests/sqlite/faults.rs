//! A file that is damaged, gone, another's or out of reach: a clear error, and nothing lost.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use faas_core::store::{AmbiguousCommit, BatchOutcome, Key, Store};
use faas_core::{ErrorKind, Retry};
use faas_sqlite::{Integrity, SqliteStore};

use crate::common::{UNWATCHED, WATCHED, fresh, place, put, value};

/// A closed store of several pages.
async fn written() -> (tempfile::TempDir, std::path::PathBuf) {
    let (store, directory) = fresh().await;
    for n in 0..200 {
        let commit = store.commit(put(WATCHED, &Key::new("n").number(n), &"v".repeat(500)));
        commit.await.expect("committed");
    }
    store.close().await;
    let path = directory.path().join("state.db");
    (directory, path)
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    for (place, what) in [(0u64, "the header"), (4096 * 4, "a page")] {
        let (_directory, path) = written().await;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("a file");
        file.seek(SeekFrom::Start(place)).expect("a place");
        file.write_all(&[0xa5; 2048]).expect("written");
        drop(file);
        let before = fs::read(&path).expect("a file");
        let error = SqliteStore::open(&path).await.expect_err(what);
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Internal, Retry::Never),
            "{error}"
        );
        assert!(error.message().contains("restore a backup"), "{error}");
        assert_eq!(
            fs::read(&path).expect("a file"),
            before,
            "{what}: it was changed"
        );
    }
}

#[tokio::test]
async fn damage_that_comes_later_is_told_by_reads_and_by_the_check() {
    let (store, directory) = fresh().await;
    for n in 0..200 {
        let commit = store.commit(put(UNWATCHED, &Key::new("n").number(n), &"v".repeat(500)));
        commit.await.expect("committed");
    }
    store
        .check_integrity(Integrity::Full)
        .await
        .expect("it is sound");
    store.close().await;
    let path = directory.path().join("state.db");
    let mut bytes = fs::read(&path).expect("a file");
    let pages = bytes.len() / 4096;
    for page in 1..pages {
        // The type of each page but the first.
        bytes[page * 4096] = 0x77;
    }
    fs::write(&path, bytes).expect("written");
    let store = SqliteStore::builder(&path)
        .integrity(Integrity::Skip)
        .open()
        .await;
    // It may show at once, or when it is read; never as another value.
    let error = match store {
        Err(error) => error,
        Ok(store) => store
            .get(&UNWATCHED, &Key::new("n").number(0))
            .await
            .expect_err("every page is damaged"),
    };
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().contains("damaged"), "{error}");
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_as_it_is() {
    let (_directory, path) = place();
    let theirs = rusqlite::Connection::open(&path).expect("a database");
    theirs
        .execute_batch("CREATE TABLE theirs (a)")
        .expect("SQL");
    drop(theirs);
    let before = fs::read(&path).expect("a file");
    let error = SqliteStore::open(&path).await.expect_err("theirs");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(fs::read(&path).expect("a file"), before, "it was changed");
}

#[tokio::test]
async fn a_later_releases_file_is_refused() {
    let (_directory, path) = written().await;
    let later = rusqlite::Connection::open(&path).expect("a database");
    later
        .pragma_update(None, "user_version", 99)
        .expect("a version");
    drop(later);
    let error = SqliteStore::open(&path).await.expect_err("the future");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("schema 99"), "{error}");
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let (store, directory) = fresh().await;
    store
        .commit(put(WATCHED, &Key::new("a"), "1"))
        .await
        .expect("committed");
    let path = directory.path().join("state.db");
    let saved = directory.path().join("saved");
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", path.display());
        fs::copy(name, format!("{}{suffix}", saved.display())).expect("a copy");
    }
    let database = fs::read(&saved).expect("a file");
    fs::remove_file(&saved).expect("removed");
    let error = SqliteStore::open(&saved)
        .await
        .expect_err("half is missing");
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    fs::write(&saved, database).expect("put back");
    let store = SqliteStore::open(&saved).await.expect("both are there");
    let found = value(&store, &WATCHED, &Key::new("a")).await;
    assert_eq!(found.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_removed_file_takes_no_more_and_can_be_saved() {
    let (store, directory) = fresh().await;
    let key = Key::new("a");
    store
        .commit(put(WATCHED, &key, "1"))
        .await
        .expect("committed");
    let path = directory.path().join("state.db");
    fs::remove_file(&path).expect("removed");
    let batch = put(WATCHED, &key, "2");
    let id = batch.id();
    let error = store.commit(batch).await.expect_err("it would be lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(AmbiguousCommit::of(&error), None, "nothing was tried");
    assert!(error.message().contains("backup"), "{error}");
    assert_eq!(
        store.outcome(id).await.expect("it knows"),
        BatchOutcome::Aborted
    );
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("1"));

    let saved = directory.path().join("saved.db");
    store.backup(&saved).await.expect("saved");
    store.close().await;
    let store = SqliteStore::open(&saved).await.expect("a store");
    assert_eq!(value(&store, &WATCHED, &key).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_replaced_file_takes_no_more() {
    let (store, directory) = fresh().await;
    let path = directory.path().join("state.db");
    let other = directory.path().join("other.db");
    store.backup(&other).await.expect("a copy");
    fs::rename(&other, &path).expect("replaced");
    let error = store.commit(put(WATCHED, &Key::new("a"), "1")).await;
    assert_eq!(
        error.expect_err("it would be lost").kind(),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_truncated_log_loses_nothing_that_is_in_the_file() {
    let (store, directory) = fresh().await;
    for n in 0..20 {
        store
            .commit(put(WATCHED, &Key::new("n").number(n), "v"))
            .await
            .expect("committed");
    }
    // What a crash leaves, with a log that was cut in the middle of a frame.
    let path = directory.path().join("state.db");
    let crashed = directory.path().join("crashed.db");
    fs::copy(&path, &crashed).expect("a copy");
    let mut log = fs::read(format!("{}-wal", path.display())).expect("a log");
    log.truncate(log.len() - 1000);
    fs::write(format!("{}-wal", crashed.display()), log).expect("a log");
    let store = SqliteStore::open(&crashed).await.expect("a store");
    assert!(
        value(&store, &WATCHED, &Key::new("n").number(18))
            .await
            .is_some()
    );
    assert!(
        value(&store, &WATCHED, &Key::new("n").number(19))
            .await
            .is_none()
    );
    store
        .check_integrity(Integrity::Full)
        .await
        .expect("it is sound");
}
