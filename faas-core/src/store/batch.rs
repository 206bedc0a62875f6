//! [`Batch`]: several changes that happen as one.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{Key, Limits, Revision, Space, Version};
use crate::error::{Error, Result, Retry};

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

impl Operation {
    /// The `Conflict` of a precondition that does not hold, for a key that is there or not.
    pub fn conflict(&self, present: bool) -> Error {
        let (key, space) = (&self.key, self.space.name());
        let message = match (&self.precondition, present) {
            (Precondition::Absent, _) => format!("{key:?} of space {space} exists already"),
            (_, false) => format!("{key:?} of space {space} does not exist"),
            _ => format!("{key:?} of space {space} has changed"),
        };
        Error::conflict("commit", message)
    }
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

impl Effect {
    fn value_bytes(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete | Self::Check => 0,
        }
    }
}

/// Several changes that happen as one.
///
/// A batch is submitted once: its id names that one submission. To try again (after a conflict,
/// say), submit [`again`](Batch::again), which has an id of its own.
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

    /// A batch that does the same under a new id: what to submit when trying again.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            id: BatchId::unique(),
            operations: self.operations.clone(),
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

    /// The bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.operations.iter().fold(0usize, |all, operation| {
            all.saturating_add(operation.key.as_bytes().len())
                .saturating_add(operation.effect.value_bytes())
        })
    }

    /// Checks the batch at the door of a store.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault: over a limit, or one key twice.
    pub fn validate(&self, limits: Limits) -> Result<()> {
        let mut faults = Vec::new();
        // Positions, not keys, name the culprits: an oversized key must not fill the message.
        let mut over = |is: usize, limit: usize, what: &dyn fmt::Display| {
            if is > limit {
                faults.push(format!("{what}: {is}, the limit is {limit}"));
            }
        };
        over(self.operations.len(), limits.operations, &"operations");
        for (index, operation) in self.operations.iter().enumerate() {
            let value = operation.effect.value_bytes();
            let key = operation.key.as_bytes().len();
            over(
                value,
                limits.value_bytes,
                &format_args!("bytes of the value of operation {index}"),
            );
            over(
                key,
                limits.key_bytes,
                &format_args!("bytes of the key of operation {index}"),
            );
        }
        over(self.bytes(), limits.batch_bytes, &"bytes in all");
        let mut seen = BTreeMap::new();
        for (index, Operation { space, key, .. }) in self.operations.iter().enumerate() {
            if let Some(first) = seen.insert((space.name(), key), index) {
                faults.push(format!(
                    "operations {first} and {index} name the same key of space {}",
                    space.name()
                ));
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

/// The source of the error of a commit that may or may not have happened.
///
/// ```
/// use faas_core::store::{AmbiguousCommit, Batch};
///
/// let batch = Batch::new();
/// let error = AmbiguousCommit(batch.id()).into_error("the connection was cut");
/// assert_eq!(AmbiguousCommit::of(&error), Some(batch.id()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} may have happened: ask for its outcome")]
pub struct AmbiguousCommit(pub BatchId);

impl AmbiguousCommit {
    /// The error of the commit: `Unavailable`, ambiguous.
    pub fn into_error(self, why: impl fmt::Display) -> Error {
        Error::unavailable("commit", format!("{why}; {self}"))
            .with_retry(Retry::Ambiguous)
            .with_source(self)
    }

    /// The batch that `error` leaves in doubt.
    pub fn of(error: &Error) -> Option<BatchId> {
        let source = std::error::Error::source(error)?;
        source.downcast_ref::<Self>().map(|ambiguous| ambiguous.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space::watched("batch");
    const SMALL: Limits = Limits {
        operations: 2,
        batch_bytes: 12,
        value_bytes: 4,
        key_bytes: 4,
    };

    #[test]
    fn every_fault_is_reported_at_once() {
        let batch = Batch::new()
            .put(SPACE, Key::new("long-key"), "long value", Precondition::Any)
            .delete(SPACE, Key::new("b"), Precondition::Any)
            .check(SPACE, Key::new("b"), Precondition::Absent);
        let error = batch.validate(SMALL).unwrap_err();
        assert!(error.message().starts_with("5 faults"), "{error}");
    }

    #[test]
    fn what_fits_exactly_is_accepted() {
        let batch = Batch::new()
            .put(SPACE, Key::new("abc"), "1234", Precondition::Any)
            .put(SPACE, Key::new("d"), "12", Precondition::Any);
        assert!(batch.validate(SMALL).is_ok());
    }

    #[test]
    fn trying_again_is_another_submission() {
        let batch = Batch::new().delete(SPACE, Key::new("a"), Precondition::Present);
        let again = batch.again();
        assert_ne!(batch.id(), again.id());
        assert_eq!(batch.operations(), again.operations());
    }
}
