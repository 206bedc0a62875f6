//! [`Routes`]: which functions there are, and the pools of their revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use faas_core::{Error, FunctionRef, Name, Namespace, Qualifier, RevisionNumber};
use hashbrown::{Equivalent, HashMap};
use tokio::sync::Notify;

use super::pool::{Pool, Shared};
use crate::autoscaler::RevisionId;
use crate::registry::{FunctionId, FunctionRecord, FunctionRevision, RegistryEvent};

/// A function's name within a reference; hashes as the [`FunctionId`] that it equals.
#[derive(Hash)]
struct Named<'a> {
    namespace: &'a Namespace,
    name: &'a Name,
}

impl Equivalent<FunctionId> for Named<'_> {
    fn equivalent(&self, id: &FunctionId) -> bool {
        *self.name == id.name && *self.namespace == id.namespace
    }
}

/// One function.
struct Route {
    /// As the registry listed it last; `None` if an invocation or an instance came before the
    /// registry's watch told of it.
    record: Option<Arc<FunctionRecord>>,
    /// The pool of the newest revision of the record, once there is one.
    latest: OnceLock<Arc<Pool>>,
    pools: Mutex<BTreeMap<RevisionNumber, Arc<Pool>>>,
}

impl Route {
    fn new(
        record: Option<Arc<FunctionRecord>>,
        pools: BTreeMap<RevisionNumber, Arc<Pool>>,
    ) -> Arc<Self> {
        let latest = OnceLock::new();
        let newest = record.as_ref().map(|record| record.latest.number);
        if let Some(pool) = newest.and_then(|number| pools.get(&number)) {
            // It is empty still.
            let _ = latest.set(pool.clone());
        }
        Arc::new(Self {
            record,
            latest,
            pools: Mutex::new(pools),
        })
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<RevisionNumber, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Table = HashMap<FunctionId, Arc<Route>>;

/// All functions and their pools: read without a lock, changed by one at a time.
///
/// Revision numbers never return, also not after a deletion, so a pool is of one function for ever.
pub(super) struct Routes {
    table: ArcSwap<Table>,
    /// Held while the table is changed. What it holds: functions that are there without a record,
    /// and may be gone.
    doubts: Mutex<BTreeSet<FunctionId>>,
    pub(super) doubted: Notify,
    shared: Arc<Shared>,
    numbers: AtomicU64,
}

impl Routes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            table: ArcSwap::default(),
            doubts: Mutex::default(),
            doubted: Notify::new(),
            shared,
            numbers: AtomicU64::new(0),
        }
    }

    fn change(&self) -> MutexGuard<'_, BTreeSet<FunctionId>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of the newest revision, if it was called before: all that a warm call looks up.
    pub(super) fn latest(&self, function: &FunctionRef) -> Option<Arc<Pool>> {
        let FunctionRef {
            namespace,
            name,
            qualifier: Qualifier::Latest,
        } = function
        else {
            return None;
        };
        let table = self.table.load();
        table.get(&Named { namespace, name })?.latest.get().cloned()
    }

    /// What the registry listed of a function.
    pub(super) fn record(&self, function: &FunctionId) -> Option<Arc<FunctionRecord>> {
        self.table.load().get(function)?.record.clone()
    }

    /// The pool of a revision, if there is one.
    pub(super) fn pool(&self, id: &RevisionId) -> Option<Arc<Pool>> {
        let table = self.table.load();
        table.get(&id.function)?.pools().get(&id.number).cloned()
    }

    /// The pool of a revision. If the registry has not told of the function, it is asked whether
    /// the function is there.
    pub(super) fn pool_or_new(&self, revision: &Arc<FunctionRevision>) -> Arc<Pool> {
        let mut doubts = self.change();
        let known = self.table.load().get(&revision.function).cloned();
        let route = known.unwrap_or_else(|| {
            let route = Route::new(None, BTreeMap::new());
            let mut table = Table::clone(&self.table.load());
            table.insert(revision.function.clone(), route.clone());
            self.table.store(Arc::new(table));
            route
        });
        if route.record.is_none() && doubts.insert(revision.function.clone()) {
            self.doubted.notify_one();
        }
        let pool = self.in_route(&route, revision);
        drop(doubts);
        pool
    }

    fn in_route(&self, route: &Route, revision: &Arc<FunctionRevision>) -> Arc<Pool> {
        let mut pools = route.pools();
        let pool = pools.entry(revision.number).or_insert_with(|| {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            Pool::new(number, revision.clone(), self.shared.clone())
        });
        let newest = route.record.as_ref().map(|record| record.latest.number);
        if newest == Some(revision.number) {
            route.latest.get_or_init(|| pool.clone());
        }
        pool.clone()
    }

    /// All pools.
    pub(super) fn pools(&self) -> Vec<Arc<Pool>> {
        let table = self.table.load();
        let pools = table
            .values()
            .flat_map(|route| route.pools().values().cloned().collect::<Vec<_>>());
        pools.collect()
    }

    /// Takes up what the registry told.
    pub(super) fn apply(&self, events: Vec<RegistryEvent>) {
        let mut doubts = self.change();
        let mut table = Table::clone(&self.table.load());
        let mut gone = Vec::new();
        for event in events {
            match event {
                RegistryEvent::Changed(record) => {
                    let before = table.get(&record.function).cloned();
                    let route = renewed(before, record.clone());
                    table.insert(record.function.clone(), route);
                }
                RegistryEvent::Deleted(function) => {
                    gone.extend(delete(&mut table, &mut doubts, &function));
                }
            }
        }
        self.table.store(Arc::new(table));
        drop(doubts);
        self.doubted.notify_one();
        close(gone);
    }

    /// Takes up a whole list. What it lacks was deleted; what the registry has never told of may
    /// be newer than the list, and is asked about.
    pub(super) fn replace(&self, records: Vec<Arc<FunctionRecord>>) {
        let mut doubts = self.change();
        let before = self.table.load_full();
        let mut table = Table::with_capacity(records.len());
        for record in records {
            let route = renewed(before.get(&record.function).cloned(), record.clone());
            table.insert(record.function.clone(), route);
        }
        let mut gone = Vec::new();
        for (function, route) in before.iter() {
            if table.contains_key(function) {
                continue;
            }
            table.insert(function.clone(), route.clone());
            gone.extend(delete(&mut table, &mut doubts, function));
        }
        self.table.store(Arc::new(table));
        drop(doubts);
        self.doubted.notify_one();
        close(gone);
    }

    /// A function that the registry must be asked about.
    pub(super) fn doubt(&self) -> Option<FunctionId> {
        self.change().first().cloned()
    }

    /// The registry knows it: its watch will tell.
    pub(super) fn trust(&self, function: &FunctionId) {
        self.change().remove(function);
    }

    /// The registry does not know it.
    pub(super) fn distrust(&self, function: &FunctionId) {
        let mut doubts = self.change();
        doubts.remove(function);
        let mut table = Table::clone(&self.table.load());
        let route = table.get(function).filter(|route| route.record.is_none());
        let gone = route.map(|route| (function.clone(), route.pools().clone()));
        if gone.is_some() {
            table.remove(function);
            self.table.store(Arc::new(table));
        }
        drop(doubts);
        close(gone);
    }
}

/// A function with a new record. Pools of revisions that no new request can reach go, if they are
/// empty.
fn renewed(before: Option<Arc<Route>>, record: Arc<FunctionRecord>) -> Arc<Route> {
    let mut pools = before
        .map(|route| route.pools().clone())
        .unwrap_or_default();
    let named: BTreeSet<_> = record
        .aliases
        .values()
        .flat_map(|alias| alias.weights.keys().copied())
        .chain([record.latest.number])
        .collect();
    pools.retain(|number, pool| {
        named.contains(number) || *number > record.latest.number || !pool.retire()
    });
    Route::new(Some(record), pools)
}

type Gone = (FunctionId, BTreeMap<RevisionNumber, Arc<Pool>>);

/// Takes a function out; its pools, but for those of revisions that are newer than the record: if
/// the function was made anew, the registry will tell, and if not, it says so when it is asked.
fn delete(
    table: &mut Table,
    doubts: &mut BTreeSet<FunctionId>,
    function: &FunctionId,
) -> Option<Gone> {
    let route = table.remove(function)?;
    let last = match &route.record {
        Some(record) => record.latest.number,
        None => RevisionNumber(0),
    };
    let mut gone = route.pools().clone();
    let newer = gone.split_off(&RevisionNumber(last.0.saturating_add(1)));
    if !newer.is_empty() {
        table.insert(function.clone(), Route::new(None, newer));
        doubts.insert(function.clone());
    }
    Some((function.clone(), gone))
}

/// Tells all that wait, and all that still come, that their function is gone.
fn close(gone: impl IntoIterator<Item = Gone>) {
    for (function, pools) in gone {
        let error = Error::not_found("invoke", format!("{function} was deleted"));
        for pool in pools.values() {
            pool.close(&error);
        }
    }
}
