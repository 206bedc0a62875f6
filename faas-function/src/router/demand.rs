//! Who listens to the demand of all revisions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Notify;

use super::pool::Pool;
use crate::autoscaler::{RevisionId, RevisionLoad};

/// One listener: which pools have changed since it looked. A pool is in it once however often it
/// changes, so that a slow listener costs no memory and reads the newest state.
#[derive(Default)]
struct Listener {
    changed: Mutex<HashMap<u64, Arc<Pool>>>,
    wake: Notify,
}

impl Listener {
    fn changed(&self) -> MutexGuard<'_, HashMap<u64, Arc<Pool>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Arc<Pool> {
        loop {
            // Its own statement, so that the lock is free before the wait.
            let found = pop(&mut self.changed());
            match found {
                Some(pool) => return pool,
                None => self.wake.notified().await,
            }
        }
    }
}

fn pop(changed: &mut HashMap<u64, Arc<Pool>>) -> Option<Arc<Pool>> {
    let number = *changed.keys().next()?;
    changed.remove(&number)
}

/// All listeners.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Weak<Listener>>>);

impl Listeners {
    /// Tells everybody that a pool has changed.
    pub(super) fn changed(&self, pool: &Arc<Pool>) {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener
                .changed()
                .entry(pool.number())
                .or_insert_with(|| pool.clone());
            listener.wake.notify_one();
        }
    }

    /// A listener that begins with all of these pools.
    pub(super) fn listen(
        &self,
        pools: impl FnOnce() -> Vec<Arc<Pool>>,
    ) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        let listener = Arc::new(Listener::default());
        let mut listeners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|other| other.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        drop(listeners);
        // After it listens, so that no pool is in neither.
        let known = pools().into_iter().map(|pool| (pool.number(), pool));
        listener.changed().extend(known);
        stream::unfold(listener, |listener| async move {
            let pool = listener.next().await;
            Some(((pool.id(), pool.load()), listener))
        })
        .boxed()
    }
}
