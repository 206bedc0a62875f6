//! Frames over a Unix socket.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::codec::{Decoder, End, Frame, Head, encode, json};

/// A connection that speaks frames.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    decoder: Decoder,
    /// Counts the connections that are open, where somebody wants to know.
    _open: Option<Arc<()>>,
}

/// What an idle connection has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peek {
    Idle,
    Closed,
    /// Something out of turn.
    Spoke,
}

/// Bytes that are read at once at least.
const READ: usize = 8 << 10;

impl Wire {
    pub(super) fn new(stream: UnixStream, open: Option<Arc<()>>) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            _open: open,
        }
    }

    /// The next frame; `InvalidData` if it is none, `UnexpectedEof` at the end. Dropping the
    /// future loses nothing.
    pub(super) async fn read(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode().map_err(|e| garbage(e.to_string()))? {
                return Ok(frame);
            }
            let room = self.decoder.missing().max(READ);
            self.decoder.buffer().reserve(room);
            if self.stream.read_buf(self.decoder.buffer()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(super) async fn write(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for frame in frames {
            if encode(frame, &mut bytes) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a head is too long",
                ));
            }
        }
        self.stream.write_all(&bytes).await
    }

    /// Whether all that was received has been read.
    pub(super) fn is_drained(&mut self) -> bool {
        self.decoder.buffer().is_empty()
    }

    /// Looks at it without waiting.
    pub(super) fn peek(&mut self) -> Peek {
        match self.stream.try_read_buf(self.decoder.buffer()) {
            Ok(1..) => Peek::Spoke,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Idle,
            Ok(0) | Err(_) => Peek::Closed,
        }
    }

    /// Ends when the other side closes, or says something out of turn.
    pub(super) async fn closed(&mut self) {
        let _ = self.read().await;
    }

    pub(super) async fn read_head(&mut self) -> io::Result<Head> {
        match self.read().await? {
            Frame::Head(json) => serde_json::from_slice(&json).map_err(|e| garbage(e.to_string())),
            other => Err(garbage(format!("no head but {}", kind(&other)))),
        }
    }

    /// The next data, or the end.
    pub(super) async fn read_part(&mut self) -> io::Result<Result<Bytes, End>> {
        match self.read().await? {
            Frame::Data(data) => Ok(Ok(data)),
            Frame::End(json) => {
                let end = serde_json::from_slice(&json).map_err(|e| garbage(e.to_string()))?;
                Ok(Err(end))
            }
            other => Err(garbage(format!("no data but {}", kind(&other)))),
        }
    }
}

pub(super) fn message(head: &Head, data: Bytes, end: &End) -> [Frame; 3] {
    [
        Frame::Head(json(head)),
        Frame::Data(data),
        Frame::End(json(end)),
    ]
}

pub(super) fn garbage(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn kind(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "a hello",
        Frame::Head(_) => "a head",
        Frame::Data(_) => "data",
        Frame::End(_) => "an end",
    }
}
