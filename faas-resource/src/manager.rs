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
///   changes nothing; applying a changed spec replaces the replicas of the old one.
/// - **apply_validates**: a bad spec answers `InvalidArgument` with every fault and changes nothing.
/// - **scale_converges**: after `scale`, as many replicas come to run as are wanted, within the
///   spec's bounds; more are stopped. Those named `retiring` are stopped whatever the counts, and
///   replaced where the counts want it.
/// - **scale_is_soft**: `scale` waits for no store.
/// - **replaces_the_dead**: a replica that ends while it is wanted is replaced.
/// - **starts_nothing_twice**: no more sandboxes are started than were ever wanted at once plus
///   those that ended; after a restart what still runs is adopted.
/// - **remove_leaves_nothing**: after `remove` has answered and its `Removed` was reported, no
///   replica is left on any node.
/// - **unknown_workload**: `scale`, `assign` and `get` of an unknown workload answer `NotFound`;
///   removing one is no fault.
/// - **watch_pushes**: `watch` reports every replica that becomes ready and every one that goes,
///   from the call on, in order for each replica.
/// - **hook_before_start**: the hook named in the spec prepares before every start and is released
///   after every end; a spec that names a hook that the manager does not offer is refused.
/// - **waiting_is_explained**: when no node can take a replica, `Waiting` is reported with the
///   reasons, and it is tried again when something changes.
///
/// # Errors
/// As above; `Unsupported` for what the technology cannot do (`assign`, states), `Unavailable`
/// when the store or the technology cannot be reached.
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
