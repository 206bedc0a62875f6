//! [`Task`]: a function's code on a task of its own: bounded in time, stopped when dropped, watched
//! until gone.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Clock, Error, FunctionError, HandlerReply, Retry, panic_message};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use super::pace::Pace;
use super::watch::{self, Watched};
use crate::lifecycle::{Lifecycle, unavailable};
use crate::limit::{Bounds, Limit};

/// How many calls may be polled within another on its stack: functions call functions.
const NESTED: u32 = 4;

/// What a handler answers.
pub(super) type Reply = Result<HandlerReply, FunctionError>;

/// Where the calls of one instance run, and what becomes of those that do not stop.
#[derive(Debug)]
pub(super) struct Guests {
    /// A runtime of their own.
    pub(super) guests: Option<Handle>,
    pub(super) platform: Handle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) grace: Duration,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) pace: Pace,
    pub(super) watched: Watched,
}

impl Guests {
    /// Whether a call may be polled on the task of whoever calls now: on the same runtime, where
    /// the stack is not deep yet, and if the handler yields soon.
    pub(super) fn may_inline(&self) -> bool {
        let here = |runtime: Handle| runtime.id() == self.platform.id();
        self.guests.is_none()
            && self.pace.is_prompt()
            && watch::depth() < NESTED
            && self.watched.is_awake()
            && Handle::try_current().is_ok_and(here)
    }

    pub(super) fn gone(&self, why: &str) -> Error {
        unavailable(self.lifecycle.id(), why, Retry::Ambiguous)
    }

    /// What it means that the time of a call is over.
    pub(super) fn expired<T>(&self, bounds: &Bounds) -> Ended<T> {
        bounds.expired().map_or_else(Ended::Lost, Ended::Failed)
    }
}

/// How a task ended.
pub(super) enum Ended<T> {
    Done(T),
    /// It panicked, or its time is over.
    Failed(FunctionError),
    /// Nobody waits for it any longer, or its runtime is gone.
    Lost(Error),
}

/// A task that is stopped when this is dropped.
pub(super) struct Task<T: Send + 'static> {
    guests: Arc<Guests>,
    limit: Limit,
    join: Option<JoinHandle<T>>,
    sleep: BoxFuture<'static, ()>,
}

impl<T: Send + 'static> Task<T> {
    pub(super) fn spawn(
        guests: &Arc<Guests>,
        limit: Limit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            guests: guests.clone(),
            join: Some(
                guests
                    .guests
                    .as_ref()
                    .unwrap_or(&guests.platform)
                    .spawn(work),
            ),
            sleep: limit.sleep(),
            limit,
        }
    }

    /// Waits for its end, or its time's.
    pub(super) async fn end(&mut self) -> Ended<T> {
        let Some(join) = &mut self.join else {
            return Ended::Lost(self.guests.gone("it has ended already"));
        };
        let ended = tokio::select! {
            biased;
            ended = join => ended,
            () = &mut self.sleep => return self.guests.expired(&self.limit),
        };
        self.join = None;
        match ended {
            Ok(value) => Ended::Done(value),
            Err(error) => self.classify(error),
        }
    }

    /// Ends when its time is over.
    pub(super) fn sleep(&mut self) -> &mut BoxFuture<'static, ()> {
        &mut self.sleep
    }

    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// As [`end`](Self::end), for a sleep that may have ended already.
    pub(super) async fn finish(&mut self) -> Ended<T> {
        self.sleep = self.limit.sleep();
        self.end().await
    }

    fn classify(&self, error: JoinError) -> Ended<T> {
        match error.try_into_panic() {
            Ok(panic) => Ended::Failed(panicked(&*panic)),
            Err(_) => Ended::Lost(self.guests.gone("the runtime of its handlers has ended")),
        }
    }
}

impl<T: Send + 'static> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(join) = self.join.take() else { return };
        join.abort();
        if join.is_finished() {
            return;
        }
        let lifecycle = self.guests.lifecycle.clone();
        let late = self.limit.sleep_past_timeout(self.guests.grace);
        // On the platform's runtime: the guests' may be blocked by the very task that it watches.
        self.guests.platform.spawn(async move {
            tokio::select! {
                biased;
                _ = join => {}
                () = late => lifecycle.fail("a handler does not yield and cannot be stopped"),
            }
        });
    }
}

/// A panic is the function's failure.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> FunctionError {
    FunctionError::new(FunctionError::PANIC, panic_message(panic))
}
