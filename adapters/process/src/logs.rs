//! The last lines that a sandbox wrote: bounded in number and in length.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faas_core::{Clock, Error, Result};
use faas_resource::agent::{LogLine, LogStream};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::broadcast;

/// How many lines and how many bytes of each are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) lines: usize,
    pub(crate) line_bytes: usize,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<LogLine>,
    /// `None` once both streams have ended.
    followers: Option<broadcast::Sender<LogLine>>,
}

/// The lines of one sandbox.
#[derive(Debug)]
pub(crate) struct Logs {
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
}

impl Logs {
    pub(crate) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let ring = Ring {
            lines: VecDeque::new(),
            followers: Some(broadcast::Sender::new(bounds.lines)),
        };
        Self {
            bounds,
            clock,
            ring: Mutex::new(ring),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, stream: LogStream, text: Vec<u8>) {
        let line = LogLine {
            at: self.clock.wall(),
            stream,
            text: Bytes::from(text),
        };
        let mut ring = self.lock();
        if ring.lines.len() == self.bounds.lines {
            ring.lines.pop_front();
        }
        if let Some(followers) = &ring.followers {
            // An error means that nobody follows.
            let _ = followers.send(line.clone());
        }
        ring.lines.push_back(line);
    }

    /// Ends the streams of all followers after what they have not read yet.
    pub(crate) fn close(&self) {
        self.lock().followers = None;
    }

    /// What is kept, then what comes.
    pub(crate) fn read(&self, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        // Under one lock, so that no line is missed or read twice.
        let ring = self.lock();
        let kept = stream::iter(ring.lines.clone().into_iter().map(Ok));
        let followers = ring.followers.as_ref().filter(|_| follow);
        match followers.map(broadcast::Sender::subscribe) {
            Some(coming) => kept.chain(stream::unfold(coming, next)).boxed(),
            None => kept.boxed(),
        }
    }

    /// Reads lines until the stream ends; of a line that is too long, its beginning.
    pub(crate) async fn drain(&self, kind: LogStream, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(read) = from.fill_buf().await {
            if read.is_empty() {
                break;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            let room = self.bounds.line_bytes - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            from.consume(used);
            if end.is_some() {
                self.push(kind, std::mem::take(&mut line));
            }
        }
        if !line.is_empty() {
            self.push(kind, line);
        }
    }
}

type Coming = broadcast::Receiver<LogLine>;

async fn next(mut coming: Coming) -> Option<(Result<LogLine>, Coming)> {
    match coming.recv().await {
        Ok(line) => Some((Ok(line), coming)),
        Err(broadcast::error::RecvError::Lagged(missed)) => {
            let message = format!("the reader fell behind and missed {missed} lines");
            Some((Err(Error::exhausted("follow logs", message)), coming))
        }
        Err(broadcast::error::RecvError::Closed) => None,
    }
}
