//! The other side, for functions in Rust.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faas_core::{
    ContentType, FunctionError, Handler, HandlerCall, HandlerReply, Invocation, InvocationId,
    Payload,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::UnixStream;

use super::codec::{End, Frame, Head, VERSION, json};
use super::wire::{Wire, garbage, message};

/// Serves invocations with `handler` over `slots` connections to the socket at `path` (what the
/// environment calls `FAAS_SOCKET`); ends when the platform is gone.
///
/// # Errors
/// Whatever connecting or speaking failed with.
pub async fn serve(path: &Path, handler: Arc<dyn Handler>, slots: u32) -> io::Result<()> {
    let slots: FuturesUnordered<_> = (0..slots.max(1)).map(|_| slot(path, &*handler)).collect();
    slots
        .fold(Ok(()), async |first: io::Result<()>, end| first.and(end))
        .await
}

async fn slot(path: &Path, handler: &dyn Handler) -> io::Result<()> {
    loop {
        let mut wire = Wire::new(UnixStream::connect(path).await?);
        wire.write(&[Frame::Hello(VERSION)]).await?;
        let end = connection(&mut wire, handler).await;
        match end {
            // It was cancelled: a new connection says that this slot is idle again.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => {}
            other => return other,
        }
    }
}

async fn connection(wire: &mut Wire, handler: &dyn Handler) -> io::Result<()> {
    loop {
        let call = request(wire).await?;
        let reply = tokio::select! {
            reply = handler.call(call) => reply,
            () = wire.closed() => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        answer(wire, reply).await?;
    }
}

async fn request(wire: &mut Wire) -> io::Result<HandlerCall> {
    let head = wire.read_head().await?;
    let mut data = BytesMut::new();
    while let Ok(part) = wire.read_part().await? {
        data.extend_from_slice(&part);
    }
    let id: InvocationId = head.id.parse().map_err(|_| garbage("no id".to_owned()))?;
    let content_type = ContentType::new(head.content_type).unwrap_or(ContentType::OCTETS);
    let payload = Payload::new(data.freeze(), content_type);
    let function = "guest".parse().map_err(|_| garbage("no name".to_owned()))?;
    let mut invocation = Invocation::new(id, function, payload).with_attributes(head.attributes);
    invocation.trace = head.trace.parse().unwrap_or_default();
    Ok(invocation.into())
}

fn head(content_type: &ContentType, stream: bool) -> Head {
    Head {
        id: String::new(),
        content_type: content_type.as_str().to_owned(),
        attributes: faas_core::Attributes::new(),
        trace: String::new(),
        time_left: 0,
        stream,
    }
}

async fn answer(wire: &mut Wire, reply: Result<HandlerReply, FunctionError>) -> io::Result<()> {
    let (content_type, mut chunks) = match reply {
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
    let mut end = End::default();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = wire.closed() => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        match chunk {
            Some(Ok(data)) => wire.write(&[Frame::Data(data)]).await?,
            Some(Err(error)) => {
                end.error = Some(error);
                break;
            }
            None => break,
        }
    }
    wire.write(&[Frame::End(json(&end))]).await
}
