//! Files of earlier schemas are opened, and come to what a new file has.

use std::fs;
use std::path::Path;

use faas_core::store::{
    Batch, BatchId, BatchOutcome, Key, KeyRange, Precondition, Revision, Scan, Store,
};
use faas_sqlite::{Integrity, SqliteStore};
use futures::StreamExt;

use crate::common::{UNWATCHED, WATCHED, fresh, place, put, value};

/// One file of each schema there ever was.
const GOLDEN: &[(&str, &[u8])] = &[("v1", include_bytes!("../golden/v1.db"))];

/// The batch that every golden file remembers.
const KNOWN: BatchId = BatchId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

#[tokio::test]
async fn every_schema_is_read() {
    for (name, bytes) in GOLDEN {
        let (_directory, path) = place();
        fs::write(&path, bytes).expect("a copy");
        let builder = SqliteStore::builder(&path).integrity(Integrity::Full);
        let store = builder
            .open()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&store).await;
        store.close().await;
    }
}

async fn check(store: &SqliteStore) {
    let page = store
        .scan(Scan::new(WATCHED, KeyRange::all()))
        .await
        .expect("a page");
    let found: Vec<_> = page
        .entries
        .iter()
        .map(|e| (e.key.clone(), &e.value[..]))
        .collect();
    let key = Key::new("shop");
    assert_eq!(
        found,
        [(key.child("a"), &b"2"[..]), (key.child("b"), &b"1"[..])]
    );
    assert_eq!(page.revision, Revision(3));
    assert_eq!(value(store, &UNWATCHED, &key).await.as_deref(), Some("x"));
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let changes: Vec<_> = changes.take(5).collect().await;
    let changes = changes.into_iter().map(|change| change.expect("a change"));
    let shown: Vec<_> = changes
        .map(|c| (c.revision.0, c.key, c.value.is_some()))
        .collect();
    let expected = [
        (1, key.child("a"), true),
        (1, key.child("b"), true),
        (1, key.child("c"), true),
        (2, key.child("c"), false),
        (3, key.child("a"), true),
    ];
    assert_eq!(shown, expected);
    let outcome = store.outcome(KNOWN).await.expect("an answer");
    let BatchOutcome::Committed(committed) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(committed.revision(&WATCHED), Some(Revision(3)));
    let next = store
        .commit(put(WATCHED, &key, "new"))
        .await
        .expect("committed");
    assert_eq!(next.revision(&WATCHED), Some(Revision(4)));
    assert!(next.versions[0] > committed.versions[0]);
}

#[tokio::test]
async fn an_old_file_comes_to_the_schema_of_a_new_one() {
    let (store, directory) = fresh().await;
    store.close().await;
    let new = schema(&directory.path().join("state.db"));
    for (name, bytes) in GOLDEN {
        let (_directory, path) = place();
        fs::write(&path, bytes).expect("a copy");
        let store = SqliteStore::open(&path).await.expect("a store");
        store.close().await;
        assert_eq!(schema(&path), new, "{name}");
    }
}

fn schema(path: &Path) -> Vec<(String, String)> {
    let look = rusqlite::Connection::open(path).expect("a look");
    let mut statement = look
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
        .expect("a query");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

/// Writes the golden file of the present schema: once, when a schema is new.
#[tokio::test]
#[ignore = "makes a golden file"]
async fn write() {
    let (store, directory) = fresh().await;
    let (key, any) = (Key::new("shop"), Precondition::Any);
    let batches = [
        put(WATCHED, &key.child("a"), "1")
            .put(WATCHED, key.child("b"), "1", any.clone())
            .put(WATCHED, key.child("c"), "1", any.clone())
            .put(UNWATCHED, key.clone(), "x", any.clone()),
        Batch::new().delete(WATCHED, key.child("c"), any),
        put(WATCHED, &key.child("a"), "2"),
    ];
    for batch in batches {
        store.commit(batch).await.expect("committed");
    }
    store.close().await;
    let path = directory.path().join("state.db");
    let edit = rusqlite::Connection::open(&path).expect("a database");
    let known = KNOWN.0.to_be_bytes();
    edit.execute("UPDATE batch SET id = ?1 WHERE number = 3", [known])
        .expect("an id");
    edit.execute_batch("VACUUM").expect("made small");
    drop(edit);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let version = GOLDEN.len();
    fs::copy(path, golden.join(format!("v{version}.db"))).expect("written");
}
