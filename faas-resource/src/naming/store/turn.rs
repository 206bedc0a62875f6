//! One change of names at a time, so that the revision of the next one is known beforehand.

use faas_core::Result;
use faas_core::store::{Batch, KeyRange, Precondition, Revision, Scan};

use super::layout::{NAMES, turn_key};
use super::{Names, as_read};

/// The right to make the next change, if nobody is faster.
///
/// A store answers a commit with its revision, but a record must hold it already. So every change
/// demands that the turn's key stands as it was read together with the revision of the space: then
/// no other change lies between, and the new revision is at least one higher.
#[derive(Debug)]
pub(super) struct Turn {
    before: Revision,
    unchanged: Precondition,
}

impl Names {
    pub(super) async fn turn(&self) -> Result<Turn> {
        let scan = Scan::new(NAMES, KeyRange::prefix(turn_key())).limit(1);
        let page = self.store.scan(scan).await?;
        Ok(Turn {
            before: page.revision,
            unchanged: as_read(page.entries.first()),
        })
    }
}

impl Turn {
    /// The revision of the change: above all before it and not above the store's own.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.before.0.saturating_add(1))
    }

    /// The batch, to happen only if it is still our turn.
    pub(super) fn take(self, batch: Batch) -> Batch {
        batch.put(NAMES, turn_key(), "", self.unchanged)
    }
}
