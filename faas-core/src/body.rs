//! [`Body`]: the bytes of a response, whole or streamed, ending with one [`Trailer`].

use std::fmt;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use crate::error::{Error, Result};
use crate::response::Trailer;

/// A part of a [`Body`].
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "the common case must not cost an allocation"
)]
pub enum Frame {
    /// Some bytes.
    Data(Bytes),
    /// The end: exactly one, and nothing after it.
    Trailer(Trailer),
}

/// The stream behind a body that is not whole yet.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Frame>> + Send>>;

/// The body of a response.
///
/// # Contract
/// - It yields data and ends with exactly one trailer, or with an error and nothing after it.
/// - A streamed body owns the slot of its instance: dropping it cancels the call.
/// - It is only read as fast as its reader reads: back-pressure reaches the function.
pub struct Body(Repr);

enum Repr {
    // Boxed: a response is handed on several times, and each time that would cost more.
    Whole(Bytes, Box<Trailer>),
    Stream(FrameStream),
}

impl Body {
    /// A body that is complete; its function is done.
    #[inline]
    pub fn whole(bytes: impl Into<Bytes>, trailer: Trailer) -> Self {
        Self(Repr::Whole(bytes.into(), Box::new(trailer)))
    }

    /// A body that arrives over time. `frames` must keep the [contract](Body).
    pub fn stream(frames: impl Stream<Item = Result<Frame>> + Send + 'static) -> Self {
        Self(Repr::Stream(Box::pin(frames)))
    }

    /// Whether all of it is here.
    pub fn is_whole(&self) -> bool {
        matches!(self.0, Repr::Whole(..))
    }

    /// The trailer, if the body is whole.
    #[inline]
    pub fn trailer(&self) -> Option<&Trailer> {
        match &self.0 {
            Repr::Whole(_, trailer) => Some(trailer),
            Repr::Stream(_) => None,
        }
    }

    /// As [`trailer`](Self::trailer), to be completed.
    #[inline]
    pub fn trailer_mut(&mut self) -> Option<&mut Trailer> {
        match &mut self.0 {
            Repr::Whole(_, trailer) => Some(trailer),
            Repr::Stream(_) => None,
        }
    }

    /// Has `change` see the end as it passes by, now if the body is whole: the trailer, whose fields
    /// it may change, or the error that comes instead. If neither is read, it is dropped.
    #[must_use]
    pub fn map_end(
        self,
        change: impl FnOnce(Result<&mut Trailer, &Error>) + Send + 'static,
    ) -> Self {
        match self.0 {
            Repr::Whole(bytes, mut trailer) => {
                change(Ok(&mut trailer));
                Self(Repr::Whole(bytes, trailer))
            }
            Repr::Stream(frames) => {
                let mut change = Some(change);
                Self::stream(frames.map(move |mut frame| {
                    let end = match &mut frame {
                        Ok(Frame::Data(_)) => None,
                        Ok(Frame::Trailer(trailer)) => Some(Ok(trailer)),
                        Err(error) => Some(Err(&*error)),
                    };
                    if let Some(end) = end
                        && let Some(change) = change.take()
                    {
                        change(end);
                    }
                    frame
                }))
            }
        }
    }

    /// All frames.
    pub fn into_frames(self) -> FrameStream {
        match self.0 {
            Repr::Whole(bytes, trailer) => {
                let data = (!bytes.is_empty()).then_some(Frame::Data(bytes));
                let frames = data.into_iter().chain([Frame::Trailer(*trailer)]);
                Box::pin(stream::iter(frames.map(Ok)))
            }
            Repr::Stream(frames) => frames,
        }
    }

    /// Waits for all of it, `limit` bytes at most.
    ///
    /// # Errors
    /// `Exhausted` over the limit; `Internal` if the stream ends without a trailer; else whatever
    /// error the stream ended with.
    pub async fn collect(self, limit: usize) -> Result<(Bytes, Trailer)> {
        let too_long = || {
            let message = format!("the response is longer than {limit} bytes");
            Error::exhausted("read response", message).with_retry(crate::Retry::Never)
        };
        let mut frames = match self.0 {
            Repr::Whole(bytes, trailer) if bytes.len() <= limit => return Ok((bytes, *trailer)),
            Repr::Whole(..) => return Err(too_long()),
            Repr::Stream(frames) => frames,
        };
        let mut parts = BytesMut::new();
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Data(data) if parts.len() + data.len() > limit => return Err(too_long()),
                Frame::Data(data) => parts.extend_from_slice(&data),
                Frame::Trailer(trailer) => return Ok((parts.freeze(), trailer)),
            }
        }
        Err(Error::internal(
            "read response",
            "the stream ended without a trailer",
        ))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Whole(bytes, trailer) => f
                .debug_tuple("Whole")
                .field(&bytes.len())
                .field(trailer)
                .finish(),
            Repr::Stream(_) => f.write_str("Stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Trailer;

    fn parts(parts: &[&'static str], end: bool) -> Body {
        let data = parts
            .iter()
            .map(|part| Ok(Frame::Data(Bytes::from_static(part.as_bytes()))));
        let trailer = end.then(|| Ok(Frame::Trailer(Trailer::success())));
        Body::stream(stream::iter(data.chain(trailer).collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn collects_to_the_limit_and_no_further() {
        let (bytes, _) = parts(&["ab", "cd"], true).collect(4).await.unwrap();
        assert_eq!(bytes, "abcd");
        let error = parts(&["ab", "cd"], true).collect(3).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Exhausted);
    }

    #[tokio::test]
    async fn a_missing_trailer_is_an_error() {
        assert!(parts(&["ab"], false).collect(9).await.is_err());
    }

    #[tokio::test]
    async fn a_passing_trailer_can_be_changed() {
        let body = parts(&["x"], true).map_end(|end| {
            end.unwrap().usage.duration = std::time::Duration::MAX;
        });
        let (_, trailer) = body.collect(9).await.unwrap();
        assert_eq!(trailer.usage.duration, std::time::Duration::MAX);
    }
}
