//! [`Subject`]: the function that the suites run.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{ContentType, FunctionError, Handler, HandlerCall, HandlerReply, Payload};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;

/// The name of the error that a [`Subject`] fails with when it is told to.
pub const ASKED: &str = "Conformance.Asked";

/// The function that the suites run: a guest of the contract under test serves it, in this process.
///
/// It does what the text of its payload says: `echo …` answers what follows, `fail` fails,
/// `bytes N` answers so many bytes and `stream N` streams them, `hold` answers when the test lets it
/// go on, `wait` streams `begun` at once and the rest then.
#[derive(Clone)]
pub struct Subject(Arc<Signals>);

struct Signals {
    begun: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Default for Subject {
    fn default() -> Self {
        Self(Arc::new(Signals {
            begun: watch::Sender::new(0),
            open: watch::Sender::new(false),
        }))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

impl Subject {
    /// Lets all calls go on that wait, and all later ones.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Ends when so many calls have begun, over all its life.
    pub async fn begun(&self, calls: usize) {
        let mut begun = self.0.begun.subscribe();
        let reached = begun.wait_for(|begun| *begun >= calls).await;
        assert!(reached.is_ok(), "we hold the sender");
    }

    /// How many calls have begun so far.
    pub fn count(&self) -> usize {
        *self.0.begun.borrow()
    }

    fn opened(&self) -> impl Future<Output = ()> + use<> {
        let mut open = self.0.open.subscribe();
        async move {
            if open.wait_for(|open| *open).await.is_err() {
                // The test is over: nothing lets it go on any more.
                std::future::pending().await
            }
        }
    }
}

fn streamed(chunks: BoxStream<'static, Bytes>) -> HandlerReply {
    HandlerReply::Stream(ContentType::TEXT, chunks.map(Ok).boxed())
}

#[async_trait]
impl Handler for Subject {
    async fn call(&self, call: HandlerCall) -> Result<HandlerReply, FunctionError> {
        self.0.begun.send_modify(|begun| *begun += 1);
        let text = call.payload.to_text()?;
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        let size = || rest.parse().unwrap_or(0);
        Ok(match command {
            "echo" => Payload::text(rest.to_owned()).into(),
            "bytes" => Payload::text("x".repeat(size())).into(),
            "stream" => {
                let size: usize = size();
                let halves = [size / 2, size - size / 2];
                streamed(stream::iter(halves.map(|half| "x".repeat(half).into())).boxed())
            }
            "hold" => {
                self.opened().await;
                Payload::text("held").into()
            }
            "wait" => {
                let rest = self.opened();
                let rest = stream::once(async move {
                    rest.await;
                    Bytes::from_static(b" and done")
                });
                let begun = stream::iter([Bytes::from_static(b"begun")]);
                streamed(begun.chain(rest).boxed())
            }
            _ => return Err(FunctionError::new(ASKED, "it was asked to")),
        })
    }
}
