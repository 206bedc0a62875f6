//! [`InvocationQueue`]: invocations that nobody waits for.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod core;
mod item;
mod live;
mod owner;
mod payloads;
mod reasons;
mod settings;
pub mod store;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{
    Description, Invocation, InvocationId, Monotonic, Namespace, Payload, Result, WorkflowName,
};

pub use item::{DeadLetter, LetterPage, LetterQuery, Message, QueueId, Queued};
pub use payloads::Payloads;
pub use settings::{Destination, MetadataSettings, QueueSettings, QueueSettingsSource};
pub use store::{StoreQueue, StoreQueueOptions, StoreQueueParts};

/// Takes invocations that are run later, and at least once.
///
/// ```text
/// submit ─ one group-committed write ─▶ Store ─▶ InvocationQueue ─▶ Invoker (the router)
///    ◀── durable: answered                            │
///                                                     ├─ failed: again later, then a dead letter
///                                                     └─ result: function, workflow or queue
/// ```
///
/// # Contract
/// - **acknowledged_is_stored**: what `submit` acknowledged is run by any later queue over the same
///   store, as the store's durability has it.
/// - **submitted_once**: an id that the queue holds is taken once, however often it is submitted.
/// - **same_key**: all attempts of a request carry one idempotency key: the request's own, or its
///   id.
/// - **retried**: a request that fails is tried again after a pause, until it succeeds or the
///   function's attempts are used up.
/// - **too_old**: past the function's maximum age a request is tried no more.
/// - **concurrency**: of one function, never more requests run at once than its settings say.
/// - **dead_letters**: a request that failed for good is kept as a dead letter, with its payload
///   and the cause; redriven it is run again, discarded it is gone.
/// - **destinations**: what a request came to is handed on, in the same write that ends it: to a
///   function, a workflow, or a queue that is read with `messages` and `acknowledge`.
/// - **bounded**: over the bound `submit` answers `Exhausted` with a retry-after and stores
///   nothing; dead letters and messages count.
/// - **unknown_is_refused**: a function that is not there is `NotFound`, at once.
/// - **one_owner**: of several queues over one store one runs the requests of all, and a stalled
///   one that wakes up records nothing any more.
/// - **cancel_safe**: dropping the future of `submit` does not tear the request: it is taken as a
///   whole, or not at all.
///
/// # Errors
/// `NotFound`, `Exhausted`; `Unavailable` while it is drained; `InvalidArgument` for what the store
/// cannot hold; those of the store.
///
/// # Implementing
/// [`StoreQueue`] is the example to read; `invocation_queue_conformance!` the suite.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait InvocationQueue: Send + Sync + 'static {
    /// Takes a request; it is stored when this answers. A deadline becomes the request's maximum
    /// age, where it is shorter than the function's.
    async fn submit(&self, invocation: Invocation) -> Result<InvocationId>;
    /// A request that has not ended yet, or is a dead letter.
    async fn find(&self, id: InvocationId) -> Result<Queued>;
    /// A page of dead letters, oldest requests first.
    async fn dead_letters(&self, query: LetterQuery) -> Result<LetterPage>;
    /// Has a dead letter run again, with all attempts and of no age.
    async fn redrive(&self, id: InvocationId) -> Result<()>;
    /// Forgets a dead letter.
    async fn discard(&self, id: InvocationId) -> Result<()>;
    /// The oldest messages of a queue that is a destination, `limit` at most; they stay until they
    /// are acknowledged.
    async fn messages(&self, queue: &QueueId, limit: usize) -> Result<Vec<Message>>;
    /// Removes a message; that it is gone is no fault.
    async fn acknowledge(&self, queue: &QueueId, id: InvocationId) -> Result<()>;
    /// Takes no more requests, starts none, and waits for those that run. What is left is run by
    /// the next queue over the store.
    async fn drain(&self, deadline: Monotonic) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

/// Starts workflows that are destinations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WorkflowStarter: Send + Sync + 'static {
    /// Starts the newest version of a workflow under a name; twice is once.
    async fn start(
        &self,
        namespace: &Namespace,
        workflow: &WorkflowName,
        execution: &str,
        input: Payload,
    ) -> Result<()>;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: InvocationQueue + ?Sized> InvocationQueue for $pointer<T> {
            async fn submit(&self, invocation: Invocation) -> Result<InvocationId> {
                (**self).submit(invocation).await
            }
            async fn find(&self, id: InvocationId) -> Result<Queued> {
                (**self).find(id).await
            }
            async fn dead_letters(&self, query: LetterQuery) -> Result<LetterPage> {
                (**self).dead_letters(query).await
            }
            async fn redrive(&self, id: InvocationId) -> Result<()> {
                (**self).redrive(id).await
            }
            async fn discard(&self, id: InvocationId) -> Result<()> {
                (**self).discard(id).await
            }
            async fn messages(&self, queue: &QueueId, limit: usize) -> Result<Vec<Message>> {
                (**self).messages(queue, limit).await
            }
            async fn acknowledge(&self, queue: &QueueId, id: InvocationId) -> Result<()> {
                (**self).acknowledge(queue, id).await
            }
            async fn drain(&self, deadline: Monotonic) -> Result<()> {
                (**self).drain(deadline).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
