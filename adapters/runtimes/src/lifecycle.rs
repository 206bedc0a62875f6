//! What all instances share: who runs, who drains, and whether the instance must be replaced.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faas_core::{Clock, Error, InstanceId, Monotonic, Result, Retry};
use faas_function::instance::{Health, Permit};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

/// It takes no more: it drains.
const DRAINING: u64 = 1 << 62;
/// It takes no more: it has failed.
const FAILED: u64 = 1 << 63;
/// How many run, in what is left of the word.
const RUNNING: u64 = DRAINING - 1;

/// The state of one instance.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    id: InstanceId,
    /// All in one word, so that a call costs one addition and one subtraction.
    state: AtomicU64,
    idle: Notify,
    failure: watch::Sender<Option<String>>,
}

/// One invocation that runs: it holds the permit, and drains wait for it.
#[derive(Debug)]
pub(crate) struct Busy<L: Borrow<Arc<Lifecycle>> = Arc<Lifecycle>> {
    lifecycle: L,
    // Dropped after `Drop::drop` has run, so whoever gets the slot finds the count right.
    permit: Option<Permit>,
}

impl<L: Borrow<Arc<Lifecycle>>> Drop for Busy<L> {
    fn drop(&mut self) {
        // Without a permit it has become another one.
        if self.permit.is_some() {
            self.lifecycle.borrow().end();
        }
    }
}

impl Busy<&Arc<Lifecycle>> {
    /// The same, for as long as it takes.
    pub(crate) fn into_owned(mut self) -> Busy {
        Busy {
            lifecycle: self.lifecycle.clone(),
            permit: self.permit.take(),
        }
    }
}

impl Lifecycle {
    pub(crate) fn new(id: InstanceId) -> Arc<Self> {
        Arc::new(Self {
            id,
            state: AtomicU64::new(0),
            idle: Notify::new(),
            failure: watch::Sender::new(None),
        })
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    /// Takes an invocation up, or refuses it because the instance drains or has failed.
    pub(crate) fn begin(self: &Arc<Self>, permit: Permit) -> Result<Busy> {
        self.begin_here(permit).map(Busy::into_owned)
    }

    /// As [`begin`](Self::begin), for one that ends before whoever has the instance lets go of it.
    pub(crate) fn begin_here(self: &Arc<Self>, permit: Permit) -> Result<Busy<&Arc<Self>>> {
        // Counted by the same step that checks: a drain that begins now waits for it or refuses it.
        let before = self.state.fetch_add(1, Ordering::SeqCst);
        let busy = Busy {
            lifecycle: self,
            permit: Some(permit),
        };
        if before & (DRAINING | FAILED) == 0 {
            return Ok(busy);
        }
        let why = format!("{:?}", self.health());
        Err(unavailable(self.id, why, Retry::Safe))
    }

    fn end(&self) {
        let before = self.state.fetch_sub(1, Ordering::SeqCst);
        if before & RUNNING == 1 && before & DRAINING != 0 {
            self.idle.notify_waiters();
        }
    }

    /// The instance must be replaced; the first reason stays.
    pub(crate) fn fail(&self, reason: impl Into<String>) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason.into());
            }
            first
        });
        // Last, so that whoever sees it finds the reason.
        self.state.fetch_or(FAILED, Ordering::SeqCst);
    }

    pub(crate) fn health(&self) -> Health {
        if let Some(reason) = &*self.failure.borrow() {
            return Health::Failed(reason.clone());
        }
        match self.state.load(Ordering::SeqCst) & DRAINING {
            0 => Health::Ready,
            _ => Health::Draining,
        }
    }

    fn running(&self) -> u64 {
        self.state.load(Ordering::SeqCst) & RUNNING
    }

    /// Ends with the reason for which the instance must be replaced.
    pub(crate) fn failed(&self) -> BoxFuture<'static, String> {
        let mut failure = self.failure.subscribe();
        async move {
            let known = failure.wait_for(Option::is_some).await;
            match known.ok().and_then(|reason| reason.clone()) {
                Some(reason) => reason,
                // The instance was dropped in good health: it will never have to be replaced.
                None => futures::future::pending().await,
            }
        }
        .boxed()
    }

    /// Refuses new invocations and waits for those that run.
    pub(crate) async fn drain(&self, clock: &dyn Clock, deadline: Monotonic) -> Result<()> {
        self.state.fetch_or(DRAINING, Ordering::SeqCst);
        let mut late = clock.sleep_until(deadline);
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.running() == 0 {
                return Ok(());
            }
            tokio::select! {
                () = idle => {}
                () = &mut late => return Err(self.still_running()),
            }
        }
    }

    fn still_running(&self) -> Error {
        let running = self.running();
        let message = format!("instance {} still runs {running} invocations", self.id);
        Error::new(
            faas_core::ErrorKind::DeadlineExceeded,
            Retry::Safe,
            "drain instance",
            message,
        )
    }
}

/// An instance that cannot answer, and whether the request may have reached the function.
pub(crate) fn unavailable(id: InstanceId, why: impl std::fmt::Display, retry: Retry) -> Error {
    Error::unavailable("invoke", format!("instance {id}: {why}")).with_retry(retry)
}

/// The invocation's own deadline has passed.
pub(crate) fn too_late(id: InstanceId) -> Error {
    let message = format!("the deadline passed while instance {id} was busy with it");
    Error::new(
        faas_core::ErrorKind::DeadlineExceeded,
        Retry::Ambiguous,
        "invoke",
        message,
    )
}
