//! A disk that is full, or fails, or may not be written: a clear error, and nothing lost.

use std::time::Duration;

use faas_core::store::{
    AmbiguousCommit, BatchId, BatchOutcome, Key, KeyRange, Revision, Scan, Store,
};
use faas_core::{ErrorKind, Retry};
use faas_sqlite::{Integrity, SqliteStore};
use futures::StreamExt;

use crate::common::{WATCHED, place, put, value};
use crate::power::disk::{self, Disk};

fn survives(role: &str, fault: &str) {
    let Some(disk) = Disk::new() else { return };
    let status = disk.run("disk_faults::child", role, fault);
    assert!(status.success(), "{role}, {fault}: {status}");
}

#[test]
fn a_full_disk_is_told_and_the_store_goes_on_when_there_is_room() {
    for from in [8, 9, 10, 11, 40, 41] {
        survives("full", &format!("write -wal {from} 6"));
    }
}

#[test]
fn a_sync_that_fails_never_acknowledges_and_is_settled() {
    for from in [3, 4, 7] {
        survives("failing", &format!("sync -wal {from} 1"));
    }
}

#[test]
fn while_the_disk_fails_commits_are_in_doubt_and_nothing_more_is_written() {
    survives("doubtful", "sync -wal 4 5");
}

#[test]
fn a_checkpoint_that_fails_loses_nothing() {
    survives("checkpoint", "sync state.db 2 3");
    survives("checkpoint", "write state.db 30 40");
}

/// Does nothing unless it is the child of the tests above.
#[tokio::test]
async fn child() {
    let Some((directory, role)) = disk::child() else {
        return;
    };
    let path = directory.join("state.db");
    let store = SqliteStore::open(&path).await.expect("a store");
    let value = match role.as_str() {
        "checkpoint" => "x".repeat(60_000),
        _ => "v".into(),
    };
    let mut told = Told::default();
    for n in 0..200 {
        let batch = put(WATCHED, &Key::new("n").number(n), &value);
        let id = batch.id();
        match store.commit(batch).await {
            Ok(_) => told.acknowledged.push(n),
            Err(error) => told.failed(n, id, &error),
        }
    }
    check_role(&role, &told);
    check_store(&store, &told).await;
    store.close().await;
    let builder = SqliteStore::builder(&path).integrity(Integrity::Full);
    let store = builder.open().await.expect("it is sound");
    check_store(
        &store,
        &Told {
            refused: Vec::new(),
            ..told
        },
    )
    .await;
}

#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<u64>,
    /// Batches that did not happen, by their errors.
    refused: Vec<(u64, BatchId, ErrorKind)>,
    in_doubt: Vec<(u64, BatchId)>,
}

impl Told {
    fn failed(&mut self, n: u64, id: BatchId, error: &faas_core::Error) {
        match (error.retry(), AmbiguousCommit::of(error)) {
            (Retry::Safe, None) => self.refused.push((n, id, error.kind())),
            (Retry::Ambiguous, Some(of)) if of == id => self.in_doubt.push((n, id)),
            _ => panic!("{error:?}"),
        }
    }
}

fn check_role(role: &str, told: &Told) {
    let last = told.acknowledged.last();
    assert_eq!(last, Some(&199), "it does not go on: {told:?}");
    let kind = |kind| told.refused.iter().all(|(_, _, k)| *k == kind);
    match role {
        "full" => {
            assert!(!told.refused.is_empty(), "{told:?}");
            assert!(kind(ErrorKind::Exhausted), "{told:?}");
            assert!(told.in_doubt.is_empty(), "{told:?}");
        }
        "failing" => {
            assert_eq!(told.refused.len(), 1, "{told:?}");
            assert!(kind(ErrorKind::Unavailable), "{told:?}");
            assert!(told.in_doubt.is_empty(), "it was settled at once: {told:?}");
        }
        "doubtful" => {
            assert_eq!(told.in_doubt.len(), 1, "{told:?}");
            assert!(!told.refused.is_empty(), "{told:?}");
        }
        _ => {
            assert_eq!(told.acknowledged.len(), 200, "the log holds it: {told:?}");
        }
    }
}

/// What was acknowledged is there, in the log of changes too, and nothing else.
async fn check_store(store: &SqliteStore, told: &Told) {
    let page = store.scan(Scan::new(WATCHED, KeyRange::all())).await;
    let page = page.expect("a page");
    let keys: Vec<_> = page.entries.iter().map(|entry| entry.key.clone()).collect();
    let number = |n: &u64| Key::new("n").number(*n);
    let acknowledged: Vec<_> = told.acknowledged.iter().map(number).collect();
    assert_eq!(keys, acknowledged);
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let changes: Vec<_> = changes.take(acknowledged.len()).collect().await;
    let changed = changes
        .into_iter()
        .map(|change| change.expect("a change").key);
    assert_eq!(changed.collect::<Vec<_>>(), acknowledged);
    let refused = told.refused.iter().map(|(_, id, _)| *id);
    let undone = told.in_doubt.iter().map(|(_, id)| *id);
    for id in refused.chain(undone).filter(|_| !told.refused.is_empty()) {
        let outcome = store.outcome(id).await.expect("an answer");
        assert_eq!(outcome, BatchOutcome::Aborted, "it was settled");
    }
}

/// Root may write everywhere: the thread, and those that it starts, give that right up.
#[test]
fn a_directory_that_may_not_be_written_is_told() {
    let (directory, path) = place();
    let root = rustix::process::geteuid().is_root();
    let refused = std::thread::spawn(move || {
        if root {
            let mut capabilities = rustix::thread::capabilities(None).expect("capabilities");
            capabilities.effective = rustix::thread::CapabilitySet::empty();
            rustix::thread::set_capabilities(None, capabilities).expect("given up");
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let store = SqliteStore::open(&path).await.expect("a store");
            store
                .commit(put(WATCHED, &Key::new("a"), "1"))
                .await
                .expect("committed");
            store.close().await;
            let parent = path.parent().expect("a parent");
            allow(parent, 0o555);
            let other = SqliteStore::open(parent.join("other.db")).await;
            let denied = [other.expect_err("it cannot be made"), {
                allow(&path, 0o444);
                let builder = SqliteStore::builder(&path).lock_patience(Duration::ZERO);
                builder.open().await.expect_err("it cannot be written")
            }];
            allow(parent, 0o755);
            allow(&path, 0o644);
            let store = SqliteStore::open(&path).await.expect("a store");
            let found = value(&store, &WATCHED, &Key::new("a")).await;
            assert_eq!(found.as_deref(), Some("1"));
            denied
        })
    });
    for error in refused.join().expect("no panic") {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.message().contains("right to write"), "{error}");
    }
    drop(directory);
}

fn allow(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("changed");
}
