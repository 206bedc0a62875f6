//! One call of an instance, from its submission to the end of its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{Body, Frame, FunctionError, Response, Result};
use faas_core::{InvocationId, Trailer};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::api::Api;
use super::flight::{Answer, Verdict};
use crate::lifecycle::Lifecycle;
use crate::limit::Limit;
use crate::sandbox_end::SandboxEnd;

/// A call. Dropped, it is taken out of the queue if the runtime does not have it yet.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) limit: Limit,
    pub(super) grace: Duration,
    /// As the runtime knows it.
    pub(super) id: String,
    pub(super) sleep: BoxFuture<'static, ()>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.api.abandon(&self.id);
    }
}

fn lost() -> Verdict {
    Verdict::Gone(SandboxEnd::unreachable("its sandbox is gone"))
}

impl Call {
    pub(super) async fn respond(
        mut self,
        id: InvocationId,
        answer: oneshot::Receiver<Answer>,
    ) -> Result<Response> {
        let answer = tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Answer::Ended(lost())),
            () = &mut self.sleep => return Ok(self.limit.failure(id, self.expired()?)),
        };
        match answer {
            Answer::Whole(content_type, bytes) => {
                let body = Body::whole(bytes, self.limit.trailer(Ok(())));
                Ok(Response::new(id, content_type, body))
            }
            Answer::Stream(head, chunks, verdict) => {
                let body = self.body(chunks, verdict);
                Ok(Response::new(id, head.content_type, body).with_attributes(head.attributes))
            }
            Answer::Ended(verdict) => {
                let trailer = self.trailer(verdict).await?;
                let body = Body::whole(Bytes::new(), trailer);
                Ok(Response::new(id, faas_core::ContentType::OCTETS, body))
            }
            Answer::Undelivered(end) => Err(end.undelivered(self.lifecycle.id())),
        }
    }

    /// Its time is over.
    fn expired(&self) -> Result<FunctionError> {
        let delivered = self.api.abandon(&self.id);
        let error = self.limit.expired()?;
        if delivered {
            // Lambda cannot cancel: only the end of its sandbox ends it.
            self.lifecycle.fail(error.to_string());
            self.api.forget(&self.id);
        }
        Ok(error)
    }

    async fn trailer(&mut self, verdict: Verdict) -> Result<Trailer> {
        let instance = self.lifecycle.id();
        let result = match verdict {
            Verdict::Success => Ok(()),
            Verdict::Failed(error) => Err(error),
            Verdict::Gone(end) => Err(end.delivered(instance)?),
            // The connection of a runtime that exits closes before anybody can say that it exited.
            Verdict::CutShort(why) => tokio::select! {
                biased;
                end = self.api.ended() => Err(end.delivered(instance)?),
                () = self.limit.pause(self.grace) => Err(cut_short(&why)),
                () = &mut self.sleep => Err(cut_short(&why)),
            },
        };
        Ok(self.limit.trailer(result))
    }

    /// The body of an answer that comes over time.
    fn body(self, chunks: mpsc::Receiver<Bytes>, verdict: oneshot::Receiver<Verdict>) -> Body {
        let state = Some((self, chunks, verdict));
        Body::stream(futures::stream::unfold(state, |state| async move {
            let (mut call, mut chunks, mut verdict) = state?;
            let chunk = tokio::select! {
                // The time first: chunks may come for ever.
                biased;
                () = &mut call.sleep => return Some((call.late(), None)),
                chunk = chunks.recv() => chunk,
            };
            if let Some(data) = chunk {
                return Some((Ok(Frame::Data(data)), Some((call, chunks, verdict))));
            }
            let verdict = tokio::select! {
                biased;
                verdict = &mut verdict => verdict.unwrap_or_else(|_| lost()),
                () = &mut call.sleep => return Some((call.late(), None)),
            };
            Some((call.trailer(verdict).await.map(Frame::Trailer), None))
        }))
    }

    fn late(&self) -> Result<Frame> {
        let error = self.expired()?;
        Ok(Frame::Trailer(self.limit.trailer(Err(error))))
    }
}

fn cut_short(why: &str) -> FunctionError {
    let message = format!("its answer was cut short: {why}");
    FunctionError::new(FunctionError::PROTOCOL, message)
}
