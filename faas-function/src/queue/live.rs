//! The half that acts: owns the requests, starts what the core says, and writes what came of it.

mod attempt;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faas_core::store::{Key, Revision};
use faas_core::{Digest, InvocationId, Monotonic, Result};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

use super::core::Waiting;
use super::item::BELL;
use super::owner::{self, Epoch};
use super::store::Shared;
use crate::backoff::Backoff;
use attempt::attempt;

/// How one attempt left a request.
#[derive(Debug)]
pub(super) struct Ended {
    id: InvocationId,
    left: Left,
}

#[derive(Debug)]
pub(super) enum Left {
    /// It waits until then.
    Waits(Monotonic),
    /// It has ended, and so many fewer things are kept; what it was handed to is new.
    Gone {
        released: usize,
        new: Option<Waiting>,
    },
    /// Another queue owns it.
    Fenced,
}

/// Why a time of ownership is over.
enum Over {
    Drained,
    Fenced,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let lease = (!shared.options.exclusive).then_some(shared.options.lease);
    let clock = shared.parts.clock.clone();
    let mut backoff = Backoff::default();
    while !shared.is_draining() {
        let time = async {
            let epoch = owner::take(shared.store(), &*clock, lease).await?;
            own(&shared, epoch).await
        };
        match time.await {
            Ok(Over::Drained) => return,
            Ok(Over::Fenced) => tracing::warn!("another queue has taken over"),
            Err(error) => tracing::warn!(%error, "the queue's store failed: it begins anew"),
        }
        shared.own(false);
        let kept = shared.core().kept();
        shared.core().release(kept);
        backoff.pause(&*clock).await;
    }
}

/// Runs requests for as long as they are this queue's own.
async fn own(shared: &Arc<Shared>, epoch: Epoch) -> Result<Over> {
    shared.core().clear();
    // First this, so that what is submitted from here on is not missed.
    shared.own(true);
    scan(shared).await?;
    let mut bell = listen(shared);
    let (mut running, mut chores) = (JoinSet::new(), JoinSet::new());
    if shared.parts.payloads.is_some() {
        chores.spawn(tidy(shared.clone(), epoch, None));
    }
    let pulse = match shared.options.exclusive {
        // Nobody listens.
        true => Duration::MAX,
        false => shared.options.lease / 3,
    };
    let (mut beats, mut beat) = (0u64, shared.now() + pulse);
    loop {
        if shared.rescan.swap(false, Ordering::AcqRel) {
            scan(shared).await?;
        }
        if chores.is_empty() && !shared.loose().is_empty() {
            let loose = std::mem::take(&mut *shared.loose());
            chores.spawn(tidy(shared.clone(), epoch, Some(loose)));
        }
        let now = shared.now();
        if !shared.is_draining() {
            for id in shared.core().start(now) {
                running.spawn(one(shared.clone(), epoch, id));
            }
        } else if running.is_empty() {
            owner::release(shared.store(), epoch).await?;
            shared.idle.notify_waiters();
            return Ok(Over::Drained);
        }
        let due = shared.core().wake_at();
        let wake = due
            .filter(|_| !shared.is_draining())
            .map_or(beat, |due| due.min(beat));
        tokio::select! {
            biased;
            Some(ended) = running.join_next(), if !running.is_empty() => {
                if settle(shared, ended) {
                    return Ok(Over::Fenced);
                }
            }
            Some(_) = chores.join_next(), if !chores.is_empty() => {}
            Some(()) = bell.next() => shared.rescan.store(true, Ordering::Release),
            () = shared.changed.notified() => {}
            () = shared.parts.clock.sleep_until(wake) => {}
        }
        if shared.now() >= beat {
            (beats, beat) = (beats + 1, shared.now() + pulse);
            if !owner::renew(shared.store(), epoch, beats).await? {
                return Ok(Over::Fenced);
            }
            // The backstop: a ring may have been missed.
            shared.rescan.store(true, Ordering::Release);
        }
    }
}

/// Takes in what one attempt came to; whether another queue owns the requests.
fn settle(shared: &Shared, ended: Result<Ended, tokio::task::JoinError>) -> bool {
    let Ok(Ended { id, left }) = ended else {
        // Attempts catch their panics: this one was cut off with the runtime.
        return true;
    };
    let now = shared.now();
    let mut core = shared.core();
    match left {
        Left::Waits(due) => core.again(id, due, now),
        Left::Gone { released, new } => {
            core.end(id);
            core.release(released);
            if let Some(new) = new {
                core.add(new, now);
            }
        }
        Left::Fenced => return true,
    }
    if core.running() == 0 {
        shared.idle.notify_waiters();
    }
    false
}

/// One attempt; a panic of the invoker is a failure like others.
async fn one(shared: Arc<Shared>, epoch: Epoch, id: InvocationId) -> Ended {
    let attempted = AssertUnwindSafe(attempt(&shared, epoch, id)).catch_unwind();
    let left = match attempted.await {
        Ok(Ok(left)) => left,
        Ok(Err(error)) => {
            tracing::warn!(%id, %error, "a queued request could not be read or written");
            Left::Waits(shared.now() + Backoff::after(u32::MAX))
        }
        Err(_) => {
            tracing::error!(%id, "the invoker panicked");
            Left::Waits(shared.now() + Backoff::after(u32::MAX))
        }
    };
    Ended { id, left }
}

/// Removes payloads that nothing names any more: of these digests, or all.
async fn tidy(shared: Arc<Shared>, epoch: Epoch, loose: Option<Vec<Digest>>) {
    let Some(payloads) = &shared.parts.payloads else {
        return;
    };
    let tidied = async {
        let Some(loose) = loose else {
            return payloads.sweep(shared.store(), epoch).await;
        };
        for digest in loose {
            payloads.collect(shared.store(), epoch, digest).await?;
        }
        Ok(())
    };
    if let Err(error) = tidied.await {
        // The next owner looks for all of them.
        tracing::warn!(%error, "payloads that nobody needs were not removed");
    }
}

/// Takes in all requests that it does not know yet, and counts what is kept.
async fn scan(shared: &Shared) -> Result<()> {
    let resting = shared.resting().await?;
    let requests = shared.requests().await?;
    let mut core = shared.core();
    let now = shared.now();
    let kept = core.kept();
    core.keep((resting + requests.len()).saturating_sub(kept));
    for (id, item) in requests {
        core.add(shared.waiting(id, &item), now);
    }
    Ok(())
}

/// Rings of the queues that share the store.
fn listen(shared: &Shared) -> BoxStream<'static, ()> {
    if shared.options.exclusive {
        return futures::stream::pending().boxed();
    }
    let rings = shared
        .store()
        .watch(&BELL, Key::empty(), Revision::default());
    // After an error there is the backstop.
    rings.map(drop).chain(futures::stream::pending()).boxed()
}
