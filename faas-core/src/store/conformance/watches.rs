//! The rules of revisions and `watch`.

use std::sync::Arc;

use super::{Changes, Fixture, UNWATCHED, WATCHED, commit, everything, next, put, refused, take};
use crate::error::ErrorKind;
use crate::store::{Batch, Change, Key, KeyRange, Precondition, Revision, Store};

/// "Each commit that changes a watched space raises its revision; reads, and commits that only
/// check or delete what is not there, leave it."
pub async fn revisions_rise(fixture: Fixture) {
    let store = &fixture.store;
    let key = Key::new("rising");
    let mut last = everything(store, WATCHED).await.revision;
    for round in 0..6 {
        let batch = match round {
            3 => Batch::new().delete(WATCHED, key.clone(), Precondition::Present),
            _ => put(WATCHED, &key, "v").put(UNWATCHED, key.clone(), "v", Precondition::Any),
        };
        let committed = commit(store, batch).await;
        let revision = committed.revision(&WATCHED);
        let revision = revision.expect("a change of a watched space has a revision");
        assert!(revision > last, "{revision:?} does not rise above {last:?}");
        assert_eq!(committed.revision(&UNWATCHED), None);
        let shown = everything(store, WATCHED).await.revision;
        assert_eq!(shown, revision, "a scan shows another revision");
        last = revision;
    }
    let idle = Batch::new()
        .check(WATCHED, key.clone(), Precondition::Present)
        .delete(WATCHED, Key::new("missing"), Precondition::Any)
        .put(UNWATCHED, key.clone(), "w", Precondition::Any);
    assert_eq!(commit(store, idle).await.revision(&WATCHED), None);
    refused(
        store,
        Batch::new().put(WATCHED, key, "x", Precondition::Absent),
    )
    .await;
    assert_eq!(
        everything(store, WATCHED).await.revision,
        last,
        "nothing changed"
    );
}

/// "A watch from revision N delivers every later change under its prefix once and in order, or
/// fails with `Compacted`. N may be any revision that a commit or a scan answered, or zero; changes
/// of one commit come together."
pub async fn gap_free_watch(fixture: Fixture) {
    let store = &fixture.store;
    let middle = under_concurrent_commits(store).await;
    resumed(store, middle).await;
    prefixed(store).await;
    from_a_page(store).await;
    unwatched_is_refused(store).await;
    compacted(&fixture).await;
}

/// Four writers, one watch that began before them and one after; answers a revision on the way.
async fn under_concurrent_commits(store: &Arc<dyn Store>) -> Revision {
    const WRITERS: u64 = 4;
    const ROUNDS: u64 = 100;
    let mut early = store.watch(&WATCHED, Key::empty(), Revision(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_pairs(store.clone(), writer, ROUNDS)))
        .collect();
    let count = (WRITERS * ROUNDS * 2) as usize;
    let live = take(&mut early, count).await;
    for writer in writers {
        writer.await.expect("the writer succeeds");
    }
    check_pairs(&live, WRITERS, ROUNDS);
    let mut late = store.watch(&WATCHED, Key::empty(), Revision(0));
    assert_eq!(take(&mut late, count).await, live, "two watches differ");
    live[count / 2].revision
}

async fn write_pairs(store: Arc<dyn Store>, writer: u64, rounds: u64) {
    for round in 0..rounds {
        let key = Key::new("pairs").number(writer);
        let batch = put(WATCHED, &key.child("left"), &round.to_string()).put(
            WATCHED,
            key.child("right"),
            round.to_string(),
            Precondition::Any,
        );
        commit(&store, batch).await;
        tokio::task::yield_now().await;
    }
}

/// Both halves of each pair share a revision and come together; revisions rise; each writer's
/// rounds come once and in order.
fn check_pairs(changes: &[Change], writers: u64, rounds: u64) {
    let mut last = Revision(0);
    let mut next = vec![0u64; writers as usize];
    for pair in changes.chunks(2) {
        assert_eq!(pair[0].revision, pair[1].revision, "half a commit");
        assert!(pair[0].revision > last, "revisions do not rise");
        last = pair[0].revision;
        let writer = (0..writers)
            .find(|n| pair[0].key.starts_with(&Key::new("pairs").number(*n)))
            .expect("a key of a writer");
        let round = &mut next[writer as usize];
        for change in pair {
            let value = change.value.as_ref().map(|(value, _)| &value[..]);
            assert_eq!(
                value,
                Some(round.to_string().as_bytes()),
                "missing or twice"
            );
        }
        *round += 1;
    }
    assert!(next.iter().all(|done| *done == rounds));
}

async fn resumed(store: &dyn Store, middle: Revision) {
    let end = everything(store, WATCHED).await.revision;
    let mut later = drain(store, Revision(0), end).await;
    later.retain(|change| change.revision > middle);
    let resumed = drain(store, middle, end).await;
    assert_eq!(resumed, later, "resumed from {middle:?}");
}

/// The changes after one revision, to the first of another.
async fn drain(store: &dyn Store, after: Revision, end: Revision) -> Vec<Change> {
    let mut changes: Changes = store.watch(&WATCHED, Key::empty(), after);
    let mut seen: Vec<Change> = Vec::new();
    while seen.last().is_none_or(|change| change.revision < end) {
        seen.push(next(&mut changes).await.expect("the watch goes on"));
    }
    seen
}

async fn prefixed(store: &dyn Store) {
    let prefix = Key::new("prefix");
    let start = everything(store, WATCHED).await.revision;
    let mut changes = store.watch(&WATCHED, prefix.clone(), start);
    for key in [Key::new("prefi"), Key::new("prefixes"), prefix.child("a")] {
        commit(store, put(WATCHED, &key, "1")).await;
    }
    let delete = Batch::new()
        .delete(WATCHED, prefix.child("a"), Precondition::Present)
        .delete(WATCHED, prefix.child("missing"), Precondition::Any)
        .put(WATCHED, Key::new("beside"), "1", Precondition::Any);
    commit(store, delete).await;
    commit(store, put(WATCHED, &prefix.child("b"), "2")).await;
    let seen: Vec<_> = take(&mut changes, 3)
        .await
        .into_iter()
        .map(|change| (change.key, change.value.is_some()))
        .collect();
    let expected = [
        (prefix.child("a"), true),
        (prefix.child("a"), false),
        (prefix.child("b"), true),
    ];
    assert_eq!(seen, expected, "under {prefix:?}");
}

/// A scan and a watch from its revision miss nothing and repeat nothing.
async fn from_a_page(store: &dyn Store) {
    let page = everything(store, WATCHED).await;
    let mut changes = store.watch(&WATCHED, Key::empty(), page.revision);
    let key = Key::new("after the page");
    assert!(
        page.entries
            .iter()
            .all(|entry| KeyRange::all().contains(&entry.key))
    );
    let committed = commit(store, put(WATCHED, &key, "1")).await;
    let change = take(&mut changes, 1).await.remove(0);
    assert_eq!(
        change.key, key,
        "a watch from a page repeats what the page shows"
    );
    assert_eq!(Some(change.revision), committed.revision(&WATCHED));
    let version = change.value.map(|(_, version)| version);
    assert_eq!(
        version, committed.versions[0],
        "the change shows another version"
    );
}

async fn unwatched_is_refused(store: &dyn Store) {
    let mut changes = store.watch(&UNWATCHED, Key::empty(), Revision(0));
    let error = next(&mut changes)
        .await
        .expect_err("nobody orders its changes");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

/// What is gone is said to be gone; what is not is delivered.
async fn compacted(fixture: &Fixture) {
    let store = &fixture.store;
    let Some(compact) = &fixture.compact else {
        return;
    };
    let key = Key::new("compacted");
    let last = commit(store, put(WATCHED, &key, "1")).await;
    let last = last.revision(&WATCHED).expect("a watched space");
    compact(WATCHED, last).await;
    let mut gone = store.watch(&WATCHED, Key::empty(), Revision(0));
    let error = next(&mut gone).await.expect_err("these changes are gone");
    assert_eq!(error.kind(), ErrorKind::Compacted, "{error}");
    let mut kept = store.watch(&WATCHED, Key::empty(), last);
    commit(store, put(WATCHED, &key, "2")).await;
    let change = take(&mut kept, 1).await.remove(0);
    assert!(change.revision > last);
}
