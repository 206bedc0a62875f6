//! F1, the function registry: [`MetadataStore`] for fast look-ups, [`CodeStore`] for the code.

pub mod code;
#[cfg(feature = "conformance")]
pub mod conformance;
pub(crate) mod follow;
mod function;
mod pointers;
mod record;
pub mod store;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::store::Revision;
use faas_core::{Description, Digest, Namespace, Result, RevisionNumber};
use futures::stream::BoxStream;

pub use code::ObjectCode;
pub use function::{FunctionConfig, FunctionId, FunctionRevision, RevisionId};
pub use record::{Alias, AliasChange, FunctionRecord, Generation, RegistryEvent};
pub use store::StoreMetadata;

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

/// The code half of the function registry: content-addressed blobs.
///
/// # Contract
/// - **put_get**: what was put is answered by its digest, byte for byte.
/// - **put_is_idempotent**: putting the same bytes again answers the same digest, and mends what was
///   damaged.
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
