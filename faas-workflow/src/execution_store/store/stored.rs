//! What is stored, and in which version of its form.

use bytes::Bytes;
use faas_core::encoding::Stored;
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::execution_store::mailbox;
use crate::execution_store::{EngineEvent, ExecutionHead, TransitionNumber};
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
}

impl Stored for StoredTransition {
    const KIND: &'static str = "execution-transition";
    const VERSION: u32 = 1;
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredLetter {
    Waits(mailbox::Content),
    Back(mailbox::SentBack),
}

impl Stored for StoredLetter {
    const KIND: &'static str = "execution-letter";
    const VERSION: u32 = 1;
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
        let content = snapshot.into();
        Self { number, content }
    }

    pub(super) fn into_parts(self) -> (TransitionNumber, Option<Bytes>) {
        (self.number, Some(self.content.into()))
    }
}
