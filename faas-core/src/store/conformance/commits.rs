//! The rules of `commit` and `outcome`.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::{Fixture, OTHER, UNWATCHED, WATCHED};
use super::{commit, everything, get, put, refused, take, value};
use crate::error::ErrorKind;
use crate::store::{
    Batch, BatchId, BatchOutcome, Key, Limits, Precondition, Revision, Space, Store,
};

/// "A batch happens as a whole or not at all; its preconditions are judged at the same moment."
pub async fn atomic(fixture: Fixture) {
    let store = &fixture.store;
    let (a, b, c) = (Key::new("a"), Key::new("b"), Key::new("c"));
    let half = Batch::new()
        .put(WATCHED, a.clone(), "1", Precondition::Any)
        .put(UNWATCHED, c.clone(), "1", Precondition::Any)
        .put(OTHER, b.clone(), "1", Precondition::Present);
    refused(store, half).await;
    assert_eq!(value(store, &WATCHED, &a).await, None, "half a batch");
    assert_eq!(value(store, &UNWATCHED, &c).await, None, "half a batch");

    // Every precondition sees the state before the batch, not what the batch itself does.
    let both = Batch::new()
        .put(WATCHED, a.clone(), "1", Precondition::Absent)
        .put(WATCHED, b.clone(), "1", Precondition::Absent)
        .put(UNWATCHED, c.clone(), "1", Precondition::Absent);
    let revision = commit(store, both).await.revision(&WATCHED);
    assert!(revision.is_some(), "the batch changed a watched space");
    whole_pairs(store, a, b).await;
}

/// Readers beside a writer of pairs see both halves of each, always.
async fn whole_pairs(store: &Arc<dyn Store>, a: Key, b: Key) {
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..100u32 {
                let value = Bytes::from(round.to_string());
                let batch = Batch::new()
                    .put(WATCHED, a.clone(), value.clone(), Precondition::Any)
                    .put(WATCHED, b.clone(), value, Precondition::Any);
                commit(&store, batch).await;
                tokio::task::yield_now().await;
            }
        })
    };
    while !writer.is_finished() {
        let page = everything(store, WATCHED).await;
        assert_eq!(page.entries.len(), 2);
        let (a, b) = (&page.entries[0].value, &page.entries[1].value);
        assert_eq!(a, b, "a scan shows half a batch");
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer succeeds");
}

/// "`commit` enqueues the batch when it is called, not when its future is first polled; dropping
/// the future does not cancel it."
pub async fn submitted_at_call(fixture: Fixture) {
    let store = &fixture.store;
    let keys: Vec<Key> = (0..10).map(|n| Key::new("dropped").number(n)).collect();
    let mut changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    for key in &keys {
        drop(store.commit(put(WATCHED, key, "submitted")));
    }
    let mut seen: Vec<_> = take(&mut changes, keys.len())
        .await
        .into_iter()
        .map(|change| change.key)
        .collect();
    seen.sort();
    assert_eq!(seen, keys, "a dropped future took its batch with it");
    let waiting = store.commit(put(WATCHED, &Key::new("waiting"), "1"));
    take(&mut changes, 1).await;
    super::within("commit", waiting).await.expect("it happened");
}

/// "Batches that touch a common key take effect in the order of the calls."
pub async fn call_order(fixture: Fixture) {
    let store = &fixture.store;
    for space in [WATCHED, UNWATCHED] {
        let key = Key::new("ordered");
        let commits: Vec<_> = (0..50u32)
            .map(|n| store.commit(put(space.clone(), &key, &n.to_string())))
            .collect();
        // Whoever waits in another order changes nothing.
        for commit in commits.into_iter().rev() {
            super::within("commit", commit).await.expect("committed");
        }
        let last = value(store, &space, &key).await;
        assert_eq!(last.as_deref(), Some(&b"49"[..]), "the last call wins");
    }
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let changes: Vec<_> = super::within("watch", changes.take(50).collect()).await;
    let values: Vec<String> = changes
        .into_iter()
        .map(|change| change.expect("the watch goes on"))
        .filter_map(|change| change.value)
        .map(|(value, _)| String::from_utf8_lossy(&value).into_owned())
        .collect();
    let called: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(values, called, "effects came in another order than calls");
    chained(store).await;
}

/// A later batch may depend on an earlier one that nobody has waited for.
async fn chained(store: &dyn Store) {
    let key = Key::new("chain");
    let first = store.commit(put(UNWATCHED, &key, "0"));
    let links: Vec<_> = (1..20u32)
        .map(|n| {
            let before = Precondition::Value(Bytes::from((n - 1).to_string()));
            let batch = Batch::new().put(UNWATCHED, key.clone(), n.to_string(), before);
            store.commit(batch)
        })
        .collect();
    for link in links.into_iter().chain([first]) {
        super::within("commit", link)
            .await
            .expect("its predecessor was submitted before it");
    }
}

/// "A batch whose precondition fails changes nothing and answers `Conflict`."
pub async fn conflict(fixture: Fixture) {
    let store = &fixture.store;
    let (there, missing) = (Key::new("there"), Key::new("missing"));
    let old = commit(store, put(WATCHED, &there, "old")).await.versions[0];
    let old = old.expect("a written key has a version");
    commit(store, put(WATCHED, &there, "now")).await;
    let before = everything(store, WATCHED).await;
    let failing = [
        (&there, Precondition::Absent),
        (&there, Precondition::At(old)),
        (&there, Precondition::Value("old".into())),
        (&missing, Precondition::Present),
        (&missing, Precondition::At(old)),
        (&missing, Precondition::Value("now".into())),
    ];
    for (key, precondition) in failing {
        let batches = [
            Batch::new().put(WATCHED, key.clone(), "new", precondition.clone()),
            Batch::new().delete(WATCHED, key.clone(), precondition.clone()),
            Batch::new().check(WATCHED, key.clone(), precondition.clone()),
        ];
        for batch in batches {
            let error = refused(store, batch).await;
            assert_eq!(error.kind(), ErrorKind::Conflict, "{precondition:?}");
        }
    }
    assert_eq!(
        everything(store, WATCHED).await,
        before,
        "it changed something"
    );
    let now = get(store, &WATCHED, &there).await.expect("still there");
    let holding = [
        (&there, Precondition::Present),
        (&there, Precondition::At(now.version)),
        (&there, Precondition::Value("now".into())),
        (&missing, Precondition::Absent),
        (&missing, Precondition::Any),
    ];
    for (key, precondition) in holding {
        commit(
            store,
            Batch::new().check(WATCHED, key.clone(), precondition),
        )
        .await;
    }
}

/// "A key's version differs at each writing, and never returns, also not after a deletion."
pub async fn versions(fixture: Fixture) {
    let store = &fixture.store;
    for space in [WATCHED, UNWATCHED] {
        let key = Key::new("versioned");
        let mut seen = Vec::new();
        for round in 0..12 {
            // The same value is a writing of its own, too.
            let committed = commit(store, put(space.clone(), &key, "same")).await;
            let version = committed.versions[0].expect("a written key has a version");
            assert!(!seen.contains(&version), "{version:?} has been before");
            seen.push(version);
            let entry = get(store, &space, &key).await.expect("it was written");
            assert_eq!(entry.version, version, "a read shows another version");
            let found = everything(store, space.clone()).await.entries;
            assert_eq!(found, [entry], "a scan shows another version");
            if round % 3 == 2 {
                let batch = Batch::new().delete(space.clone(), key.clone(), Precondition::Present);
                let committed = commit(store, batch).await;
                assert_eq!(committed.versions, [None], "a deleted key has no version");
            }
        }
    }
}

/// "A batch over `limits()` is refused with `InvalidArgument` and changes nothing; so is one that
/// names a key twice."
pub async fn limits(fixture: Fixture) {
    /// Larger bounds than this are not tried: the case must stay cheap.
    const TRIED: usize = 64 << 20;
    let store = &fixture.store;
    let Limits {
        operations,
        batch_bytes,
        value_bytes,
        key_bytes,
    } = store.limits();
    let put = |key, bytes| Batch::new().put(UNWATCHED, key, vec![b'v'; bytes], Precondition::Any);
    let many = |count: usize| {
        (0..count as u64).fold(Batch::new(), |batch, n| {
            batch.put(UNWATCHED, Key::empty().number(n), "", Precondition::Any)
        })
    };
    let mut refusals = vec![
        put(Key::new("twice"), 1).put(UNWATCHED, Key::new("twice"), "2", Precondition::Any),
        put(Key::new("twice"), 1).check(UNWATCHED, Key::new("twice"), Precondition::Absent),
    ];
    if operations <= 1 << 16 {
        refusals.push(many(operations + 1));
    }
    if value_bytes <= TRIED {
        refusals.push(put(Key::new("large"), value_bytes + 1));
    }
    if key_bytes <= TRIED {
        refusals.push(put(Key::from_bytes(vec![b'k'; key_bytes + 1]), 1));
    }
    if batch_bytes <= TRIED {
        refusals.push(over_in_all(operations, batch_bytes, value_bytes));
    }
    for batch in refusals {
        let error = refused(store, batch).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let entries = everything(store, UNWATCHED).await.entries;
    assert!(entries.is_empty(), "a refused batch changed {entries:?}");
    commit(store, many(operations.min(1 << 12))).await;
    commit(
        store,
        put(Key::from_bytes(vec![b'k'; key_bytes.min(TRIED)]), 1),
    )
    .await;
    if value_bytes <= TRIED && batch_bytes > value_bytes + 16 {
        commit(store, put(Key::new("large"), value_bytes)).await;
    }
}

/// A batch that only its sum puts over the limits; where no such batch exists, one key twice.
fn over_in_all(operations: usize, batch_bytes: usize, value_bytes: usize) -> Batch {
    let value = Bytes::from(vec![b'v'; value_bytes.min(batch_bytes)]);
    let count = batch_bytes / value.len().max(1) + 1;
    let twice = Batch::new()
        .delete(UNWATCHED, Key::new("twice"), Precondition::Any)
        .delete(UNWATCHED, Key::new("twice"), Precondition::Any);
    if count > operations {
        return twice;
    }
    (0..count as u64).fold(Batch::new(), |batch, n| {
        batch.put(
            UNWATCHED,
            Key::empty().number(n),
            value.clone(),
            Precondition::Any,
        )
    })
}

/// "After an ambiguous error, `outcome` of the batch's id tells what came of it, for at least ten
/// minutes: `Committed` if and only if it happened; `Aborted` only if it did not and never will."
pub async fn outcome(fixture: Fixture) {
    let store = &fixture.store;
    for space in [WATCHED, UNWATCHED] {
        let key = Key::new("outcome");
        let good = put(space.clone(), &key, "1");
        let id = good.id();
        assert_eq!(
            came_of(store, id).await,
            BatchOutcome::Unknown,
            "not submitted yet"
        );
        let committed = commit(store, good).await;
        assert_eq!(came_of(store, id).await, BatchOutcome::Committed(committed));

        let bad = Batch::new().put(space.clone(), key.clone(), "2", Precondition::Absent);
        let bad_id = bad.id();
        refused(store, bad).await;
        let came = came_of(store, bad_id).await;
        assert!(!matches!(came, BatchOutcome::Committed(_)), "{came:?}");
        for n in 0..200 {
            commit(store, put(space.clone(), &key.number(n), "1")).await;
        }
        let still = came_of(store, id).await;
        assert!(matches!(still, BatchOutcome::Committed(_)), "{still:?}");
    }
    dropped(store).await;
}

async fn came_of(store: &dyn Store, id: BatchId) -> BatchOutcome {
    super::within("outcome", store.outcome(id))
        .await
        .expect("a healthy store knows")
}

/// Who dropped the future can ask, too; that it still is under way is an answer for a while only.
async fn dropped(store: &dyn Store) {
    let space: Space = WATCHED;
    let key = Key::new("dropped");
    let batch = put(space.clone(), &key, "1");
    let id = batch.id();
    drop(store.commit(batch));
    // A batch of the same key that comes after it is acknowledged after it.
    commit(store, put(space, &key, "2")).await;
    let came = came_of(store, id).await;
    assert!(matches!(came, BatchOutcome::Committed(_)), "{came:?}");
}
