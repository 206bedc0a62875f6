//! F1, the function registry: [`MetadataStore`] for fast look-ups, [`CodeStore`] for the code.

pub mod code;
#[cfg(feature = "conformance")]
pub mod conformance;
mod pointers;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::store::Revision;
use faas_core::{
    AliasName, Description, Digest, Error, FunctionRef, Name, Namespace, Qualifier, Resources,
    Result, RevisionNumber, RuntimeName,
};
use faas_resource::Executable;
use faas_resource::spec::Extensions;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use code::ObjectCode;
pub use store::StoreMetadata;

/// A function, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionId {
    /// The tenant boundary.
    pub namespace: Namespace,
    /// Its name.
    pub name: Name,
}

impl std::fmt::Display for FunctionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::str::FromStr for FunctionId {
    type Err = Error;
    /// Reads `namespace/name`, or a name of the default namespace.
    fn from_str(text: &str) -> Result<Self> {
        let FunctionRef {
            namespace,
            name,
            qualifier,
        } = text.parse()?;
        if qualifier == Qualifier::Latest {
            return Ok(Self { namespace, name });
        }
        let message = format!("{text}: a function is meant, not one of its versions");
        Err(Error::invalid("parse function", message))
    }
}

/// How a function is run; immutable once it is a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionConfig {
    /// Which builder and contract.
    pub runtime: RuntimeName,
    /// What its sandboxes execute: what the builder made.
    pub executable: Executable,
    /// Added to the environment of its sandboxes.
    pub environment: BTreeMap<String, String>,
    /// What is reserved for each sandbox.
    pub resources: Resources,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// How many invocations one instance takes at once.
    pub concurrency: u32,
    /// Never fewer instances.
    pub min_instances: u32,
    /// Never more instances.
    pub max_instances: u32,
    /// Bytes of a response at most.
    pub response_limit: u64,
    /// Options for one backend.
    pub extensions: Extensions,
}

impl FunctionConfig {
    /// A function with a timeout of 60 s, one invocation per instance, from 0 to 100 instances of
    /// a tenth of a processor and 128 MiB, and responses of up to 6 MiB (Lambda's limit).
    pub fn new(runtime: RuntimeName, executable: Executable) -> Self {
        let sandbox = faas_resource::SandboxSpec::new(executable.clone());
        Self {
            runtime,
            executable,
            environment: BTreeMap::new(),
            resources: sandbox.resources,
            timeout: Duration::from_secs(60),
            concurrency: 1,
            min_instances: 0,
            max_instances: 100,
            response_limit: 6 << 20,
            extensions: Extensions::default(),
        }
    }

    /// Checks the configuration at the door.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        let mut sandbox = faas_resource::SandboxSpec::new(self.executable.clone());
        sandbox.environment.clone_from(&self.environment);
        let inherited = sandbox.validate().err();
        let mut faults: Vec<String> = inherited
            .iter()
            .map(|error| error.message().to_owned())
            .collect();
        if self.timeout.is_zero() {
            faults.push("the timeout is zero".into());
        }
        if self.concurrency == 0 {
            faults.push("the concurrency is zero".into());
        }
        if self.max_instances == 0 || self.min_instances > self.max_instances {
            let (min, max) = (self.min_instances, self.max_instances);
            faults.push(format!("bounds {min}..={max} hold no instance"));
        }
        if self.response_limit == 0 {
            faults.push("the response limit is zero".into());
        }
        Error::check("validate function", faults)
    }
}

/// An immutable, numbered snapshot of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRevision {
    /// Of which function.
    pub function: FunctionId,
    /// Which snapshot.
    pub number: RevisionNumber,
    /// How it is run.
    pub config: FunctionConfig,
}

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
    /// A record, for implementations of [`MetadataStore`].
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

/// The metadata half of the function registry.
///
/// ```text
/// deploy ──▶ F1 MetadataStore ── watch ──▶ F5 router's snapshot (no store is read on its path)
/// ```
///
/// # Contract
/// - **create_once**: creating a function that exists answers `AlreadyExists`; it begins at
///   revision 1.
/// - **update_makes_a_revision**: an update makes the next revision; earlier ones stay as they were.
/// - **numbers_rise**: revision numbers rise by one and never return, also not after a deletion.
/// - **optimistic**: a change that expects another generation answers `Conflict` and changes nothing.
/// - **validated**: a bad configuration, or an alias to a revision that does not exist, answers
///   `InvalidArgument` and changes nothing.
/// - **delete_removes_all**: after a deletion neither revisions nor aliases are found.
/// - **list_is_by_namespace**: `list` answers the functions of a namespace in the order of names.
/// - **watch_misses_nothing**: a watch from the revision of a `list` delivers every later change in
///   order, or fails with `Compacted`.
///
/// # Errors
/// As above; `NotFound` for what is not there.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MetadataStore: Send + Sync + 'static {
    /// Registers a function.
    async fn create(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>>;
    /// Makes the next revision.
    async fn update(
        &self,
        function: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>>;
    /// Sets or removes an alias.
    async fn set_alias(
        &self,
        function: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>>;
    /// One function.
    async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>>;
    /// One revision.
    async fn revision(
        &self,
        function: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>>;
    /// The functions of a namespace, or of all, and the revision to watch from.
    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)>;
    /// Removes a function, its revisions and aliases.
    async fn delete(&self, function: &FunctionId, expected: Option<Generation>) -> Result<()>;
    /// Changes after a revision.
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>>;
    /// What this is.
    fn describe(&self) -> Description;
}

/// What to do to the aliases of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasChange {
    /// Make or move one.
    Set(Alias),
    /// Remove one.
    Remove(AliasName),
}

/// The code half of the function registry: content-addressed blobs.
///
/// # Contract
/// - **put_get**: what was put is answered by its digest, byte for byte.
/// - **put_is_idempotent**: putting the same bytes again answers the same digest.
/// - **verified**: bytes that do not have the digest asked for are an error, never an answer.
/// - **unknown_digest**: an unknown digest answers `NotFound`.
/// - **delete_is_idempotent**: deleting what is not there is no fault.
///
/// # Errors
/// As above; `Unavailable` when it cannot be reached.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CodeStore: Send + Sync + 'static {
    /// Keeps some code.
    async fn put(&self, code: Bytes) -> Result<Digest>;
    /// The code with that digest.
    async fn get(&self, digest: &Digest) -> Result<Bytes>;
    /// Forgets some code.
    async fn delete(&self, digest: &Digest) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}
