//! One connection to a function, driven by whoever uses it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::target::Stream;

/// Bytes of the head of an answer at most, and of what is read ahead.
const HEAD_LIMIT: usize = 64 << 10;

/// A connection. It does nothing while nobody waits for it.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<Stream, Full<Bytes>>,
    over: bool,
}

/// Why there is no answer.
pub(super) struct Refused {
    /// Whether the function may have the request.
    pub(super) delivered: bool,
    pub(super) error: hyper::Error,
}

impl Link {
    pub(super) async fn new(stream: Stream) -> Result<Self, hyper::Error> {
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_LIMIT);
        let (sender, connection) = builder.handshake(stream).await?;
        Ok(Self {
            sender,
            connection,
            over: false,
        })
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) {
        // Its error reaches whoever waits for an answer or a body.
        self.over = self.over || self.connection.poll_without_shutdown(cx).is_ready();
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Refused> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|cx| {
            self.poll_connection(cx);
            answer.as_mut().poll(cx)
        });
        answer.await.map_err(|mut refused| Refused {
            delivered: refused.take_message().is_none(),
            error: refused.into_error(),
        })
    }

    /// The next frame of an answer's body.
    pub(super) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|cx| {
            self.poll_connection(cx);
            std::pin::Pin::new(&mut *body).poll_frame(cx)
        })
        .await
    }

    /// Whether it can be used once more, now that the answer has been read.
    pub(super) async fn is_reusable(&mut self) -> bool {
        let ready = poll_fn(|cx| {
            self.poll_connection(cx);
            match self.over {
                true => Poll::Ready(false),
                false => self.sender.poll_ready(cx).map(|ready| ready.is_ok()),
            }
        });
        ready.await
    }

    /// Whether nobody has closed it while it was idle.
    pub(super) async fn is_open(&mut self) -> bool {
        let open = poll_fn(|cx| {
            self.poll_connection(cx);
            Poll::Ready(!self.over && self.sender.is_ready())
        });
        open.await
    }

    /// Says that nobody waits for the answer, and waits until the other side has closed, too.
    pub(super) async fn leave(self) {
        drop(self.sender);
        let mut stream = self.connection.into_parts().io.into_inner();
        // What fails here is closed, which is what is wanted.
        let _ = stream.shutdown().await;
        let mut rest = [0; 4096];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    }
}
