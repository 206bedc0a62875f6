//! What is stored, and in which version of its form.

use bytes::Bytes;
use faas_core::encoding::Stored;
use serde::{Deserialize, Serialize};

use crate::execution_store::model::EngineEvent;
use crate::execution_store::{BlobRef, ExecutionHead, TransitionNumber};
use crate::history::HistoryRecord;

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct StoredHead(pub(super) ExecutionHead);

impl Stored for StoredHead {
    const KIND: &'static str = "execution-head";
    const VERSION: u32 = 1;
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredTransition {
    pub(super) number: TransitionNumber,
    pub(super) events: Vec<EngineEvent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) records: Vec<HistoryRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) blobs: Vec<BlobRef>,
}

impl Stored for StoredTransition {
    const KIND: &'static str = "execution-transition";
    const VERSION: u32 = 1;
}

/// The engine's snapshots are text (its encoding is JSON); others are kept as numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Bytes(Bytes),
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredSnapshot {
    number: TransitionNumber,
    content: Content,
}

impl Stored for StoredSnapshot {
    const KIND: &'static str = "execution-snapshot";
    const VERSION: u32 = 1;
}

impl StoredSnapshot {
    pub(super) fn new(number: TransitionNumber, snapshot: &Bytes) -> Self {
        let content = match std::str::from_utf8(snapshot) {
            Ok(text) => Content::Text(text.into()),
            Err(_) => Content::Bytes(snapshot.clone()),
        };
        Self { number, content }
    }

    pub(super) fn into_parts(self) -> (TransitionNumber, Option<Bytes>) {
        let bytes = match self.content {
            Content::Text(text) => text.into(),
            Content::Bytes(bytes) => bytes,
        };
        (self.number, Some(bytes))
    }
}
