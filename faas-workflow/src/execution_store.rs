//! W4 [`WorkflowExecutionStore`]: what executions were, are and wait for.

pub mod model;
pub mod store;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, ExecutionId, Namespace, Result};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::history::{HistoryPage, HistoryQuery};

pub use model::{
    Append, BlobRef, DueTimer, Epoch, EpochState, ExecutionFilter, ExecutionHead, ExecutionName,
    ExecutionPage, ExecutionStatus, InputDigest, OpenEpoch, StoredExecution, TransitionNumber,
};
pub use store::StoreExecutionStore;

/// W4: keeps executions: a log of transitions each, an index by status and name, timers, and the
/// epochs of the engines that own them.
///
/// ```text
/// WorkflowEngine ─ append, load, open_epoch ─▶ WorkflowExecutionStore ─▶ Store
/// ```
///
/// An engine opens one [`Epoch`] and writes it into every append; a void epoch appends nothing
/// more. Renewing an epoch raises its count of renewals; who wants to take over from a silent
/// engine watches that count by a clock of its own, voids the epoch, opens one, loads and appends.
///
/// # Contract
/// - **atomic**: an append's events, head, timers, snapshot and indexes appear together or not at all.
/// - **predecessor**: an append whose number does not follow the stored head's is a `Conflict` and
///   changes nothing.
/// - **name_once**: the first append of a second execution of one name (and namespace) is a
///   `Conflict` and changes nothing.
/// - **fenced**: an append under a void or unknown epoch is `PermissionDenied` and changes nothing.
/// - **submitted_at_call**: `append` submits when it is called, not when its future is polled;
///   dropping the future cancels nothing; appends of one execution take effect in call order.
/// - **loads_all**: `load` answers the last snapshot and every transition after it, in order.
/// - **history**: `history` answers every record of every transition, in order, page by page.
/// - **open_listed**: an execution is listed under exactly its head's status.
/// - **timers_due**: `timers` answers the timers set and not cleared whose time is not after the
///   one asked for, soonest first.
/// - **exclusive_voids**: opening an epoch as exclusive voids all earlier ones.
/// - **epochs_rise**: an epoch's number is greater than that of every earlier one.
/// - **renewals_count**: each renewal raises the epoch's count; that of a void epoch is
///   `PermissionDenied`.
///
/// # Errors
/// `Conflict` (load again), `PermissionDenied` (the epoch is void: stop), `InvalidArgument` (over a
/// limit of the store), `NotFound`; the store's own.
///
/// # Implementing
/// [`StoreExecutionStore`] is the example to read; `workflow_execution_store_conformance!` the
/// suite.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use faas_core::{ExecutionId, MemoryStore};
/// # use faas_workflow::execution_store::{Append, OpenEpoch, TransitionNumber};
/// # use faas_workflow::{ExecutionHead, StoreExecutionStore, WorkflowExecutionStore};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = StoreExecutionStore::new(Arc::new(MemoryStore::new()));
/// let epoch = store.open_epoch(OpenEpoch::exclusive()).await?.epoch;
/// let id = ExecutionId::from_u128(1);
/// let mut head = ExecutionHead::new(id, "first".try_into()?, "greet".parse()?, epoch);
/// head.transition = TransitionNumber(1);
/// store.append(Append::new(head, Vec::new())).await?;
/// assert_eq!(store.find(&"default".parse()?, &"first".try_into()?).await?, Some(id));
/// # Ok::<(), faas_core::Error>(()) }).unwrap();
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WorkflowExecutionStore: Send + Sync + 'static {
    /// Begins to own executions.
    async fn open_epoch(&self, request: OpenEpoch) -> Result<EpochState>;
    /// Says that the epoch's engine lives.
    async fn renew_epoch(&self, epoch: Epoch) -> Result<EpochState>;
    /// Ends an epoch, one's own or a silent engine's; a void one stays void.
    async fn void_epoch(&self, epoch: Epoch) -> Result<()>;
    /// The epochs that are not void.
    async fn epochs(&self) -> Result<Vec<EpochState>>;
    /// Submits one transition.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<()>>;
    /// What is needed to go on with an execution.
    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution>;
    /// An execution as it stands.
    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead>;
    /// The execution of that name.
    async fn find(
        &self,
        namespace: &Namespace,
        name: &ExecutionName,
    ) -> Result<Option<ExecutionId>>;
    /// Executions by status, by id.
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage>;
    /// At most `limit` timers due at `at`.
    async fn timers(&self, at: Timestamp, limit: usize) -> Result<Vec<DueTimer>>;
    /// A part of a public history.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: WorkflowExecutionStore + ?Sized> WorkflowExecutionStore for $pointer<T> {
            async fn open_epoch(&self, request: OpenEpoch) -> Result<EpochState> {
                (**self).open_epoch(request).await
            }
            async fn renew_epoch(&self, epoch: Epoch) -> Result<EpochState> {
                (**self).renew_epoch(epoch).await
            }
            async fn void_epoch(&self, epoch: Epoch) -> Result<()> {
                (**self).void_epoch(epoch).await
            }
            async fn epochs(&self) -> Result<Vec<EpochState>> {
                (**self).epochs().await
            }
            fn append(&self, append: Append) -> BoxFuture<'static, Result<()>> {
                (**self).append(append)
            }
            async fn load(&self, execution: ExecutionId) -> Result<StoredExecution> {
                (**self).load(execution).await
            }
            async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead> {
                (**self).head(execution).await
            }
            async fn find(
                &self,
                namespace: &Namespace,
                name: &ExecutionName,
            ) -> Result<Option<ExecutionId>> {
                (**self).find(namespace, name).await
            }
            async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
                (**self).list(filter).await
            }
            async fn timers(&self, at: Timestamp, limit: usize) -> Result<Vec<DueTimer>> {
                (**self).timers(at, limit).await
            }
            async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
                (**self).history(query).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
