//! Where the registry's data lie in a store, and in which form.

use std::collections::BTreeMap;

use faas_core::encoding::Stored;
use faas_core::store::{Key, Space};
use faas_core::{AliasName, Error, Name, Namespace, Result, RevisionNumber};
use serde::{Deserialize, Serialize};

use crate::registry::{Alias, FunctionId, FunctionRevision};

/// The records, by namespace and name.
pub(super) const FUNCTIONS: Space = Space::watched("functions");
/// The revisions, by namespace, name and number.
pub(super) const REVISIONS: Space = Space::unwatched("function-revisions");
/// The numbers that deleted functions had reached, by namespace and name.
pub(super) const COUNTERS: Space = Space::unwatched("function-counters");

/// A record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Function {
    /// The oldest revision since the function was created (last).
    pub(super) first: RevisionNumber,
    pub(super) latest: FunctionRevision,
    pub(super) aliases: BTreeMap<AliasName, Alias>,
}

impl Function {
    /// Whether it has that revision.
    pub(super) fn spans(&self, number: RevisionNumber) -> bool {
        (self.first..=self.latest.number).contains(&number)
    }
}

/// What a deleted function had reached.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) last: u64,
}

impl Stored for Function {
    const KIND: &'static str = "function";
    const VERSION: u32 = 1;
}

impl Stored for FunctionRevision {
    const KIND: &'static str = "function-revision";
    const VERSION: u32 = 1;
}

impl Stored for Counter {
    const KIND: &'static str = "function-counter";
    const VERSION: u32 = 1;
}

/// The key of a function's record; the prefix of its revisions' keys.
pub(super) fn function_key(function: &FunctionId) -> Key {
    Key::new(function.namespace.as_str()).child(function.name.as_str())
}

/// Whose record a key is.
pub(super) fn function_of(key: &Key) -> Result<FunctionId> {
    let strange = || Error::internal("read function key", format!("{key:?} names no function"));
    let mut parts = key.parts().map(|part| std::str::from_utf8(part).ok());
    let mut part = || parts.next().flatten().ok_or_else(strange);
    Ok(FunctionId {
        namespace: Namespace::new(part()?)?,
        name: Name::new(part()?)?,
    })
}
