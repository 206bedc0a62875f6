//! Bodies that a task of the guests makes while they are read.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::{Body, Error, Frame, FunctionError, Result};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::task::{Ended, Guests, Task};
use crate::lifecycle::Busy;
use crate::limit::Limit;

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
        if let Some(data) = next(&mut receiver, task.sleep()).await {
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
    Ok(Frame::Trailer(task.limit().trailer(result)))
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
