//! What the registry knows of a function, and its changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::{AliasName, Error, Result, RevisionNumber};
use serde::{Deserialize, Serialize};

use super::{FunctionId, FunctionRevision};

/// A movable name for a weighted set of revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its name.
    pub name: AliasName,
    /// What share of the traffic each revision gets: its weight of the sum of all weights.
    pub weights: BTreeMap<RevisionNumber, u32>,
}

impl Alias {
    /// An alias of one revision.
    pub fn to(name: AliasName, revision: RevisionNumber) -> Self {
        Self {
            name,
            weights: [(revision, 1)].into(),
        }
    }

    /// Checks the alias at the door.
    ///
    /// # Errors
    /// `InvalidArgument` if its weights sum to nothing.
    pub fn validate(&self) -> Result<()> {
        let none = self.weights.values().all(|weight| *weight == 0);
        let fault = none.then(|| format!("alias {} has no revision with a weight", self.name));
        Error::check("validate alias", fault.into_iter().collect())
    }
}

/// All that the registry knows of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionRecord {
    /// Which function.
    pub function: FunctionId,
    /// Its newest revision.
    pub latest: Arc<FunctionRevision>,
    /// Its aliases.
    pub aliases: BTreeMap<AliasName, Alias>,
    /// What an update must expect, so that nothing is overwritten unseen.
    pub generation: Generation,
}

impl FunctionRecord {
    /// A record, for implementations of [`MetadataStore`](super::MetadataStore).
    pub fn new(
        latest: Arc<FunctionRevision>,
        aliases: BTreeMap<AliasName, Alias>,
        generation: Generation,
    ) -> Self {
        Self {
            function: latest.function.clone(),
            latest,
            aliases,
            generation,
        }
    }
}

/// Which state of a function's record this is; differs after every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// A change of the registry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RegistryEvent {
    /// A function is new or has changed.
    Changed(Arc<FunctionRecord>),
    /// A function is gone.
    Deleted(FunctionId),
}

/// What to do to the aliases of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasChange {
    /// Make or move one.
    Set(Alias),
    /// Remove one.
    Remove(AliasName),
}
