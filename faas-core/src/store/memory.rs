//! [`MemoryStore`]: the volatile store.

mod shelf;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use self::shelf::{Shelf, entry};
use super::batch::Effect;
use super::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space, Store, Version,
};
use crate::error::{Error, Result};

/// How many outcomes of batches are kept.
const KEPT_OUTCOMES: usize = 65_536;

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
                return Err(operation.conflict(entry.is_some()));
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
