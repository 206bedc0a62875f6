//! R2, the resource manager: [`ResourceManager`].

pub mod cluster;
#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, Resources, Result, SandboxId, WorkloadId};
use futures::stream::BoxStream;

use crate::hook::Hooks;
use crate::workload::{ScaleRequest, WorkloadEvent, WorkloadSpec, WorkloadStatus};

pub use cluster::ClusterManager;

/// What a cluster has, and what of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    /// In all.
    pub total: Resources,
    /// By sandboxes that are placed.
    pub allocated: Resources,
    /// The nodes that take sandboxes.
    pub nodes: usize,
}

/// Manages the resources of the nodes: makes the actual state conform to the desired one, for
/// ever, whatever dies.
///
/// ```text
/// F3 FunctionDeployer ── apply, scale ──▶ R2 ResourceManager ── ensure, stop ──▶ R4 NodeAgent
///        ▲                                 │        │ batch
///        └────────── watch: ready, gone ───┘        ▼
///                                          R3 ResourceScheduler
/// ```
///
/// # Contract
/// - **apply_is_durable**: what `apply` acknowledged is in the store; applying the same again
///   changes nothing.
/// - **apply_replaces**: applying a changed sandbox spec, or changed placement rules, replaces the
///   replicas; changed bounds or a changed priority keep them.
/// - **apply_validates**: a bad spec answers `InvalidArgument` with every fault and changes nothing.
/// - **scale_converges**: after `scale`, as many replicas come to run, to be paused and to be created
///   as are wanted, within the spec's bounds; others are stopped.
/// - **scale_promotes**: what is to run is taken from the paused replicas, then from the created ones,
///   before another is started; what runs and is wanted paused is paused, where its node can.
/// - **scale_states**: a state that no node can keep answers `Unsupported` and changes nothing.
/// - **scale_is_soft**: `scale` waits for no store.
/// - **retiring_go**: those named `retiring` are stopped whatever the counts, and replaced where the
///   counts want it.
/// - **assign_specialises**: a replica with which nothing is under way becomes one of another
///   workload, in the state that it is in: its `Gone` from the one is followed by `Ready` or `Pooled`
///   in the other. That one wants one more in that state until the next `scale`; the first wants as
///   many as before.
/// - **assign_refuses**: a sandbox whose spec differs from the workload's in kind of executable,
///   resources or hook answers `InvalidArgument` with every difference; a place that the workload's
///   rules forbid, or a sandbox that is busy, `Conflict`; a workload with all of its replicas
///   `Exhausted`; what its node cannot do `Unsupported`; and nothing is changed.
/// - **replaces_the_dead**: a replica that ends while it is wanted is replaced.
/// - **replaces_the_lost**: replicas of a node that does not answer for a bounded time are reported
///   `Gone` and replaced elsewhere; when it answers again, what it still runs is adopted if it is
///   wanted, and stopped if not.
/// - **starts_are_bounded**: a start that takes too long has failed; `Waiting` says so, and it is
///   tried again.
/// - **starts_nothing_twice**: no more sandboxes are started than were ever wanted at once, plus those
///   that ended or were lost.
/// - **adopts_the_present**: after a restart, what still runs and is of its workload's present spec is
///   adopted; what is of another is replaced.
/// - **remove_leaves_nothing**: after `remove` has answered and its `Removed` was reported, no
///   replica is left on any node that answers.
/// - **unknown_workload**: `scale`, `assign` and `get` of an unknown workload, and `assign` of an
///   unknown sandbox, answer `NotFound`; removing one is no fault.
/// - **watch_pushes**: `watch` reports every replica that becomes ready and every one that goes,
///   from the call on, in order for each replica.
/// - **hook_before_start**: the hook named in the spec prepares before every start and is released
///   after every end; a spec that names a hook that the manager does not offer is refused.
/// - **waiting_is_explained**: when no node can take a replica, `Waiting` is reported with the
///   reasons, and it is tried again when something changes.
///
/// # Errors
/// As above; `Unavailable` when the store or the technology cannot be reached.
///
/// # Implementing
/// Run `faas_resource::manager::conformance` against it. An adapter may delegate the whole layer.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ResourceManager: Send + Sync + 'static {
    /// Stores a workload's spec durably.
    async fn apply(&self, spec: WorkloadSpec) -> Result<()>;
    /// Says how many replicas are wanted.
    async fn scale(&self, request: ScaleRequest) -> Result<()>;
    /// Makes a pooled sandbox a replica of a workload.
    async fn assign(&self, sandbox: SandboxId, workload: WorkloadId) -> Result<()>;
    /// Removes a workload and its replicas.
    async fn remove(&self, workload: WorkloadId) -> Result<()>;
    /// One workload.
    async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus>;
    /// All workloads.
    async fn list(&self) -> Result<Vec<WorkloadStatus>>;
    /// What happens from now on.
    fn watch(&self) -> BoxStream<'static, WorkloadEvent>;
    /// What the cluster has.
    async fn capacity(&self) -> Result<Capacity>;
    /// The hooks that it calls; `None` if it does not start its own sandboxes.
    fn hooks(&self) -> Option<Hooks>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: ResourceManager + ?Sized> ResourceManager for $pointer<T> {
            async fn apply(&self, spec: WorkloadSpec) -> Result<()> {
                (**self).apply(spec).await
            }
            async fn scale(&self, request: ScaleRequest) -> Result<()> {
                (**self).scale(request).await
            }
            async fn assign(&self, sandbox: SandboxId, workload: WorkloadId) -> Result<()> {
                (**self).assign(sandbox, workload).await
            }
            async fn remove(&self, workload: WorkloadId) -> Result<()> {
                (**self).remove(workload).await
            }
            async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus> {
                (**self).get(workload).await
            }
            async fn list(&self) -> Result<Vec<WorkloadStatus>> {
                (**self).list().await
            }
            fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
                (**self).watch()
            }
            async fn capacity(&self) -> Result<Capacity> {
                (**self).capacity().await
            }
            fn hooks(&self) -> Option<Hooks> {
                (**self).hooks()
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
