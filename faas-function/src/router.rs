//! F5, the function router: [`FunctionRouter`].

mod calls;
#[cfg(feature = "conformance")]
pub mod conformance;
mod demand;
mod drain;
mod grant;
mod meters;
mod places;
mod pool;
mod routes;
mod slot_router;
pub mod slots;
mod snapshot;

use std::sync::Arc;

pub use slot_router::{SlotRouter, SlotRouterOptions, SlotRouterParts};

use async_trait::async_trait;
use faas_core::{
    DecisionId, Description, Error, InstanceId, Invocation, Monotonic, PrewarmHint, Response,
    Result, StartKind, Timeline,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::instance::FunctionInstance;
use crate::registry::FunctionRevision;

/// An instance that takes invocations from now on.
#[derive(Clone)]
#[non_exhaustive]
pub struct AddInstance {
    /// Of which revision.
    pub revision: Arc<FunctionRevision>,
    /// The instance.
    pub instance: Arc<dyn FunctionInstance>,
    /// What its first invocation is: cold or prewarmed.
    pub start: StartKind,
    /// Where the time of its start went.
    pub timeline: Timeline,
    /// The decision that it is there by; its causes tell what it was started for.
    pub caused_by: Option<DecisionId>,
}

impl AddInstance {
    /// An instance that was started on demand.
    pub fn new(revision: Arc<FunctionRevision>, instance: Arc<dyn FunctionInstance>) -> Self {
        Self {
            revision,
            instance,
            start: StartKind::Cold,
            timeline: Timeline::default(),
            caused_by: None,
        }
    }
}

impl std::fmt::Debug for AddInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AddInstance")
            .field(&self.instance.id())
            .field(&self.start)
            .finish()
    }
}

/// Routes requests to the right instance; queues them while none is there.
///
/// ```text
/// invoke ──▶ alias → revision (in memory) ──▶ free slot? ── yes ──▶ F4 FunctionInstance
///                                                │ no                    │ slot frees
///                                                ▼                       ▼
///                                          bounded queue ◀───────── hand-over
///                                                └── demand ──▶ F6 autoscaler
/// ```
///
/// # Contract
/// - **never_over_the_limit**: no instance has more invocations at once than its concurrency.
/// - **queue_is_bounded**: over the bound, `Exhausted` with a retry-after.
/// - **hands_over**: a waiting invocation gets the first slot that frees, of a new instance or of an
///   old one.
/// - **fair**: tenants that wait are served in turn, not by the length of their queues.
/// - **deadline_leaves_queue**: an invocation whose deadline passes leaves the queue with
///   `DeadlineExceeded`.
/// - **drop_leaves_queue**: dropping the future of `invoke` leaves the queue at once.
/// - **demand_is_pushed**: `demand` reports at once, not by polling, what waits and which instances
///   are there; what runs, within a tenth of a second.
/// - **removed_gets_no_more**: an instance that was removed gets no new invocation.
/// - **weights_split**: an alias's traffic is split by its weights.
/// - **unknown_function**: an unknown function, revision or alias answers `NotFound`.
/// - **refuses**: from `refuse` on, those that wait for that revision answer its error; who comes
///   later waits as before.
/// - **waits_no_longer**: without a deadline an invocation waits for as long as the router says,
///   and then answers `Exhausted` with `Retry::Safe`.
/// - **fair_admission**: when the queue is full, an invocation of a tenant that has few places in it
///   gets the place of the newest of the tenant that has most, which answers `Exhausted` with a
///   retry-after.
/// - **drains**: from the call of `drain` on, new invocations answer `Unavailable` with
///   `Retry::Safe`; it ends when none waits and none runs, or at its deadline with
///   `DeadlineExceeded`, and those that still wait then answer `Unavailable` with `Retry::Safe`.
///
/// # Errors
/// As above; whatever error the instance gives.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait FunctionRouter: Send + Sync + 'static {
    /// Runs one invocation.
    async fn invoke(&self, invocation: Invocation) -> Result<Response>;
    /// A function will be needed soon.
    fn prewarm(&self, hint: PrewarmHint);
    /// An instance takes invocations.
    fn add(&self, instance: AddInstance);
    /// An instance takes no more.
    fn remove(&self, instance: InstanceId);
    /// Demand and supply of each revision, whenever they change.
    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)>;
    /// No instance of that revision can be had: those that wait for one are told why.
    fn refuse(&self, revision: &RevisionId, error: Error);
    /// Takes no more invocations, and waits for those that wait or run, until `deadline`.
    /// Instances may still be added, for those that wait. There is no way back.
    async fn drain(&self, deadline: Monotonic) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: FunctionRouter + ?Sized> FunctionRouter for $pointer<T> {
            // The future of what it points to, and none around it.
            fn invoke<'a, 'f>(&'a self, invocation: Invocation) -> BoxFuture<'f, Result<Response>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).invoke(invocation)
            }
            fn prewarm(&self, hint: PrewarmHint) {
                (**self).prewarm(hint);
            }
            fn add(&self, instance: AddInstance) {
                (**self).add(instance);
            }
            fn remove(&self, instance: InstanceId) {
                (**self).remove(instance);
            }
            fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
                (**self).demand()
            }
            fn refuse(&self, revision: &RevisionId, error: Error) {
                (**self).refuse(revision, error);
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
