//! What all instances share: who runs, who drains, and whether the instance must be replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use faas_core::{Clock, Error, InstanceId, Monotonic, Result, Retry};
use faas_function::instance::{Health, Permit};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

/// The state of one instance.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    id: InstanceId,
    running: AtomicUsize,
    draining: AtomicBool,
    idle: Notify,
    failure: watch::Sender<Option<String>>,
}

/// One invocation that runs: it holds the permit, and drains wait for it.
#[derive(Debug)]
pub(crate) struct Busy {
    lifecycle: Arc<Lifecycle>,
    // Dropped after `Drop::drop` has run, so whoever gets the slot finds the count right.
    _permit: Permit,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let before = self.lifecycle.running.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.lifecycle.draining.load(Ordering::SeqCst) {
            self.lifecycle.idle.notify_waiters();
        }
    }
}

impl Lifecycle {
    pub(crate) fn new(id: InstanceId) -> Arc<Self> {
        Arc::new(Self {
            id,
            running: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            idle: Notify::new(),
            failure: watch::Sender::new(None),
        })
    }

    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    /// Takes an invocation up, or refuses it because the instance drains or has failed.
    pub(crate) fn begin(self: &Arc<Self>, permit: Permit) -> Result<Busy> {
        // Counted before the check: a drain that begins in between waits for it or refuses it.
        self.running.fetch_add(1, Ordering::SeqCst);
        let busy = Busy {
            lifecycle: self.clone(),
            _permit: permit,
        };
        match self.health() {
            Health::Ready => Ok(busy),
            health => Err(unavailable(self.id, format!("{health:?}"), Retry::Safe)),
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
    }

    pub(crate) fn health(&self) -> Health {
        if let Some(reason) = &*self.failure.borrow() {
            return Health::Failed(reason.clone());
        }
        match self.draining.load(Ordering::SeqCst) {
            true => Health::Draining,
            false => Health::Ready,
        }
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
        self.draining.store(true, Ordering::SeqCst);
        let mut late = clock.sleep_until(deadline);
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                return Ok(());
            }
            tokio::select! {
                () = idle => {}
                () = &mut late => return Err(self.still_running()),
            }
        }
    }

    fn still_running(&self) -> Error {
        let running = self.running.load(Ordering::SeqCst);
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
