//! One space of a [`MemoryStore`](super::MemoryStore): its entries, and its last changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::store::{Change, Entry, Key, Page, Revision, Scan, Version};

/// How many changes of a watched space are kept for watches that come late.
const KEPT_CHANGES: usize = 65_536;
/// How many bytes of changed keys and values a watched space keeps for them.
const KEPT_BYTES: usize = 64 << 20;
/// How many changes a watch takes at a time.
const WATCH_PAGE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) entries: BTreeMap<Key, (Bytes, Version)>,
    changes: VecDeque<Change>,
    changed_bytes: usize,
    compacted: Revision,
    pub(super) revision: watch::Sender<Revision>,
}

pub(super) fn entry((key, (value, version)): (&Key, &(Bytes, Version))) -> Entry {
    Entry {
        key: key.clone(),
        value: value.clone(),
        version: *version,
    }
}

/// What keeping a change costs, near enough.
fn size(change: &Change) -> usize {
    let value = change.value.as_ref().map_or(0, |(value, _)| value.len());
    change.key.as_bytes().len() + value
}

impl Shelf {
    pub(super) fn page(
        &self,
        Scan {
            range,
            limit,
            reverse,
            ..
        }: Scan,
    ) -> Page {
        let revision = *self.revision.borrow();
        // `BTreeMap::range` panics on a range that ends before it begins.
        if range.end.as_ref().is_some_and(|end| *end <= range.start) {
            return Page {
                revision,
                ..Page::default()
            };
        }
        let end = range.end.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.entries.range((Bound::Included(range.start), end));
        // One more than asked for tells whether there is more.
        let wanted = limit.saturating_add(1);
        let mut entries: Vec<Entry> = if reverse {
            found.rev().take(wanted).map(entry).collect()
        } else {
            found.take(wanted).map(entry).collect()
        };
        let more = entries.len() > limit;
        entries.truncate(limit);
        Page {
            entries,
            revision,
            more,
        }
    }

    pub(super) fn record(&mut self, change: Change) {
        self.changed_bytes += size(&change);
        self.changes.push_back(change);
    }

    pub(super) fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(*self.revision.borrow()));
        self.drop_compacted();
    }

    fn drop_compacted(&mut self) {
        while let Some(change) = self.changes.front()
            && change.revision <= self.compacted
        {
            self.changed_bytes -= size(change);
            self.changes.pop_front();
        }
    }

    /// Drops the oldest commits over the bounds, each as a whole.
    pub(super) fn trim(&mut self) {
        while self.changes.len() > KEPT_CHANGES || self.changed_bytes > KEPT_BYTES {
            let Some(oldest) = self.changes.front() else {
                return;
            };
            self.compacted = oldest.revision;
            self.drop_compacted();
        }
    }

    /// The next changes under `prefix` that came after revision `after`, about `WATCH_PAGE` of
    /// them but never half a commit; and the revision up to which the space has now been read.
    pub(super) fn changes_after(
        &self,
        after: Revision,
        prefix: &Key,
    ) -> Result<(Vec<Change>, Revision)> {
        if after < self.compacted {
            let message = format!(
                "changes after revision {} are gone; a watch can begin at revision {}",
                after.0, self.compacted.0
            );
            return Err(Error::compacted("watch", message));
        }
        let start = self
            .changes
            .partition_point(|change| change.revision <= after);
        let mut page = Vec::new();
        let mut seen = after;
        for change in self.changes.range(start..) {
            if page.len() >= WATCH_PAGE && change.revision > seen {
                return Ok((page, seen));
            }
            seen = change.revision;
            if change.key.starts_with(prefix) {
                page.push(change.clone());
            }
        }
        Ok((page, seen.max(*self.revision.borrow())))
    }
}
