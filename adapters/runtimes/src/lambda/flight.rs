//! One invocation on its way: to the runtime, in its hands, and its answer back.

use bytes::Bytes;
use faas_core::{Attributes, ContentType, FunctionError};
use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};

use crate::lifecycle::Busy;
use crate::sandbox_end::SandboxEnd;

/// How an answer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) content_type: ContentType,
    pub(super) attributes: Attributes,
}

/// What came of an invocation.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(ContentType, Bytes),
    /// It comes over time: its chunks, then its end.
    Stream(Head, mpsc::Receiver<Bytes>, oneshot::Receiver<Verdict>),
    Ended(Verdict),
    /// The sandbox was gone before it had the invocation.
    Undelivered(SandboxEnd),
}

/// How an invocation that the runtime had has ended.
#[derive(Debug)]
pub(super) enum Verdict {
    Success,
    Failed(FunctionError),
    /// The answer broke off; the sandbox may be gone, which is told later.
    CutShort(String),
    /// The sandbox is gone.
    Gone(SandboxEnd),
}

/// The slot of an invocation; whoever waits on the other end of `watched` learns of its end.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) _busy: Busy,
    pub(super) _watched: oneshot::Sender<()>,
}

/// An invocation on its way to the runtime.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) flight: Flight,
}

/// Who waits for the answer.
#[derive(Debug)]
enum Reply {
    /// For all of it.
    Answer(oneshot::Sender<Answer>),
    /// For its end: it is being streamed.
    Verdict(oneshot::Sender<Verdict>),
    Nobody,
}

/// An invocation that the runtime has.
#[derive(Debug)]
pub(super) struct Flight {
    _slot: Slot,
    reply: Reply,
    /// Whether the runtime has begun to answer: it can do so once.
    pub(super) claimed: bool,
    /// Bytes of the answer at most.
    pub(super) limit: u64,
}

impl Flight {
    pub(super) fn new(slot: Slot, reply: oneshot::Sender<Answer>, limit: u64) -> Self {
        Self {
            _slot: slot,
            reply: Reply::Answer(reply),
            claimed: false,
            limit,
        }
    }

    // An error of a send means that nobody waits any longer: Lambda cannot cancel, so it is no fault.

    pub(super) fn whole(&mut self, content_type: ContentType, bytes: Bytes) {
        match std::mem::replace(&mut self.reply, Reply::Nobody) {
            Reply::Answer(reply) => drop(reply.send(Answer::Whole(content_type, bytes))),
            other => self.reply = other,
        }
    }

    /// Begins a stream; where its chunks go.
    pub(super) fn stream(&mut self, head: Head) -> Option<mpsc::Sender<Bytes>> {
        let Reply::Answer(reply) = std::mem::replace(&mut self.reply, Reply::Nobody) else {
            return None;
        };
        // One ahead of its reader.
        let (chunks, read) = mpsc::channel(1);
        let (verdict, end) = oneshot::channel();
        self.reply = Reply::Verdict(verdict);
        drop(reply.send(Answer::Stream(head, read, end)));
        Some(chunks)
    }

    pub(super) fn end(&mut self, verdict: Verdict) {
        match std::mem::replace(&mut self.reply, Reply::Nobody) {
            Reply::Answer(reply) => drop(reply.send(Answer::Ended(verdict))),
            Reply::Verdict(reply) => drop(reply.send(verdict)),
            Reply::Nobody => {}
        }
    }

    /// It never reached the runtime.
    pub(super) fn undelivered(&mut self, end: SandboxEnd) {
        if let Reply::Answer(reply) = std::mem::replace(&mut self.reply, Reply::Nobody) {
            drop(reply.send(Answer::Undelivered(end)));
        }
    }
}
