//! What the queue keeps, and where it lies in a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::encoding::Stored;
use faas_core::store::{Key, Space};
use faas_core::{
    Attributes, Caller, ContentType, Error, InvocationId, Name, Namespace, Payload, Result,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::payloads::Blob;
use super::{Destination, QueueSettings};

/// Requests, payloads, dead letters, messages, and who owns them.
pub(super) const SPACE: Space = Space::unwatched("invocation-queue");
/// Rung by queues that do not own the requests, for the one that does.
pub(super) const BELL: Space = Space::watched("invocation-queue-bell");

/// A queue in the store, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId {
    /// The tenant boundary.
    pub namespace: Namespace,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where a payload lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// It is empty.
    Nowhere,
    /// Under a key beside the request.
    Store,
    /// In the object store.
    Object(Blob),
}

/// A request that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) target: Destination,
    pub(super) content_type: ContentType,
    pub(super) place: Place,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub(super) attributes: Attributes,
    pub(super) caller: Caller,
    /// A `traceparent`, if there is a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<String>,
    pub(super) idempotency_key: Arc<str>,
    pub(super) accepted: Timestamp,
    pub(super) expires: Timestamp,
    /// How often it has failed.
    pub(super) failures: u32,
    /// How often in a row the platform refused it.
    pub(super) refusals: u32,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_error: Option<String>,
    /// How many requests led to this one by way of destinations.
    pub(super) hops: u32,
    #[serde(default, skip_serializing_if = "QueueSettings::is_default")]
    pub(super) settings: QueueSettings,
}

/// What is stored of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dead {
    pub(super) item: Item,
    pub(super) cause: String,
    pub(super) at: Timestamp,
}

/// What is stored of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) content_type: ContentType,
    pub(super) place: Place,
    pub(super) attributes: Attributes,
    pub(super) at: Timestamp,
}

impl Stored for Item {
    const KIND: &'static str = "queued-invocation";
    const VERSION: u32 = 1;
}

impl Stored for Dead {
    const KIND: &'static str = "dead-letter";
    const VERSION: u32 = 1;
}

impl Stored for Letter {
    const KIND: &'static str = "queue-message";
    const VERSION: u32 = 1;
}

/// A request that has not ended, or failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Queued {
    /// It waits or runs.
    Pending {
        /// When it was submitted.
        accepted: Timestamp,
        /// How often it has failed.
        failures: u32,
        /// When it is tried again, if it failed.
        due: Option<Timestamp>,
        /// Why it failed last.
        last_error: Option<String>,
    },
    /// It is a dead letter.
    Dead(Box<DeadLetter>),
}

/// A request that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The request's id.
    pub id: InvocationId,
    /// What was to be invoked or started.
    pub target: Destination,
    /// What it was given.
    pub payload: Payload,
    /// Its attributes.
    pub attributes: Attributes,
    /// The key that its attempts carried.
    pub idempotency_key: Arc<str>,
    /// When it was submitted.
    pub accepted: Timestamp,
    /// When it failed for good.
    pub failed: Timestamp,
    /// How often it was tried and failed.
    pub failures: u32,
    /// Why it failed.
    pub cause: String,
}

/// Which dead letters.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LetterQuery {
    /// Those behind this one.
    pub after: Option<InvocationId>,
    /// So many at most; 100 if it is zero.
    pub limit: usize,
}

impl LetterQuery {
    /// From the oldest, 100 at most.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those behind `id`.
    #[must_use]
    pub fn after(mut self, id: InvocationId) -> Self {
        self.after = Some(id);
        self
    }

    /// So many at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// A part of the dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterPage {
    /// The letters, oldest requests first.
    pub letters: Vec<DeadLetter>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// A message of a queue in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// What to acknowledge it by.
    pub id: InvocationId,
    /// A response, or the payload of a request that failed.
    pub payload: Payload,
    /// Where it comes from: `faas-source-invocation`, `faas-source`, `faas-outcome`, and
    /// `faas-error` where something failed.
    pub attributes: Attributes,
    /// When it was put there.
    pub at: Timestamp,
}

impl Item {
    /// What its concurrency is counted for.
    pub(super) fn lane(&self) -> Arc<str> {
        match &self.target {
            Destination::Function(function) => {
                format!("f/{}/{}", function.namespace, function.name)
            }
            other => format!("{other}"),
        }
        .into()
    }

    /// The pause until it is due, however the wall clock has jumped.
    pub(super) fn pause(&self, now: Timestamp) -> Duration {
        let due = self.due.map(|due| due.duration_since(now));
        let pause = due.and_then(|pause| Duration::try_from(pause).ok());
        pause.unwrap_or_default().min(self.settings.longest_pause)
    }
}

pub(super) fn items() -> Key {
    Key::new("item")
}

pub(super) fn item(id: InvocationId) -> Key {
    items().child(id.to_string())
}

pub(super) fn payload(id: InvocationId) -> Key {
    Key::new("payload").child(id.to_string())
}

pub(super) fn letters() -> Key {
    Key::new("dead")
}

pub(super) fn letter(id: InvocationId) -> Key {
    letters().child(id.to_string())
}

pub(super) fn all_messages() -> Key {
    Key::new("message")
}

pub(super) fn queue(queue: &QueueId) -> Key {
    let namespace = all_messages().child(queue.namespace.as_str());
    namespace.child(queue.name.as_str())
}

pub(super) fn message(queue_id: &QueueId, id: InvocationId) -> Key {
    queue(queue_id).child(id.to_string())
}

/// The id that a key ends with.
pub(super) fn id_of(key: &Key) -> Result<InvocationId> {
    let last = key.parts().next_back().map(std::str::from_utf8);
    let strange = || Error::internal("read queue", format!("{key:?} names no invocation"));
    last.and_then(std::result::Result::ok)
        .ok_or_else(strange)?
        .parse()
}
