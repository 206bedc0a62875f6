//! Who listens to the demand of all revisions.
//!
//! What waits, and which instances are there, is told at once. What runs changes with every call:
//! it is told soon, and a change that is to be told already costs a call no more than a look at a
//! flag.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use faas_core::{Clock, Monotonic};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::Notify;

use super::pool::Pool;
use crate::autoscaler::{RevisionId, RevisionLoad};

/// How long after the last one the next report of what runs may come. The load says how busy its
/// instances were meanwhile, so that no short call is overlooked.
const SOON: Duration = Duration::from_millis(100);

type Pools = HashMap<u64, Arc<Pool>>;

/// Which pools have changed since a listener looked. A pool is in it once however often it changes,
/// so that a slow listener costs no memory and reads the newest state.
#[derive(Default)]
struct Changed {
    now: Pools,
    soon: Pools,
}

#[derive(Default)]
struct Listener {
    changed: Mutex<Changed>,
    wake: Notify,
}

impl Listener {
    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next pool to look at; `due` is when what is told soon may be told.
    async fn next(&self, clock: &dyn Clock, due: &mut Monotonic) -> Arc<Pool> {
        loop {
            // A statement of its own, so that the lock is free before the wait.
            let found = pop(&mut self.changed());
            match found {
                Found::Pool(pool) => return pool,
                Found::Nothing => self.wake.notified().await,
                Found::Soon => tokio::select! {
                    biased;
                    () = clock.sleep_until(*due) => {
                        *due = clock.now() + SOON;
                        let mut changed = self.changed();
                        let soon = std::mem::take(&mut changed.soon);
                        changed.now.extend(soon);
                    }
                    () = self.wake.notified() => {}
                },
            }
        }
    }
}

enum Found {
    Pool(Arc<Pool>),
    Soon,
    Nothing,
}

fn pop(changed: &mut Changed) -> Found {
    let Some(number) = changed.now.keys().next().copied() else {
        return match changed.soon.is_empty() {
            true => Found::Nothing,
            false => Found::Soon,
        };
    };
    changed.soon.remove(&number);
    changed
        .now
        .remove(&number)
        .map_or(Found::Nothing, Found::Pool)
}

/// All listeners.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Weak<Listener>>>);

impl Listeners {
    /// Tells everybody at once that a pool has changed.
    pub(super) fn changed(&self, pool: &Arc<Pool>) {
        self.tell(pool, |changed| &mut changed.now);
    }

    /// Tells everybody soon.
    pub(super) fn stirred(&self, pool: &Arc<Pool>) {
        self.tell(pool, |changed| &mut changed.soon);
    }

    fn tell(&self, pool: &Arc<Pool>, which: fn(&mut Changed) -> &mut Pools) {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            which(&mut listener.changed())
                .entry(pool.number())
                .or_insert_with(|| pool.clone());
            listener.wake.notify_one();
        }
    }

    /// A listener that begins with all of these pools.
    pub(super) fn listen(
        &self,
        clock: Arc<dyn Clock>,
        pools: impl FnOnce() -> Vec<Arc<Pool>>,
    ) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        let listener = Arc::new(Listener::default());
        let mut listeners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|other| other.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        drop(listeners);
        // After it listens, so that no pool is in neither.
        let known = pools().into_iter().map(|pool| (pool.number(), pool));
        listener.changed().now.extend(known);
        let state = (listener, clock, Monotonic::ZERO);
        stream::unfold(state, |(listener, clock, mut due)| async move {
            let pool = listener.next(&*clock, &mut due).await;
            Some(((pool.id(), pool.report()), (listener, clock, due)))
        })
        .boxed()
    }
}
