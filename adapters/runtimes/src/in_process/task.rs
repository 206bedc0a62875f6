//! A task that runs a function's code: bounded in time, stopped when dropped, watched until gone.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{Body, Error, Frame, FunctionError, Result, Retry};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::lifecycle::{Busy, Lifecycle, unavailable};
use crate::limit::Limit;

/// Where the tasks of one instance run, and what becomes of those that do not stop.
#[derive(Debug)]
pub(super) struct Guests {
    pub(super) guests: Handle,
    pub(super) platform: Handle,
    pub(super) grace: Duration,
    pub(super) lifecycle: Arc<Lifecycle>,
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
            join: Some(guests.guests.spawn(work)),
            sleep: limit.sleep(),
            limit,
        }
    }

    /// Waits for its end, or its time's.
    pub(super) async fn end(&mut self) -> Ended<T> {
        let Some(join) = &mut self.join else {
            return Ended::Lost(self.gone("it has ended already"));
        };
        let ended = tokio::select! {
            biased;
            ended = join => ended,
            () = &mut self.sleep => return self.expired(),
        };
        self.join = None;
        match ended {
            Ok(value) => Ended::Done(value),
            Err(error) => self.classify(error),
        }
    }

    fn expired(&self) -> Ended<T> {
        match self.limit.expired() {
            Ok(error) => Ended::Failed(error),
            Err(error) => Ended::Lost(error),
        }
    }

    fn classify(&self, error: JoinError) -> Ended<T> {
        match error.try_into_panic() {
            Ok(panic) => {
                let message = panic_message(&*panic);
                Ended::Failed(FunctionError::new(FunctionError::PANIC, message))
            }
            Err(_) => Ended::Lost(self.gone("the runtime of its handlers has ended")),
        }
    }

    fn gone(&self, why: &str) -> Error {
        unavailable(self.guests.lifecycle.id(), why, Retry::Ambiguous)
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

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked without a message".to_owned())
}

type Chunks = BoxStream<'static, Result<Bytes, FunctionError>>;

/// A body whose chunks a task of the guests makes, one ahead of its reader. The trailer is the
/// task's result, so it needs no room in the channel.
pub(super) fn stream(guests: &Arc<Guests>, limit: Limit, chunks: Chunks, busy: Busy) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let pump = pump(chunks, sender, limit.clone(), busy);
    let task = Task::spawn(guests, limit, pump);
    let state = Some((receiver, task));
    Body::stream(futures::stream::unfold(state, |state| async move {
        let (mut receiver, mut task) = state?;
        if let Some(data) = next(&mut receiver, &mut task.sleep).await {
            return Some((Ok(Frame::Data(data)), Some((receiver, task))));
        }
        Some((trailer(&mut task).await, None))
    }))
}

/// The next chunk; none at the end of the stream or of its time.
async fn next(
    receiver: &mut mpsc::Receiver<Bytes>,
    sleep: &mut BoxFuture<'static, ()>,
) -> Option<Bytes> {
    tokio::select! {
        biased;
        chunk = receiver.recv() => chunk,
        () = sleep => None,
    }
}

async fn trailer(task: &mut Task<Result<(), Stop>>) -> Result<Frame> {
    let result = match task.finish().await {
        Ended::Done(Ok(())) => Ok(()),
        Ended::Done(Err(Stop::Failed(error))) | Ended::Failed(error) => Err(error),
        Ended::Done(Err(Stop::Late(error))) | Ended::Lost(error) => return Err(error),
    };
    Ok(Frame::Trailer(task.limit.trailer(result)))
}

impl<T: Send + 'static> Task<T> {
    /// As [`end`](Self::end), for a sleep that may have ended already.
    async fn finish(&mut self) -> Ended<T> {
        self.sleep = self.limit.sleep();
        self.end().await
    }
}

/// Why a stream ended before its end.
enum Stop {
    Failed(FunctionError),
    Late(Error),
}

/// Sends chunks as fast as they are read; ends when its time is over even if nobody reads.
async fn pump(
    chunks: Chunks,
    sender: mpsc::Sender<Bytes>,
    limit: Limit,
    busy: Busy,
) -> Result<(), Stop> {
    let result = tokio::select! {
        biased;
        result = forward(chunks, sender, &limit) => result.map_err(Stop::Failed),
        () = limit.sleep() => Err(limit.expired().map_or_else(Stop::Late, Stop::Failed)),
    };
    drop(busy);
    result
}

async fn forward(
    mut chunks: Chunks,
    sender: mpsc::Sender<Bytes>,
    limit: &Limit,
) -> Result<(), FunctionError> {
    let mut total = 0_u64;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        total = total.saturating_add(chunk.len() as u64);
        limit.check(total)?;
        if sender.send(chunk).await.is_err() {
            // The reader is gone, and with it the task: it is being stopped.
            return Ok(());
        }
    }
    Ok(())
}
