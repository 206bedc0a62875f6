//! W4 [`WorkflowExecutionStore`]: what executions were, are and wait for.

mod append;
mod epoch;
mod head;
pub mod mailbox;
mod name;
mod query;
pub mod retention;
pub mod store;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, ExecutionId, Namespace, Result};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::history::{HistoryPage, HistoryQuery};

pub use append::{Append, EngineEvent, StoredExecution};
#[cfg(feature = "mock")]
pub use epoch::MockEpochs;
pub use epoch::{Epoch, EpochState, Epochs, OpenEpoch};
pub use head::{ExecutionHead, InputDigest, Parent, Standing, TransitionNumber};
pub use mailbox::Mailbox;
pub use name::{ExecutionName, ExecutionStatus};
pub use query::{DueExecution, ExecutionFilter, ExecutionPage};
pub use retention::Retention;
pub use store::StoreExecutionStore;

/// W4: keeps executions: a log of transitions each, an index by status, name, owner and due time,
/// and the epochs of the engines that own them.
///
/// ```text
/// WorkflowEngine ─ append, load, epochs ─▶ WorkflowExecutionStore ─▶ Store
/// ```
///
/// An engine opens one [`Epoch`] and writes it into every append; a void epoch appends nothing
/// more. Renewing an epoch raises its count of renewals; who wants to take over from a silent
/// engine watches that count by a clock of its own, voids the epoch, opens one, loads and appends.
///
/// # Contract
/// - **atomic**: an append's events, head, due time, snapshot and indexes appear together or not
///   at all.
/// - **predecessor**: an append whose number does not follow the stored head's is a `Conflict` and
///   changes nothing.
/// - **name_once**: the first append of a second execution of one name (and namespace) is a
///   `Conflict` and changes nothing.
/// - **successor**: the first append of a successor appears together with the append that names
///   it, and takes the name over.
/// - **fenced**: an append under a void or unknown epoch is `PermissionDenied` and changes nothing.
/// - **submitted_at_call**: `append` submits when it is called, not when its future is polled;
///   dropping the future cancels nothing; appends of one execution take effect in call order.
/// - **loads_all**: `load` answers the last snapshot and every transition after it, in order.
/// - **history**: `history` answers every record of every transition, in order, page by page.
/// - **listed**: an execution is listed under exactly its head's status.
/// - **ended_pushed**: `ended` answers when the execution has ended, whoever ended it, at once if
///   it had before; it is told, and does not ask again and again.
/// - **due_listed**: `due` answers the executions whose due time is set, not cleared, and not after
///   the one asked for, soonest first.
/// - **orphans_listed**: `orphans` answers exactly the executions that go on and whose head names a
///   void epoch.
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
/// # use faas_workflow::execution_store::{Append, Epochs, OpenEpoch, TransitionNumber};
/// # use faas_workflow::{ExecutionHead, StoreExecutionStore, WorkflowExecutionStore};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = StoreExecutionStore::new(Arc::new(MemoryStore::new()));
/// let epoch = store.epochs().open(OpenEpoch::exclusive()).await?.epoch;
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
    /// Submits one transition.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<()>>;
    /// What is needed to go on with an execution.
    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution>;
    /// An execution as it stands.
    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead>;
    /// The execution of that name, the last one if it was continued.
    async fn find(
        &self,
        namespace: &Namespace,
        name: &ExecutionName,
    ) -> Result<Option<ExecutionId>>;
    /// Executions by status, by id.
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage>;
    /// A part of a public history.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage>;
    /// Waits for the end of an execution.
    async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead>;
    /// At most `limit` executions of which something is due at `at`.
    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>>;
    /// At most `limit` executions that nobody owns.
    async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>>;
    /// The epochs of the engines that share it.
    fn epochs(&self) -> &dyn Epochs;
    /// What this is.
    fn describe(&self) -> Description;
    /// What deletes executions, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn retention<'a>(&'a self) -> Option<&'a dyn Retention> {
        None
    }
    /// What carries letters between engines, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn mailbox<'a>(&'a self) -> Option<&'a dyn Mailbox> {
        None
    }
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: WorkflowExecutionStore + ?Sized> WorkflowExecutionStore for $pointer<T> {
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
            async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
                (**self).history(query).await
            }
            async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead> {
                (**self).ended(execution).await
            }
            async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>> {
                (**self).due(at, limit).await
            }
            async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>> {
                (**self).orphans(limit).await
            }
            fn epochs(&self) -> &dyn Epochs {
                (**self).epochs()
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
            fn retention(&self) -> Option<&dyn Retention> {
                (**self).retention()
            }
            fn mailbox(&self) -> Option<&dyn Mailbox> {
                (**self).mailbox()
            }
        }
    )*};
}
pointer!(Arc, Box);
