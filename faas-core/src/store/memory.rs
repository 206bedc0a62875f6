//! [`MemoryStore`]: the volatile store.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::batch::Effect;
use super::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Precondition, Revision, Scan, Space, Store, Version,
};
use crate::error::{Error, Result};

/// How many changes of a watched space are kept for watches that come late.
const KEPT_CHANGES: usize = 65_536;
/// How many bytes of changed keys and values a watched space keeps for them.
const KEPT_BYTES: usize = 64 << 20;
/// How many outcomes of batches are kept.
const KEPT_OUTCOMES: usize = 65_536;
/// How many changes a watch takes at a time.
const WATCH_PAGE: usize = 256;

/// A [`Store`] in the memory of this process; a clone is the same store.
///
/// A commit is one short critical section, so a batch has happened when `commit` returns and its
/// future only carries the answer. None of its errors is ambiguous; who drops that future can
/// still ask for the outcomes of the last 65,536 batches.
///
/// Of each watched space it keeps the last 65,536 changes, 64 MiB of them at most, for watches
/// that begin in the past.
///
/// ```
/// use faas_core::store::{Batch, Key, MemoryStore, Precondition, Space, Store};
///
/// const BOOKS: Space = Space::watched("books");
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> faas_core::Result<()> {
/// let store = MemoryStore::new();
/// let batch = Batch::new().put(BOOKS, Key::new("dune"), "Herbert", Precondition::Absent);
/// store.commit(batch).await?;
/// let entry = store.get(&BOOKS, &Key::new("dune")).await?;
/// assert_eq!(entry.map(|entry| entry.value).as_deref(), Some(&b"Herbert"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    spaces: HashMap<Space, Shelf>,
    last_version: u64,
    outcomes: HashMap<BatchId, BatchOutcome>,
    outcome_order: VecDeque<BatchId>,
}

#[derive(Debug, Default)]
struct Shelf {
    entries: BTreeMap<Key, (Bytes, Version)>,
    changes: VecDeque<Change>,
    changed_bytes: usize,
    compacted: Revision,
    revision: watch::Sender<Revision>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the changes of `space` up to and with `revision`; watches from before it fail with
    /// `Compacted`.
    pub fn compact(&self, space: &Space, revision: Revision) {
        let mut state = self.lock();
        let shelf = state.spaces.entry(space.clone()).or_default();
        shelf.compact(revision);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, batch: Batch) -> Result<Committed> {
        for operation in batch.operations() {
            let entries = self
                .spaces
                .get(&operation.space)
                .map(|shelf| &shelf.entries);
            let entry = entries.and_then(|entries| entries.get(&operation.key));
            if !operation
                .precondition
                .holds(entry.map(|(value, version)| (value, *version)))
            {
                return Err(conflict(operation, entry.is_some()));
            }
        }
        let mut committed = Committed::default();
        for operation in batch.into_operations() {
            let version = self.apply(
                operation.space,
                operation.key,
                operation.effect,
                &mut committed,
            );
            committed.versions.push(version);
        }
        for (space, revision) in &committed.revisions {
            if let Some(shelf) = self.spaces.get_mut(space) {
                shelf.trim();
                shelf.revision.send_replace(*revision);
            }
        }
        Ok(committed)
    }

    fn apply(
        &mut self,
        space: Space,
        key: Key,
        effect: Effect,
        committed: &mut Committed,
    ) -> Option<Version> {
        let shelf = match effect {
            Effect::Check => return None,
            Effect::Put(_) | Effect::Delete => self.spaces.entry(space.clone()).or_default(),
        };
        let value = match effect {
            Effect::Put(value) => {
                self.last_version += 1;
                let value = (value, Version(self.last_version));
                shelf.entries.insert(key.clone(), value.clone());
                Some(value)
            }
            Effect::Delete | Effect::Check => {
                shelf.entries.remove(&key)?;
                None
            }
        };
        let version = value.as_ref().map(|(_, version)| *version);
        if space.is_watched() {
            let revision = committed.revision(&space).unwrap_or_else(|| {
                let next = Revision(shelf.revision.borrow().0 + 1);
                committed.revisions.push((space, next));
                next
            });
            shelf.record(Change {
                revision,
                key,
                value,
            });
        }
        version
    }

    fn remember(&mut self, id: BatchId, outcome: BatchOutcome) {
        if self.outcome_order.len() >= KEPT_OUTCOMES
            && let Some(oldest) = self.outcome_order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
        self.outcome_order.push_back(id);
        self.outcomes.insert(id, outcome);
    }
}

fn conflict(operation: &super::Operation, present: bool) -> Error {
    let key = &operation.key;
    let space = operation.space.name();
    let message = match (&operation.precondition, present) {
        (Precondition::Absent, _) => format!("{key:?} of space {space} exists already"),
        (_, false) => format!("{key:?} of space {space} does not exist"),
        _ => format!("{key:?} of space {space} has changed"),
    };
    Error::conflict("commit", message)
}

fn entry((key, (value, version)): (&Key, &(Bytes, Version))) -> Entry {
    Entry {
        key: key.clone(),
        value: value.clone(),
        version: *version,
    }
}

/// What keeping a change costs, near enough.
fn size(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, |(value, _)| value.len());
    change.key.as_bytes().len() + value
}

impl Shelf {
    fn page(
        &self,
        Scan {
            range,
            limit,
            reverse,
            ..
        }: Scan,
    ) -> Page {
        let revision = *self.revision.borrow();
        // `BTreeMap::range` panics on a range that ends before it begins.
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Page {
                revision,
                ..Page::default()
            };
        }
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.entries.range((Bound::Included(range.start), end));
        // One more than asked for tells whether there is more.
        let wanted = limit.saturating_add(1);
        let mut entries: Vec<Entry> = if reverse {
            found.rev().take(wanted).map(entry).collect()
        } else {
            found.take(wanted).map(entry).collect()
        };
        let more = entries.len() > limit;
        entries.truncate(limit);
        Page {
            entries,
            revision,
            more,
        }
    }

    fn record(&mut self, change: Change) {
        self.changed_bytes += size(&change);
        self.changes.push_back(change);
    }

    fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(*self.revision.borrow()));
        self.drop_compacted();
    }

    fn drop_compacted(&mut self) {
        while let Some(change) = self.changes.front()
            && change.revision <= self.compacted
        {
            self.changed_bytes -= size(change);
            self.changes.pop_front();
        }
    }

    /// Drops the oldest commits over the bounds, each as a whole.
    fn trim(&mut self) {
        while self.changes.len() > KEPT_CHANGES || self.changed_bytes > KEPT_BYTES {
            let Some(oldest) = self.changes.front() else {
                return;
            };
            self.compacted = oldest.revision;
            self.drop_compacted();
        }
    }

    /// The next changes under `prefix` that came after revision `after`, about `WATCH_PAGE` of
    /// them but never half a commit; and the revision up to which the space has now been read.
    fn changes_after(&self, after: Revision, prefix: &Key) -> Result<(Vec<Change>, Revision)> {
        if after < self.compacted {
            let message = format!(
                "changes after revision {} are gone; a watch can begin at revision {}",
                after.0, self.compacted.0
            );
            return Err(Error::compacted("watch", message));
        }
        let start = self
            .changes
            .partition_point(|change| change.revision <= after);
        let mut page = Vec::new();
        let mut seen = after;
        for change in self.changes.range(start..) {
            if page.len() >= WATCH_PAGE && change.revision > seen {
                return Ok((page, seen));
            }
            seen = change.revision;
            if change.key.starts_with(prefix) {
                page.push(change.clone());
            }
        }
        Ok((page, seen.max(*self.revision.borrow())))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        let state = self.lock();
        let found = state
            .spaces
            .get(space)
            .and_then(|shelf| shelf.entries.get_key_value(key));
        Ok(found.map(entry))
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        let state = self.lock();
        let shelf = state.spaces.get(&scan.space);
        Ok(shelf.map_or_else(Page::default, |shelf| shelf.page(scan)))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let id = batch.id();
        let valid = batch.validate(self.limits());
        let mut state = self.lock();
        let result = valid.and_then(|()| state.commit(batch));
        let outcome = match &result {
            Ok(committed) => BatchOutcome::Committed(committed.clone()),
            Err(_) => BatchOutcome::Aborted,
        };
        state.remember(id, outcome);
        futures::future::ready(result).boxed()
    }

    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        if !space.is_watched() {
            let message = format!("space {} is declared unwatched", space.name());
            let error = Error::invalid("watch", message);
            return stream::iter([Err(error)]).boxed();
        }
        let mut state = self.lock();
        let revisions = state
            .spaces
            .entry(space.clone())
            .or_default()
            .revision
            .subscribe();
        let watcher = Watcher {
            state: self.0.clone(),
            space: space.clone(),
            prefix,
            after,
            revisions,
        };
        stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(changes) => {
                    let changes: Vec<_> = changes.into_iter().map(Ok).collect();
                    Some((stream::iter(changes), Some(watcher)))
                }
                Err(error) => Some((stream::iter(vec![Err(error)]), None)),
            }
        })
        .flatten()
        .boxed()
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        Ok(self
            .lock()
            .outcomes
            .get(&id)
            .cloned()
            .unwrap_or(BatchOutcome::Unknown))
    }

    fn limits(&self) -> Limits {
        Limits {
            operations: 1024,
            batch_bytes: 64 << 20,
            value_bytes: 16 << 20,
            key_bytes: 4096,
        }
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

struct Watcher {
    state: Arc<Mutex<State>>,
    space: Space,
    prefix: Key,
    after: Revision,
    revisions: watch::Receiver<Revision>,
}

impl Watcher {
    /// The next changes under the prefix, once there are any.
    async fn next(&mut self) -> Result<Vec<Change>> {
        loop {
            let closed = |_| Error::unavailable("watch", "the store is gone");
            let after = self.after;
            self.revisions
                .wait_for(|revision| *revision > after)
                .await
                .map_err(closed)?;
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(shelf) = state.spaces.get(&self.space) else {
                continue;
            };
            let (changes, seen) = shelf.changes_after(self.after, &self.prefix)?;
            self.after = seen;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}
