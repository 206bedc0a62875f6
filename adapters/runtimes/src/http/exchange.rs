//! One call over one connection.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use faas_core::{Body, Error, Frame, FunctionError, InvocationId, Response, Result, Retry};
use futures::future::BoxFuture;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;

use super::head::{self, Head};
use super::instance::{Fate, Shared};
use super::link::Link;
use crate::lifecycle::{Busy, unavailable};
use crate::limit::Limit;

/// What has that many bytes at most is answered at once; more is passed on as it comes.
const WHOLE: u64 = 1 << 20;
/// Bytes of a failure's text at most.
const TEXT: usize = 4 << 10;

/// Why a call ended before its end.
pub(super) enum Stop {
    Failed(FunctionError),
    Lost(Error),
}

/// A call that has a connection. Dropped before its end it closes the connection, which cancels the
/// call; the slot is free when the function has closed it, too.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) limit: Limit,
    pub(super) sleep: BoxFuture<'static, ()>,
    pub(super) held: Option<(Link, Busy)>,
    /// Whether the connection has served before: the function may just have closed it.
    pub(super) reused: bool,
    pub(super) total: u64,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some((link, busy)) = self.held.take() else {
            return;
        };
        let lifecycle = self.shared.lifecycle.clone();
        let late = self.limit.sleep_past_timeout(self.shared.grace);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return lifecycle.fail("its call was dropped where nobody can wait for it to end");
        };
        runtime.spawn(async move {
            let failed = lifecycle.failed();
            tokio::select! {
                biased;
                () = link.leave() => {}
                _ = failed => {}
                () = late => lifecycle.fail("a cancelled call does not end"),
            }
            drop(busy);
        });
    }
}

impl Exchange {
    fn late(&self) -> Stop {
        self.limit.expired().map_or_else(Stop::Lost, Stop::Failed)
    }

    /// The connection broke: the function is gone, or has broken off.
    async fn broken(&mut self, delivered: bool, error: &hyper::Error) -> Stop {
        if delivered && is_garbage(error) {
            self.shared
                .lifecycle
                .fail(format!("it does not speak HTTP: {error}"));
            let kind = FunctionError::PROTOCOL;
            return Stop::Failed(FunctionError::new(kind, error.to_string()));
        }
        let instance = self.shared.lifecycle.id();
        let why = format!("its connection broke: {error}");
        let fate = tokio::select! {
            biased;
            fate = self.shared.fate(&self.limit) => fate,
            () = &mut self.sleep => return self.late(),
        };
        match fate {
            Fate::Ended(end) if delivered => end
                .delivered(instance)
                .map_or_else(Stop::Lost, Stop::Failed),
            Fate::Ended(end) => Stop::Lost(end.undelivered(instance)),
            // It serves others, and has broken off this call.
            Fate::Serves if delivered && !self.reused => {
                Stop::Failed(FunctionError::new(FunctionError::PROTOCOL, why))
            }
            fate => {
                if matches!(fate, Fate::Gone) {
                    self.shared.lifecycle.fail(why.clone());
                }
                let retry = if delivered {
                    Retry::Ambiguous
                } else {
                    Retry::Safe
                };
                Stop::Lost(unavailable(instance, why, retry))
            }
        }
    }

    /// Sends the request; the head of the answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Stop> {
        let Some((link, _)) = &mut self.held else {
            return Err(self.late());
        };
        let answer = tokio::select! {
            biased;
            answer = link.send(request) => answer,
            () = &mut self.sleep => return Err(self.late()),
        };
        match answer {
            Ok(answer) => {
                // Whatever breaks from now on is not the old age of a connection.
                self.reused = false;
                Ok(answer)
            }
            Err(refused) => Err(self.broken(refused.delivered, &refused.error).await),
        }
    }

    /// The next data of the answer; none at its end.
    async fn data(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Stop> {
        loop {
            let Some((link, _)) = &mut self.held else {
                return Ok(None);
            };
            let frame = tokio::select! {
                // The time first: frames may come for ever.
                biased;
                () = &mut self.sleep => return Err(self.late()),
                frame = link.frame(body) => frame,
            };
            let data = match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.broken(true, &error).await),
                // Trailers say nothing here.
                Some(Ok(frame)) => frame.into_data().ok(),
            };
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                self.total = self.total.saturating_add(data.len() as u64);
                self.limit.check(self.total).map_err(Stop::Failed)?;
                return Ok(Some(data));
            }
        }
    }

    /// The answer has been read: the function is idle.
    async fn finish(&mut self) {
        if let Some((mut link, busy)) = self.held.take() {
            let reusable = tokio::select! {
                biased;
                reusable = link.is_reusable() => reusable,
                () = &mut self.sleep => false,
            };
            if reusable {
                self.shared.put(link);
            }
            drop(busy);
        }
    }

    pub(super) async fn respond(
        self,
        id: InvocationId,
        answer: http::Response<Incoming>,
    ) -> Result<Response> {
        let (parts, body) = answer.into_parts();
        let head = head::answer(parts.status, &parts.headers);
        let whole = head.length.is_some_and(|length| length <= WHOLE);
        match whole {
            true => self.whole(id, head, body).await,
            false => Ok(self.stream(id, head, body)),
        }
    }

    async fn whole(mut self, id: InvocationId, head: Head, mut body: Incoming) -> Result<Response> {
        let mut all = BytesMut::new();
        let result = loop {
            match self.data(&mut body).await {
                Ok(Some(data)) => all.extend_from_slice(&data),
                Ok(None) => {
                    self.finish().await;
                    break head.failure.map_or(Ok(()), |error| Err(told(error, &all)));
                }
                Err(Stop::Failed(error)) => break Err(error),
                Err(Stop::Lost(error)) => return Err(error),
            }
        };
        let body = Body::whole(all.freeze(), self.limit.trailer(result));
        Ok(Response::new(id, head.content_type, body).with_attributes(head.attributes))
    }

    fn stream(self, id: InvocationId, head: Head, body: Incoming) -> Response {
        let state = Some((self, body, BytesMut::new(), head.failure));
        let frames = futures::stream::unfold(state, |state| async move {
            let (mut exchange, mut body, mut text, failure) = state?;
            let result = match exchange.data(&mut body).await {
                Ok(Some(data)) => {
                    let room = TEXT.saturating_sub(text.len());
                    if failure.is_some() {
                        text.extend_from_slice(&data[..data.len().min(room)]);
                    }
                    return Some((Ok(Frame::Data(data)), Some((exchange, body, text, failure))));
                }
                Ok(None) => {
                    exchange.finish().await;
                    failure.map_or(Ok(()), |error| Err(told(error, &text)))
                }
                Err(Stop::Failed(error)) => Err(error),
                Err(Stop::Lost(error)) => return Some((Err(error), None)),
            };
            Some((Ok(Frame::Trailer(exchange.limit.trailer(result))), None))
        });
        let body = Body::stream(frames);
        Response::new(id, head.content_type, body).with_attributes(head.attributes)
    }
}

/// A failure in the words of the function.
fn told(mut error: FunctionError, text: &[u8]) -> FunctionError {
    let text = String::from_utf8_lossy(&text[..text.len().min(TEXT)]);
    if !text.is_empty() {
        error.message = text.into_owned();
    }
    error
}

/// Whether what came was no HTTP, as opposed to the end of the connection.
fn is_garbage(error: &hyper::Error) -> bool {
    error.is_parse() || error.is_parse_too_large() || error.is_parse_status()
}
