//! [`Response`]: what came of an invocation.

mod function_error;
mod trailer;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::error::Result;
use crate::id::{InstanceId, InvocationId};
use crate::invocation::Attributes;
use crate::payload::{ContentType, Payload};
pub use function_error::FunctionError;
pub use trailer::{Outcome, Phase, Timeline, Trailer, Usage};

/// Whether a sandbox had to be started for an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    /// It waited for a sandbox that was started on demand, and was its first.
    Cold,
    /// Its instance had served before.
    Warm,
    /// Its instance had been started ahead of demand and had not served yet.
    Prewarmed,
}

impl fmt::Display for StartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Prewarmed => "prewarmed",
        })
    }
}

/// What came of an [`Invocation`](crate::Invocation); the outcome stands in the trailer of its
/// body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// Of which invocation.
    pub id: InvocationId,
    /// Whether a sandbox had to be started.
    pub start: StartKind,
    /// Which instance answered, where a router says it: what can be told of it is told by its id.
    pub instance: Option<InstanceId>,
    /// What the body is.
    pub content_type: ContentType,
    /// HTTP-like metadata, where the function gives it.
    pub attributes: Attributes,
    /// The bytes, and the trailer.
    pub body: Body,
}

/// A [`Response`] that has arrived in full.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Completed {
    /// Of which invocation.
    pub id: InvocationId,
    /// Whether a sandbox had to be started.
    pub start: StartKind,
    /// Which instance answered, where a router says it.
    pub instance: Option<InstanceId>,
    /// HTTP-like metadata, where the function gives it.
    pub attributes: Attributes,
    /// What the function answered; empty or partial if it failed.
    pub payload: Payload,
    /// How it ended, what it consumed, where the time went.
    pub trailer: Trailer,
}

impl Response {
    /// A response with the given body; warm until the router says otherwise.
    #[inline]
    pub fn new(id: InvocationId, content_type: ContentType, body: Body) -> Self {
        Self {
            id,
            start: StartKind::Warm,
            instance: None,
            content_type,
            attributes: Attributes::new(),
            body,
        }
    }

    /// A whole, successful response.
    pub fn success(id: InvocationId, payload: Payload) -> Self {
        let content_type = payload.content_type().clone();
        Self::new(
            id,
            content_type,
            Body::whole(payload.into_bytes(), Trailer::success()),
        )
    }

    /// A whole response of a function that failed.
    pub fn failure(id: InvocationId, error: FunctionError) -> Self {
        Self::new(
            id,
            ContentType::OCTETS,
            Body::whole(bytes::Bytes::new(), Trailer::failure(error)),
        )
    }

    /// Sets whether a sandbox had to be started.
    #[must_use]
    pub fn with_start(mut self, start: StartKind) -> Self {
        self.start = start;
        self
    }

    /// Replaces the attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Waits for the whole body, `limit` bytes at most.
    ///
    /// # Errors
    /// As [`Body::collect`].
    pub async fn collect(self, limit: usize) -> Result<Completed> {
        let (bytes, trailer) = self.body.collect(limit).await?;
        let payload = Payload::new(bytes, self.content_type);
        Ok(Completed {
            id: self.id,
            start: self.start,
            instance: self.instance,
            attributes: self.attributes,
            payload,
            trailer,
        })
    }
}

impl Completed {
    /// The payload, or the function's error.
    ///
    /// # Errors
    /// The [`FunctionError`] if the function failed.
    pub fn into_result(self) -> Result<Payload, FunctionError> {
        match self.trailer.outcome {
            Outcome::Success => Ok(self.payload),
            Outcome::Failure(error) => Err(error),
        }
    }
}
