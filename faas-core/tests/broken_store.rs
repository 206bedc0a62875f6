//! The suite of `Store` catches a store that breaks any one rule: each of these breaks one, and the
//! case of that name fails against it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::store::batch::Effect;
use faas_core::store::conformance::{CASES, Case, Fixture, agrees_with_memory};
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, MemoryStore,
    Page, Precondition, Revision, Scan, Space, Store, Version,
};
use faas_core::{Error, ErrorKind, Result};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};

/// What a [`Broken`] store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    HalfBatch,
    LazyCommit,
    DropCancels,
    Reorders,
    IgnoresPreconditions,
    WrongErrorKind,
    VersionReturns,
    UnorderedScan,
    IgnoresReverse,
    OverLimit,
    ForgetsMore,
    RevisionStands,
    ReadsRaise,
    WatchRepeats,
    WatchSkips,
    WatchFromNow,
    WatchIgnoresPrefix,
    WatchHidesCompaction,
    DirtyReads,
    StaleReads,
    OneSpace,
    NoLimits,
    KeyTwice,
    OutcomeLost,
    OutcomeOfRefused,
}

#[derive(Debug, Clone)]
struct Broken {
    inner: MemoryStore,
    fault: Fault,
    calls: Arc<AtomicU64>,
    /// Values that were only asked for, or that were there before.
    overlay: Arc<Mutex<HashMap<(Space, Key), Entry>>>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryStore::new(),
            fault,
            calls: Arc::default(),
            overlay: Arc::default(),
        }
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<(Space, Key), Entry>> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is there before the batch once more.
    fn commit_behind(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        for operation in batch.operations() {
            let (space, key) = (operation.space.clone(), operation.key.clone());
            let before = self.inner.get(&space, &key).now_or_never();
            if let Some(Ok(Some(entry))) = before {
                self.shown().insert((space, key), entry);
            }
        }
        self.inner.commit(batch)
    }

    /// Shows what is written before it is judged.
    fn commit_dirty(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        for operation in batch.operations() {
            if let Effect::Put(value) = &operation.effect {
                let entry = Entry {
                    key: operation.key.clone(),
                    value: value.clone(),
                    version: Version(u64::MAX),
                };
                let place = (operation.space.clone(), operation.key.clone());
                self.shown().insert(place, entry);
            }
        }
        let this = self.clone();
        let done = self.inner.commit(batch);
        Box::pin(async move {
            this.shown().clear();
            done.await
        })
    }

    /// Each second batch waits a while.
    fn commit_reordered(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let late = self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let inner = self.inner.clone();
        let task = tokio::spawn(async move {
            for _ in 0..if late { 100 } else { 0 } {
                tokio::task::yield_now().await;
            }
            inner.commit(batch).await
        });
        Box::pin(async move { task.await.expect("no panic") })
    }

    /// Starts at the call, but ends with the future.
    fn commit_cancelled(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        struct Abort(tokio::task::JoinHandle<Result<Committed>>);
        impl Drop for Abort {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let inner = self.inner.clone();
        let mut task = Abort(tokio::spawn(async move { inner.commit(batch).await }));
        Box::pin(async move { (&mut task.0).await.expect("no panic") })
    }
}

/// The batch with other preconditions or spaces.
fn rebuilt(
    batch: Batch,
    space: impl Fn(Space) -> Space,
    precondition: impl Fn(Precondition) -> Precondition,
) -> Batch {
    batch
        .into_operations()
        .into_iter()
        .fold(Batch::new(), |batch, operation| {
            let (space, key) = (space(operation.space), operation.key);
            let precondition = precondition(operation.precondition);
            match operation.effect {
                Effect::Put(value) => batch.put(space, key, value, precondition),
                Effect::Delete => batch.delete(space, key, precondition),
                _ => batch.check(space, key, precondition),
            }
        })
}

/// One batch per operation.
fn halves(batch: Batch) -> impl Iterator<Item = Batch> {
    batch
        .into_operations()
        .into_iter()
        .map(|operation| match operation.effect {
            Effect::Put(value) => Batch::new().put(
                operation.space,
                operation.key,
                value,
                operation.precondition,
            ),
            Effect::Delete => {
                Batch::new().delete(operation.space, operation.key, operation.precondition)
            }
            _ => Batch::new().check(operation.space, operation.key, operation.precondition),
        })
}

async fn commit_halves(inner: MemoryStore, batch: Batch) -> Result<Committed> {
    let mut all = Committed::default();
    for half in halves(batch) {
        let committed = inner.commit(half).await?;
        all.versions.extend(committed.versions);
        all.revisions.extend(committed.revisions);
        tokio::task::yield_now().await;
    }
    Ok(all)
}

/// The batch without what it says again of a key.
fn once(batch: Batch) -> Batch {
    let mut seen = Vec::new();
    halves(batch)
        .flat_map(Batch::into_operations)
        .fold(Batch::new(), |batch, operation| {
            let place = (operation.space.clone(), operation.key.clone());
            if seen.contains(&place) {
                return batch;
            }
            seen.push(place);
            match operation.effect {
                Effect::Put(value) => batch.put(
                    operation.space,
                    operation.key,
                    value,
                    operation.precondition,
                ),
                _ => batch,
            }
        })
}

/// Where a store that knows no spaces puts everything.
const ONE_SPACE: Space = Space::watched("one");

#[async_trait::async_trait]
impl Store for Broken {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        match self.fault {
            Fault::DirtyReads | Fault::StaleReads => {
                let place = (space.clone(), key.clone());
                let shown = match self.fault {
                    Fault::StaleReads => self.shown().remove(&place),
                    _ => self.shown().get(&place).cloned(),
                };
                match shown {
                    Some(entry) => Ok(Some(entry)),
                    None => self.inner.get(space, key).await,
                }
            }
            Fault::OneSpace => self.inner.get(&ONE_SPACE, key).await,
            _ => self.inner.get(space, key).await,
        }
    }

    async fn scan(&self, mut scan: Scan) -> Result<Page> {
        let limit = scan.limit;
        match self.fault {
            Fault::IgnoresReverse => scan.reverse = false,
            Fault::OverLimit => scan.limit += 1,
            Fault::OneSpace => scan.space = ONE_SPACE,
            _ => {}
        }
        let mut page = self.inner.scan(scan).await?;
        match self.fault {
            Fault::UnorderedScan => page
                .entries
                .sort_by_key(|entry| entry.key.as_bytes().to_ascii_lowercase()),
            Fault::ForgetsMore => page.more = false,
            Fault::OverLimit => page.more |= page.entries.len() > limit,
            Fault::RevisionStands => page.revision = Revision(1),
            Fault::ReadsRaise => {
                page.revision.0 += self.calls.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(page)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let inner = self.inner.clone();
        match self.fault {
            Fault::HalfBatch => Box::pin(commit_halves(inner, batch)),
            Fault::LazyCommit => Box::pin(async move { inner.commit(batch).await }),
            Fault::DropCancels => self.commit_cancelled(batch),
            Fault::Reorders => self.commit_reordered(batch),
            Fault::IgnoresPreconditions => {
                inner.commit(rebuilt(batch, |space| space, |_| Precondition::Any))
            }
            Fault::WrongErrorKind => {
                let done = inner.commit(batch);
                Box::pin(async move {
                    done.await
                        .map_err(|e| Error::not_found("commit", e.to_string()))
                })
            }
            Fault::VersionReturns => {
                let done = inner.commit(batch);
                Box::pin(async move {
                    let mut committed = done.await?;
                    for version in committed.versions.iter_mut().flatten() {
                        *version = Version(1);
                    }
                    Ok(committed)
                })
            }
            Fault::DirtyReads => self.commit_dirty(batch),
            Fault::StaleReads => self.commit_behind(batch),
            Fault::OneSpace => {
                let batch = rebuilt(batch, |_| ONE_SPACE, |_| Precondition::Any);
                Box::pin(commit_halves(inner, batch))
            }
            Fault::KeyTwice => inner.commit(once(batch)),
            _ => inner.commit(batch),
        }
    }

    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        let (inner, key) = (&self.inner, Key::empty());
        match self.fault {
            Fault::WatchRepeats => inner
                .watch(space, prefix, after)
                .flat_map(|change| futures::stream::iter([change.clone(), change]))
                .boxed(),
            Fault::WatchSkips => inner
                .watch(space, prefix, after)
                .enumerate()
                .filter(|(index, _)| futures::future::ready(index % 7 != 6))
                .map(|(_, change)| change)
                .boxed(),
            Fault::WatchFromNow => {
                let (inner, space) = (inner.clone(), space.clone());
                let from_now = async move {
                    let page = inner
                        .scan(Scan::new(space.clone(), faas_core::store::KeyRange::all()))
                        .await;
                    let now = page.map_or(after, |page| page.revision);
                    inner.watch(&space, prefix, now)
                };
                futures::stream::once(from_now).flatten().boxed()
            }
            Fault::WatchIgnoresPrefix => inner.watch(space, key, after),
            Fault::WatchHidesCompaction => inner
                .watch(space, prefix, after)
                .filter(|change| {
                    let error = change.as_ref().err().map(Error::kind);
                    futures::future::ready(error != Some(ErrorKind::Compacted))
                })
                .chain(futures::stream::pending())
                .boxed(),
            Fault::OneSpace => inner.watch(&ONE_SPACE, prefix, after),
            _ => inner.watch(space, prefix, after),
        }
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        match self.fault {
            Fault::OutcomeLost => Ok(BatchOutcome::Unknown),
            Fault::OutcomeOfRefused => Ok(match self.inner.outcome(id).await? {
                BatchOutcome::Aborted => BatchOutcome::Committed(Committed::default()),
                other => other,
            }),
            _ => self.inner.outcome(id).await,
        }
    }

    fn limits(&self) -> Limits {
        let mut limits = self.inner.limits();
        if self.fault == Fault::NoLimits {
            limits.operations = 8;
        }
        limits
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn name(&self) -> &'static str {
        "broken"
    }
}

fn fixture(fault: Fault) -> Fixture {
    let store = Broken::new(fault);
    let inner = store.inner.clone();
    Fixture::new(store).compacting(Box::new(move |space, revision| {
        inner.compact(&space, revision);
        Box::pin(async {})
    }))
}

fn case(rule: &str) -> Case {
    let found = CASES.iter().find(|(name, _)| *name == rule);
    found.unwrap_or_else(|| panic!("no case {rule}")).1
}

/// Fails unless the case of `rule` panics. Paused time makes waiting in vain cost nothing.
async fn caught(rule: &str, fault: Fault) {
    let result = tokio::spawn(case(rule)(fixture(fault))).await;
    let error = result.expect_err(&format!("{rule} does not catch {fault:?}"));
    assert!(error.is_panic(), "{error}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $rule() {
            $(caught(stringify!($rule), Fault::$fault).await;)*
        }
    )*

        const CAUGHT: &[&str] = &[$(stringify!($rule)),*];
    };
}
caught! {
    atomic: HalfBatch;
    submitted_at_call: LazyCommit DropCancels;
    call_order: Reorders;
    conflict: IgnoresPreconditions WrongErrorKind;
    versions: VersionReturns;
    ordered_scan: UnorderedScan IgnoresReverse OverLimit ForgetsMore;
    revisions_rise: RevisionStands ReadsRaise;
    gap_free_watch: WatchRepeats WatchSkips WatchFromNow WatchIgnoresPrefix WatchHidesCompaction;
    no_uncertain_reads: DirtyReads StaleReads;
    spaces_apart: OneSpace;
    limits: NoLimits KeyTwice;
    outcome: OutcomeLost OutcomeOfRefused;
}

#[tokio::test]
async fn a_wrapper_that_breaks_nothing_passes() {
    for (_, case) in CASES {
        case(fixture(Fault::None)).await;
    }
}

#[tokio::test]
async fn a_wrapper_that_breaks_nothing_agrees_with_memory() {
    for seed in 0..8 {
        agrees_with_memory(fixture(Fault::None), seed, 400).await;
    }
}

/// Those whose fault shows in what one caller does at a time.
#[tokio::test(start_paused = true)]
async fn what_does_not_agree_with_memory_is_caught() {
    let faults = [
        Fault::IgnoresPreconditions,
        Fault::WrongErrorKind,
        Fault::VersionReturns,
        Fault::IgnoresReverse,
        Fault::OverLimit,
        Fault::ForgetsMore,
        Fault::RevisionStands,
        Fault::ReadsRaise,
        Fault::WatchRepeats,
        Fault::WatchSkips,
        Fault::WatchIgnoresPrefix,
        Fault::WatchHidesCompaction,
        Fault::OneSpace,
        Fault::OutcomeLost,
        Fault::OutcomeOfRefused,
    ];
    for fault in faults {
        let result = tokio::spawn(agrees_with_memory(fixture(fault), 1, 400)).await;
        let error = result.expect_err(&format!("{fault:?} agrees"));
        assert!(error.is_panic(), "{error}");
    }
}

#[test]
fn every_case_has_a_store_that_it_catches() {
    let cases: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(CAUGHT, cases);
}
