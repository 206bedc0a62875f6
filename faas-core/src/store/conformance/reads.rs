//! The rules of `get` and `scan`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::{
    Fixture, OTHER, UNWATCHED, WATCHED, commit, everything, get, put, refused, scan, value,
};
use crate::store::{Batch, Entry, Key, KeyRange, Page, Precondition, Revision, Scan, Space, Store};

/// "A scan answers keys in byte order (or its reverse), within the range, at most `limit`, and
/// says whether there is more."
pub async fn ordered_scan(fixture: Fixture) {
    let store = &fixture.store;
    for space in [WATCHED, UNWATCHED] {
        assert_eq!(
            everything(store, space.clone()).await.entries,
            [],
            "it is not fresh"
        );
        let mut keys = awkward_keys();
        // Written in an order that is none.
        for index in [3, 0, 6, 1, 5, 2, 7, 4] {
            commit(store, put(space.clone(), &keys[index], "v")).await;
        }
        keys.sort();
        let all = everything(store, space.clone()).await;
        assert_eq!(names(&all), keys, "not in byte order");
        assert!(!all.more, "there is no more");
        ranges(store, &space, &keys).await;
        pages(store, &space, &keys).await;
    }
}

/// Bytes that collations, signed comparisons and text encodings get wrong.
fn awkward_keys() -> [Key; 8] {
    [
        Key::from_bytes("a"),
        Key::from_bytes("B"),
        Key::from_bytes("a\0"),
        Key::from_bytes("ab"),
        Key::from_bytes("\u{e4}"),
        Key::from_bytes(&[0x7f][..]),
        Key::from_bytes(&[0x80][..]),
        Key::from_bytes(&[0xff, 0xff][..]),
    ]
}

fn names(page: &Page) -> Vec<Key> {
    page.entries.iter().map(|entry| entry.key.clone()).collect()
}

async fn ranges(store: &dyn Store, space: &Space, keys: &[Key]) {
    for (from, start) in keys.iter().enumerate() {
        for to in 0..=keys.len() {
            let range = KeyRange {
                start: start.clone(),
                end: keys.get(to).cloned(),
            };
            let expected = &keys[from..to.max(from)];
            let page = scan(store, Scan::new(space.clone(), range.clone())).await;
            assert_eq!(names(&page), expected, "{range:?}");
            let page = scan(store, Scan::new(space.clone(), range.clone()).reversed()).await;
            let mut found = names(&page);
            found.reverse();
            assert_eq!(found, expected, "{range:?} from its end");
        }
    }
    let below = scan(
        store,
        Scan::new(space.clone(), KeyRange::prefix(keys[1].clone())),
    )
    .await;
    assert!(names(&below).iter().all(|key| key.starts_with(&keys[1])));
}

async fn pages(store: &dyn Store, space: &Space, keys: &[Key]) {
    for limit in 1..=keys.len() + 1 {
        let mut range = KeyRange::all();
        let mut found = Vec::new();
        loop {
            let page = scan(store, Scan::new(space.clone(), range.clone()).limit(limit)).await;
            let full = page.entries.len() == limit;
            assert!(page.entries.len() <= limit, "more than {limit} entries");
            found.extend(names(&page));
            assert_eq!(
                page.more,
                found.len() < keys.len(),
                "`more` after {found:?}"
            );
            let Some(last) = found.last().filter(|_| page.more) else {
                break;
            };
            assert!(full, "a page is short although there is more");
            range = range.after(last);
        }
        assert_eq!(found, keys, "in pages of {limit}");
        let page = scan(
            store,
            Scan::new(space.clone(), KeyRange::all())
                .limit(limit)
                .reversed(),
        )
        .await;
        assert_eq!(page.more, limit < keys.len(), "`more` from the end");
        assert_eq!(names(&page).first(), keys.last(), "not from the end");
    }
}

/// "Equal keys in two spaces are two keys."
pub async fn spaces_apart(fixture: Fixture) {
    let store = &fixture.store;
    let key = Key::new("same");
    let spaces = [WATCHED, OTHER, UNWATCHED];
    let batch = spaces.iter().fold(Batch::new(), |batch, space| {
        let value = Bytes::from(space.name().to_owned());
        batch.put(space.clone(), key.clone(), value, Precondition::Absent)
    });
    commit(store, batch).await;
    for space in &spaces {
        let found = everything(store, space.clone()).await.entries;
        let values: Vec<_> = found.iter().map(|entry| &entry.value[..]).collect();
        assert_eq!(values, [space.name().as_bytes()]);
    }
    commit(
        store,
        Batch::new().delete(WATCHED, key.clone(), Precondition::Present),
    )
    .await;
    assert_eq!(value(store, &WATCHED, &key).await, None);
    let other = value(store, &OTHER, &key).await;
    assert_eq!(
        other.as_deref(),
        Some(OTHER.name().as_bytes()),
        "deleted, too"
    );
    let mut changes = store.watch(&OTHER, Key::empty(), Revision(0));
    super::take(&mut changes, 1).await;
    commit(store, put(WATCHED, &key, "not for OTHER")).await;
    commit(store, put(OTHER, &key, "for OTHER")).await;
    let change = super::take(&mut changes, 1).await.remove(0);
    let value = change.value.map(|(value, _)| value);
    assert_eq!(
        value.as_deref(),
        Some(&b"for OTHER"[..]),
        "a watch mixes spaces"
    );
}

/// "Reads and watches never show what could still be lost, and what an acknowledged commit did is
/// seen by every read that begins after the acknowledgement." One process can show this much: no
/// read and no watch shows a batch that is refused, however many race; and reads do not go back.
pub async fn no_uncertain_reads(fixture: Fixture) {
    let store = &fixture.store;
    let key = Key::new("contended");
    commit(store, put(WATCHED, &key, "0")).await;
    let refused_batch = Batch::new().put(WATCHED, key.clone(), "refused", Precondition::Absent);
    let pending = store.commit(refused_batch);
    let seen = value(store, &WATCHED, &key).await;
    assert_eq!(
        seen.as_deref(),
        Some(&b"0"[..]),
        "a read shows what is not judged yet"
    );
    let page = everything(store, WATCHED).await;
    assert_eq!(
        &page.entries[0].value[..],
        b"0",
        "a scan shows what is not judged yet"
    );
    super::within("commit", pending)
        .await
        .expect_err("the key is there");

    let reader = tokio::spawn(observe(store.clone(), key.clone()));
    let contenders: Vec<_> = (0..4u32)
        .map(|id| tokio::spawn(contend(store.clone(), key.clone(), id)))
        .collect();
    let mut acknowledged = BTreeSet::from([Bytes::from("0")]);
    for contender in contenders {
        acknowledged.extend(contender.await.expect("the contender succeeds"));
    }
    let end = commit(store, put(WATCHED, &key, "end")).await;
    acknowledged.insert("end".into());
    let shown = reader.await.expect("the reader succeeds");
    for entry in &shown {
        let value = &entry.value;
        assert!(
            acknowledged.contains(value),
            "{value:?} was never acknowledged"
        );
    }
    let watched = history(store, end.revision(&WATCHED).expect("a watched space")).await;
    assert_eq!(BTreeSet::from_iter(watched.iter().cloned()), acknowledged);
    let order = |entry: &Entry| watched.iter().position(|value| *value == entry.value);
    assert!(
        shown.is_sorted_by_key(order),
        "a later read shows an earlier state"
    );
    refused(
        store,
        Batch::new().check(WATCHED, key, Precondition::Absent),
    )
    .await;
}

/// Writes if nobody else was faster; answers the values whose commits were acknowledged.
async fn contend(store: Arc<dyn Store>, key: Key, id: u32) -> Vec<Bytes> {
    let mut acknowledged = Vec::new();
    for round in 0..25u32 {
        let entry = get(&store, &WATCHED, &key)
            .await
            .expect("it is never deleted");
        tokio::task::yield_now().await;
        let value = Bytes::from(format!("{id}-{round}"));
        let at = Precondition::At(entry.version);
        let batch = Batch::new().put(WATCHED, key.clone(), value.clone(), at);
        if super::within("commit", store.commit(batch)).await.is_ok() {
            let now = get(&store, &WATCHED, &key)
                .await
                .expect("it is never deleted");
            assert_ne!(
                now.version, entry.version,
                "an acknowledged commit is not seen"
            );
            acknowledged.push(value);
        }
    }
    acknowledged
}

/// Reads until the end shows.
async fn observe(store: Arc<dyn Store>, key: Key) -> Vec<Entry> {
    let mut seen = Vec::new();
    super::within("get", async {
        while seen.last().is_none_or(|entry: &Entry| entry.value != "end") {
            seen.extend(get(&store, &WATCHED, &key).await);
            tokio::task::yield_now().await;
        }
    })
    .await;
    seen
}

/// Every value that a watch tells of, to `end`.
async fn history(store: &dyn Store, end: Revision) -> Vec<Bytes> {
    let mut changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let mut values = Vec::new();
    super::within("watch", async {
        while let Some(change) = changes.next().await {
            let change = change.expect("the watch goes on");
            values.extend(change.value.map(|(value, _)| value));
            if change.revision >= end {
                return;
            }
        }
    })
    .await;
    values
}
