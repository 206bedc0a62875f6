//! What one turn stores of an execution.

use bytes::Bytes;
use faas_core::encoding::{self, Stored};
use faas_core::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ExecutionCore;
use super::tasks::SavedTasks;
use crate::content::Content;
use crate::execution_store::{Append, Epoch};

/// A snapshot is made after at least so many events, and when as many bytes of events as the last
/// snapshot had would be replayed, about.
pub(super) const SNAPSHOT_EVENTS: usize = 256;

#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) program: Content,
    pub(super) tasks: SavedTasks,
}

impl Stored for Snapshot {
    const KIND: &'static str = "engine-snapshot";
    const VERSION: u32 = 1;
}

impl ExecutionCore {
    /// Everything that replay must give again, as bytes: equal histories give equal bytes.
    ///
    /// # Errors
    /// The program's own.
    pub fn save(&self) -> Result<Bytes> {
        let missing = || Error::internal("save execution", "it has not begun");
        let state = self.state.as_ref().ok_or_else(missing)?;
        let program = Content::from(&self.program.save(state)?);
        let tasks = self.tasks.save();
        encoding::encode(&Snapshot { program, tasks })
    }

    /// What is not yet stored, as one transition; `None` if all is.
    pub fn take_append(&mut self, epoch: Epoch, wall: Timestamp) -> Option<Append> {
        if self.events.is_empty() {
            return None;
        }
        self.head.transition = self.head.transition.next();
        self.head.epoch = epoch;
        self.head.updated = wall;
        self.since_snapshot += self.events.len();
        let events = std::mem::take(&mut self.events);
        let mut append = Append::new(self.head.clone(), events);
        append.records = std::mem::take(&mut self.records);
        append.letters = std::mem::take(&mut self.letters);
        append.before = self.stored.replace(self.head.standing());
        let due = self.tasks.next_due();
        if due != self.stored_due {
            append.due_cleared = std::mem::replace(&mut self.stored_due, due);
            append.due_set = due;
        }
        if self.since_snapshot >= self.snapshot_after && self.head.ending.is_none() {
            append.snapshot = self.snapshot();
        }
        Some(append)
    }

    /// A snapshot, unless the program cannot give one: then replay is longer, and that is all.
    fn snapshot(&mut self) -> Option<Bytes> {
        self.since_snapshot = 0;
        match self.save() {
            Ok(snapshot) => {
                // An event is some hundred bytes: so the cost of snapshots stays in proportion.
                self.snapshot_after = SNAPSHOT_EVENTS.max(snapshot.len() / 128);
                Some(snapshot)
            }
            Err(error) => {
                tracing::warn!(execution = %self.head.id, %error, "no snapshot was made");
                None
            }
        }
    }
}
