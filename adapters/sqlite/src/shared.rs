//! What the writer shares with the store.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::Clock;
use faas_core::store::BatchId;

use crate::file::DatabaseFile;
use crate::readers::Readers;
use crate::watch::Hub;

/// How many refused batches are remembered.
const KEPT_REFUSALS: usize = 65_536;

/// The parts that both hold.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) file: Arc<DatabaseFile>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) hub: Hub,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) refusals: Refusals,
    pub(crate) counters: Counters,
}

/// What was done since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) transactions: AtomicU64,
}

/// The batches that did not happen, the last of them.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<(HashSet<BatchId>, VecDeque<BatchId>)>);

impl Refusals {
    pub(crate) fn remember(&self, id: BatchId) {
        let (known, order) = &mut *self.lock();
        if order.len() >= KEPT_REFUSALS
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        if known.insert(id) {
            order.push_back(id);
        }
    }

    pub(crate) fn contains(&self, id: BatchId) -> bool {
        self.lock().0.contains(&id)
    }

    fn lock(&self) -> MutexGuard<'_, (HashSet<BatchId>, VecDeque<BatchId>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
