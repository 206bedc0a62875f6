//! [`Batch`]: several changes that happen as one.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{Key, Limits, Revision, Space, Version};
use crate::error::{Error, Result};

/// Names a batch, so that one can ask what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u128);

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchId({:032x})", self.0)
    }
}

impl BatchId {
    /// An id that no other batch has: 64 bits drawn once per process, and a count.
    fn unique() -> Self {
        static PROCESS: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let process = *PROCESS.get_or_init(|| RandomState::new().hash_one(0u8));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self((u128::from(process) << 64) | u128::from(count))
    }
}

/// What must hold for a key at the moment of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precondition {
    /// Anything.
    Any,
    /// There is no such key.
    Absent,
    /// There is such a key.
    Present,
    /// The key stands at this version.
    At(Version),
    /// The key has this value.
    Value(Bytes),
}

impl Precondition {
    /// Whether it holds for a key with that value and version, or for a missing one.
    pub fn holds(&self, entry: Option<(&Bytes, Version)>) -> bool {
        match (self, entry) {
            (Self::Any, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::At(expected), Some((_, version))) => *expected == version,
            (Self::Value(expected), Some((value, _))) => expected == value,
            _ => false,
        }
    }
}

/// What a batch does to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// In which space.
    pub space: Space,
    /// To which key.
    pub key: Key,
    /// If this holds.
    pub precondition: Precondition,
    /// What it does.
    pub effect: Effect,
}

/// See [`Operation::effect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Sets the value.
    Put(Bytes),
    /// Removes the key; that it is missing is no fault unless the precondition says so.
    Delete,
    /// Nothing: only the precondition matters.
    Check,
}

/// Several changes that happen as one.
///
/// ```
/// use faas_core::store::{Batch, Key, Precondition, Space};
///
/// const BOOKS: Space = Space::watched("books");
/// let batch = Batch::new()
///     .put(BOOKS, Key::new("dune"), "Herbert", Precondition::Absent)
///     .delete(BOOKS, Key::new("draft"), Precondition::Any);
/// assert_eq!(batch.operations().len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    id: BatchId,
    operations: Vec<Operation>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            id: BatchId::unique(),
            operations: Vec::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// What it does.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What it does, taken out.
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    /// Sets a key.
    #[must_use]
    pub fn put(
        self,
        space: Space,
        key: Key,
        value: impl Into<Bytes>,
        precondition: Precondition,
    ) -> Self {
        self.with(space, key, precondition, Effect::Put(value.into()))
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(self, space: Space, key: Key, precondition: Precondition) -> Self {
        self.with(space, key, precondition, Effect::Delete)
    }

    /// Only demands something of a key.
    #[must_use]
    pub fn check(self, space: Space, key: Key, precondition: Precondition) -> Self {
        self.with(space, key, precondition, Effect::Check)
    }

    fn with(mut self, space: Space, key: Key, precondition: Precondition, effect: Effect) -> Self {
        self.operations.push(Operation {
            space,
            key,
            precondition,
            effect,
        });
        self
    }

    /// Checks the batch at the door of a store.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault: over a limit, or one key twice.
    pub fn validate(&self, limits: Limits) -> Result<()> {
        let mut faults = Vec::new();
        let mut over = |what: String, is: usize, limit: usize| {
            if is > limit {
                faults.push(format!("{what} {is}, the limit is {limit}"));
            }
        };
        over(
            "operations:".into(),
            self.operations.len(),
            limits.operations,
        );
        let mut bytes = 0;
        for operation in &self.operations {
            let value = match &operation.effect {
                Effect::Put(value) => value.len(),
                Effect::Delete | Effect::Check => 0,
            };
            let key = operation.key.as_bytes().len();
            bytes += key + value;
            over(
                format!("bytes of the value of {:?}:", operation.key),
                value,
                limits.value_bytes,
            );
            over(
                format!("bytes of the key {:?}:", operation.key),
                key,
                limits.key_bytes,
            );
        }
        over("bytes in all:".into(), bytes, limits.batch_bytes);
        let mut seen = BTreeSet::new();
        for Operation { space, key, .. } in &self.operations {
            if !seen.insert((space.name(), key)) {
                faults.push(format!("{key:?} of space {} is named twice", space.name()));
            }
        }
        Error::check("commit", faults)
    }
}

/// That a batch happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The new version of each key, in the order of the batch's operations; `None` for those that
    /// were deleted or only checked.
    pub versions: Vec<Option<Version>>,
    /// The new revision of each watched space that was changed, by its name.
    pub revisions: Vec<(Space, Revision)>,
}

impl Committed {
    /// The revision of `space` that the batch made, if it changed that space.
    pub fn revision(&self, space: &Space) -> Option<Revision> {
        self.revisions
            .iter()
            .find(|(changed, _)| changed == space)
            .map(|(_, revision)| *revision)
    }
}

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It happened.
    Committed(Committed),
    /// It did not happen, and will not.
    Aborted,
    /// It is unknown: too long ago, or still under way.
    Unknown,
}
