//! [`Store`]: the ordered key-value store under everything that lasts.

pub mod batch;
pub mod key;
pub mod memory;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::Result;

pub use batch::{
    AmbiguousCommit, Batch, BatchId, BatchOutcome, Committed, Operation, Precondition,
};
pub use key::{Key, KeyRange, Space};
pub use memory::MemoryStore;

/// What `commit` promises by its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Gone when the process ends.
    Volatile,
    /// Survives the process; power loss may take what was acknowledged last.
    Process,
    /// Survives the process and power loss.
    Disk,
    /// Survives the loss of a machine.
    Replicated,
}

/// What a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations in one batch.
    pub operations: usize,
    /// Bytes of keys and values in one batch.
    pub batch_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Bytes of one key.
    pub key_bytes: usize,
}

/// A point in the order of changes of one watched space. Zero lies before the first change.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// Tells one writing of a key from every other writing of it, also across deletions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

/// A key, its value, and which writing of it this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// Which writing of the key.
    pub version: Version,
}

/// What to scan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scan {
    /// In which space.
    pub space: Space,
    /// Which keys.
    pub range: KeyRange,
    /// At most so many entries.
    pub limit: usize,
    /// From the end of the range to its beginning.
    pub reverse: bool,
}

impl Scan {
    /// All of `range`, from its beginning, in pages of at most 1,000 entries.
    pub fn new(space: Space, range: KeyRange) -> Self {
        Self {
            space,
            range,
            limit: 1000,
            reverse: false,
        }
    }

    /// In pages of at most `limit` entries.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// From the end of the range to its beginning.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The entries, in the order asked for.
    pub entries: Vec<Entry>,
    /// The revision of the space that the page shows: a watch from here misses nothing. Zero if
    /// the space is unwatched.
    pub revision: Revision,
    /// Whether the range holds more.
    pub more: bool,
}

/// One key's change within one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit's place in the order of the space; changes of one commit share it.
    pub revision: Revision,
    /// Which key.
    pub key: Key,
    /// Its new value and version; `None` if it was deleted.
    pub value: Option<(Bytes, Version)>,
}

/// An ordered key-value store with atomic batches and gap-free watches.
///
/// ```text
/// R1 naming · F1 metadata · W1 registry · W4 executions · declared workloads · async queue
///                                   │ each over any
///                                   ▼
///                                 Store  ◀── memory, SQLite, PostgreSQL, … yours
/// ```
///
/// Keys live in [`Space`]s. A space is declared watched or not where its name is written down, and
/// everywhere alike: revisions and the order of a watch are promised per watched space; an
/// unwatched one promises nothing across keys, so that a server database need not serialise it.
///
/// # Contract
/// - **atomic**: a batch happens as a whole or not at all; its preconditions are judged at the
///   same moment.
/// - **submitted_at_call**: `commit` enqueues the batch when it is called, not when its future is
///   first polled; dropping the future does not cancel it.
/// - **call_order**: batches that touch a common key take effect in the order of the calls.
/// - **conflict**: a batch whose precondition fails changes nothing and answers `Conflict`.
/// - **versions**: a key's version differs at each writing, and never returns, also not after a
///   deletion.
/// - **ordered_scan**: a scan answers keys in byte order (or its reverse), within the range, at
///   most `limit`, and says whether there is more.
/// - **revisions_rise**: each commit that changes a watched space raises its revision; reads, and
///   commits that only check or delete what is not there, leave it.
/// - **gap_free_watch**: a watch from revision N delivers every later change under its prefix once
///   and in order, or fails with `Compacted`. N may be any revision that a commit or a scan
///   answered, or zero; changes of one commit come together.
/// - **no_uncertain_reads**: reads and watches never show what could still be lost, and what an
///   acknowledged commit did is seen by every read that begins after the acknowledgement.
/// - **spaces_apart**: equal keys in two spaces are two keys.
/// - **limits**: a batch over `limits()` is refused with `InvalidArgument` and changes nothing; so
///   is one that names a key twice.
/// - **outcome**: after an ambiguous error, `outcome` of the batch's id tells what came of it, for
///   at least ten minutes: `Committed` if and only if it happened; `Aborted` only if it did not
///   and never will.
///
/// # Errors
/// `Conflict` (safe: read and try again), `InvalidArgument`, `Unavailable` or `Exhausted` (safe:
/// nothing happened), `Compacted` from a watch; `InvalidArgument` from a watch of an unwatched
/// space. A commit that may or may not have happened is `Unavailable`, its retry is
/// `Ambiguous`, and its source is an [`AmbiguousCommit`], which names the batch.
///
/// # Implementing
/// Run `store_conformance!` (feature `conformance`) against it;
/// [`MemoryStore`] is the example to read.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// One entry.
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>>;
    /// The entries of a range.
    async fn scan(&self, scan: Scan) -> Result<Page>;
    /// Changes several keys at once. See the contract: the call submits, the future only waits.
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>>;
    /// The changes under `prefix` after `after`, for ever; those made before they are read are not
    /// lost. An error ends the stream: after `Compacted` scan again, and watch from the page's
    /// revision.
    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>>;
    /// What came of a batch.
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome>;
    /// What a batch may hold.
    fn limits(&self) -> Limits;
    /// What an acknowledgement promises.
    fn durability(&self) -> Durability;
    /// The technology, in a word or two, for the component map.
    fn name(&self) -> &'static str;
}

/// How long a store remembers the outcome of a batch.
pub const OUTCOME_RETENTION: Duration = Duration::from_secs(600);

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Store + ?Sized> Store for $pointer<T> {
            async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
                (**self).get(space, key).await
            }
            async fn scan(&self, scan: Scan) -> Result<Page> {
                (**self).scan(scan).await
            }
            fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
                (**self).commit(batch)
            }
            fn watch(
                &self,
                space: &Space,
                prefix: Key,
                after: Revision,
            ) -> BoxStream<'static, Result<Change>> {
                (**self).watch(space, prefix, after)
            }
            async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
                (**self).outcome(id).await
            }
            fn limits(&self) -> Limits {
                (**self).limits()
            }
            fn durability(&self) -> Durability {
                (**self).durability()
            }
            fn name(&self) -> &'static str {
                (**self).name()
            }
        }
    )*};
}
pointer!(Arc, Box);
