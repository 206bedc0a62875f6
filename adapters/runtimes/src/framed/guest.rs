//! The other side, for functions in Rust: what a program that runs in a sandbox calls.
//!
//! ```no_run
//! use faas_core::{HandlerCall, Payload};
//! use faas_runtimes::framed::guest;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     guest::run(|call: HandlerCall| async move {
//!         let name: String = call.payload.to_json()?;
//!         Ok(Payload::json(&format!("Hello, {name}!"))?.into())
//!     })
//!     .await
//! }
//! ```
//!
//! A handler gets a [`HandlerCall`] and answers with a [`HandlerReply`], whole or as a stream, or
//! with a [`FunctionError`], whose name callers and workflows match on. What it prints is the
//! sandbox's log.
//!
//! - Dropped in the midst of it, a handler's future is a call that was cancelled: its caller does not
//!   wait any longer, or its time is over. What must not stop there belongs in a task of its own.
//! - `call.deadline` is meant by [`clock`]; of what a call carries, identity and idempotency key, trace
//!   and attributes arrive as they were sent. Which function and revision it is stands in the
//!   environment, as [`FUNCTION`](super::FUNCTION).
//! - A panic ends the call with the failure `Function.Panic`; the program goes on.
//! - A program that exits in the midst of a call has failed with `Function.Exit`.
//! - On `SIGTERM` [`run`] takes no more calls, lets those end that run, and returns; the platform
//!   gives a program some time for that and then kills it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faas_core::{
    Clock, ContentType, FunctionError, Handler, HandlerCall, HandlerReply, Invocation,
    InvocationId, Payload, TokioClock, panic_message,
};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::codec::{End, Frame, Head, VERSION, json};
use super::wire::{Wire, garbage, message};
use super::{CONCURRENCY, SOCKET};

/// The clock by which the deadlines of calls are meant.
pub fn clock() -> &'static TokioClock {
    static CLOCK: LazyLock<TokioClock> = LazyLock::new(TokioClock::new);
    &CLOCK
}

/// Serves invocations with `handler`, as the environment of its sandbox says: as many at once as the
/// function is configured for. Returns after `SIGTERM`, when no call runs any longer, or when the
/// platform is gone.
///
/// # Errors
/// `NotFound` if this process does not run in a sandbox of [`FramedSocket`](super::FramedSocket);
/// whatever connecting or speaking failed with.
pub async fn run(handler: impl Handler) -> io::Result<()> {
    let variable = |name| std::env::var(name).ok();
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else {
        let message = format!("{SOCKET} is not set: this program runs in a sandbox of a platform");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    };
    let slots = variable(CONCURRENCY).and_then(|slots| slots.parse().ok());
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        terminate.recv().await;
    };
    serve_until(&socket, Arc::new(handler), slots.unwrap_or(1), stop).await
}

/// Serves invocations with `handler` over `slots` connections to the socket at `path`; ends when the
/// platform is gone.
///
/// # Errors
/// Whatever connecting or speaking failed with.
pub async fn serve(path: &Path, handler: Arc<dyn Handler>, slots: u32) -> io::Result<()> {
    serve_until(path, handler, slots, std::future::pending()).await
}

/// As [`serve`]; when `stop` ends, no more calls are taken, and those that run may end.
///
/// # Errors
/// Whatever connecting or speaking failed with.
pub async fn serve_until(
    path: &Path,
    handler: Arc<dyn Handler>,
    slots: u32,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let stopping = watch::Sender::new(false);
    let slots: FuturesUnordered<_> = (0..slots.max(1))
        .map(|_| slot(path, &*handler, stopping.subscribe()))
        .collect();
    let ended = slots.fold(Ok(()), async |first: io::Result<()>, end| first.and(end));
    tokio::pin!(ended);
    tokio::select! {
        ended = &mut ended => return ended,
        () = stop => {}
    }
    stopping.send_replace(true);
    ended.await
}

async fn slot(
    path: &Path,
    handler: &dyn Handler,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    while !*stopping.borrow() {
        let mut wire = Wire::new(UnixStream::connect(path).await?, None);
        wire.write(&[Frame::Hello(VERSION)]).await?;
        match connection(&mut wire, handler, &mut stopping).await {
            // It was cancelled: a new connection says that this slot is idle again.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => {}
            other => return other,
        }
    }
    Ok(())
}

async fn connection(
    wire: &mut Wire,
    handler: &dyn Handler,
    stopping: &mut watch::Receiver<bool>,
) -> io::Result<()> {
    loop {
        let head = tokio::select! {
            biased;
            head = wire.read_head() => head?,
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
        };
        let call = request(head, wire).await?;
        let reply = AssertUnwindSafe(handler.call(call)).catch_unwind();
        let reply = tokio::select! {
            reply = reply => reply.unwrap_or_else(|panic| Err(panicked(&*panic))),
            () = wire.closed() => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        answer(wire, reply).await?;
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> FunctionError {
    FunctionError::new(FunctionError::PANIC, panic_message(panic))
}

async fn request(head: Head, wire: &mut Wire) -> io::Result<HandlerCall> {
    let mut data = BytesMut::new();
    while let Ok(part) = wire.read_part().await? {
        data.extend_from_slice(&part);
    }
    let id: InvocationId = head.id.parse().map_err(|_| garbage("no id".to_owned()))?;
    let content_type = ContentType::new(head.content_type).unwrap_or(ContentType::OCTETS);
    let payload = Payload::new(data.freeze(), content_type);
    // A handler is not told which function it is.
    let function = "guest".parse().map_err(|_| garbage("no name".to_owned()))?;
    let mut invocation = Invocation::new(id, function, payload)
        .with_attributes(head.attributes)
        .with_deadline(clock().now() + Duration::from_millis(head.time_left));
    invocation.trace = head.trace.parse().unwrap_or_default();
    invocation.idempotency_key = head.idempotency_key;
    invocation.caller = head.caller;
    Ok(invocation.into())
}

fn head(content_type: &ContentType, stream: bool) -> Head {
    Head {
        content_type: content_type.as_str().to_owned(),
        stream,
        ..Head::default()
    }
}

async fn answer(wire: &mut Wire, reply: Result<HandlerReply, FunctionError>) -> io::Result<()> {
    let (content_type, chunks) = match reply {
        Ok(HandlerReply::Stream(content_type, chunks)) => (content_type, chunks),
        Ok(HandlerReply::Whole(payload)) => {
            let head = head(payload.content_type(), false);
            return wire
                .write(&message(&head, payload.into_bytes(), &End::default()))
                .await;
        }
        Ok(_) => return Err(garbage("an answer of an unknown kind".to_owned())),
        Err(error) => {
            let end = End { error: Some(error) };
            let head = head(&ContentType::OCTETS, false);
            return wire.write(&message(&head, Bytes::new(), &end)).await;
        }
    };
    wire.write(&[Frame::Head(json(&head(&content_type, true)))])
        .await?;
    // A panic in the midst of the stream ends it as one before it does.
    let mut chunks = AssertUnwindSafe(chunks).catch_unwind();
    let mut end = End::default();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = wire.closed() => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        match chunk {
            Some(Ok(Ok(data))) => wire.write(&[Frame::Data(data)]).await?,
            Some(Ok(Err(error))) => {
                end.error = Some(error);
                break;
            }
            Some(Err(panic)) => {
                end.error = Some(panicked(&*panic));
                break;
            }
            None => break,
        }
    }
    wire.write(&[Frame::End(json(&end))]).await
}
