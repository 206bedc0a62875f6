//! What came of commits whose answer was lost, and of those that were refused.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use faas_core::Result;
use faas_core::store::{BatchId, BatchOutcome};

use crate::pools::Pools;
use crate::reads;

/// Waits for a transaction that has the id, if there is one.
const TAKE: &str = "INSERT INTO batch (id) VALUES ($1) ON CONFLICT DO NOTHING";
/// How many batches that did not happen are remembered.
const KEPT: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Refused,
    Ambiguous,
}

#[derive(Debug, Default)]
struct Known {
    batches: HashMap<BatchId, Doubt>,
    order: VecDeque<BatchId>,
}

/// The batches of this process that did not happen, or perhaps did not.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<Known>);

impl Doubts {
    pub(crate) fn refused(&self, id: BatchId) {
        self.remember(id, Doubt::Refused);
    }

    pub(crate) fn ambiguous(&self, id: BatchId) {
        self.remember(id, Doubt::Ambiguous);
    }

    fn remember(&self, id: BatchId, doubt: Doubt) {
        let known = &mut *self.lock();
        if known.order.len() >= KEPT
            && let Some(oldest) = known.order.pop_front()
        {
            known.batches.remove(&oldest);
        }
        if known.batches.insert(id, doubt).is_none() {
            known.order.push_back(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of a batch. One in doubt is decided now: unless it has happened, its id is taken,
    /// so that what the server may still hold of it can never be committed.
    pub(crate) async fn outcome(&self, pools: &Pools, id: BatchId) -> Result<BatchOutcome> {
        let doubt = self.lock().batches.get(&id).copied();
        if doubt == Some(Doubt::Ambiguous) {
            pools
                .query("outcome", TAKE, &[&&id.0.to_be_bytes()[..]])
                .await?;
        }
        Ok(match reads::outcome(pools, id).await? {
            Some(Some(committed)) => BatchOutcome::Committed(committed),
            Some(None) => BatchOutcome::Aborted,
            None if doubt == Some(Doubt::Refused) => BatchOutcome::Aborted,
            None => BatchOutcome::Unknown,
        })
    }
}
