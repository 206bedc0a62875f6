//! F3, the function deployer: [`FunctionDeployer`].

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod layered;
pub mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::explain::Reason;
use faas_core::{DecisionId, Description, InstanceId, Monotonic, Result, Timeline, WorkloadId};
use faas_resource::WorkloadSpec;
use futures::stream::BoxStream;

pub use layered::LayeredDeployer;

use crate::instance::FunctionInstance;
use crate::registry::{FunctionRevision, RevisionId};

/// What is asked of the deployer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deploy {
    /// Of which revision.
    pub revision: Arc<FunctionRevision>,
    /// How many instances.
    pub instances: u32,
    /// Those that go, whatever the number; the deployer chooses more of them if need be.
    pub retiring: Vec<InstanceId>,
    /// Since when there was something to decide: demand, say.
    pub demanded: Monotonic,
    /// When it was asked: when it was decided.
    pub asked: Monotonic,
    /// The scaling decision behind it.
    pub caused_by: Option<DecisionId>,
}

impl Deploy {
    /// So many instances of a revision, decided as soon as there was something to decide.
    pub fn new(revision: Arc<FunctionRevision>, instances: u32, asked: Monotonic) -> Self {
        Self {
            revision,
            instances,
            retiring: Vec::new(),
            demanded: asked,
            asked,
            caused_by: None,
        }
    }
}

/// How a revision is deployed: a pure function of revision, demand and capacity.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The workload to apply.
    pub workload: WorkloadSpec,
    /// How many running replicas.
    pub replicas: u32,
    /// Why so.
    pub reasons: Vec<Reason>,
}

/// What the deployer reports.
#[derive(Clone)]
#[non_exhaustive]
pub enum DeployerEvent {
    /// An instance takes invocations.
    Ready {
        /// Of which revision.
        revision: Arc<FunctionRevision>,
        /// The instance.
        instance: Arc<dyn FunctionInstance>,
        /// Where the time of its start went.
        timeline: Timeline,
        /// The decision that it is there by; its causes tell what it was started for.
        caused_by: Option<DecisionId>,
    },
    /// An instance takes no more.
    Gone {
        /// Of which revision.
        revision: Arc<FunctionRevision>,
        /// Which instance.
        instance: InstanceId,
        /// Why.
        reason: Reason,
    },
    /// None can be started now: why.
    Waiting {
        /// Of which revision.
        revision: Arc<FunctionRevision>,
        /// What keeps it.
        error: faas_core::Error,
    },
}

impl std::fmt::Debug for DeployerEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready { instance, .. } => f.debug_tuple("Ready").field(&instance.id()).finish(),
            Self::Gone {
                instance, reason, ..
            } => f.debug_tuple("Gone").field(instance).field(reason).finish(),
            Self::Waiting { error, .. } => f.debug_tuple("Waiting").field(error).finish(),
        }
    }
}

/// Ensures that instances of a function are deployed; combines the registry's configuration with
/// demand and capacity into a plan, and delegates the doing to the resource layer.
///
/// ```text
/// F6 decision ──▶ F3 FunctionDeployer ── apply, scale ──▶ R2 ResourceManager
///                      │    ▲                                   │
///   F5 ◀── Ready ──────┘    └────────── Ready, Gone ────────────┘
/// ```
///
/// # Contract
/// - **plan_is_pure**: the same request has the same plan.
/// - **refuses_bad_combinations**: a runtime without a contract, an executable that its contract
///   cannot run, and a hook on a manager that offers none answer `Unsupported` and say so.
/// - **converges**: after `deploy`, as many instances become ready as were asked for, within the
///   revision's bounds.
/// - **reports_each_once**: every instance is reported ready once, and gone once after that.
/// - **watch_catches_up**: a watch that was not read for long misses no instance that is ready, and
///   none that it was told of and that is gone.
/// - **replaces_the_failed**: an instance that fails is reported gone, and another takes its place.
/// - **drains_the_retiring**: an instance that is to go, named or chosen, is reported gone at once;
///   its sandbox ends when nothing runs in it any more, and at the latest after the function's
///   timeout.
/// - **adopts**: instances of an earlier life are reported once their revision is prepared or
///   deployed; `prepare` ends none of them, and answers how many there are.
/// - **remove_leaves_nothing**: after `remove`, no instance of the revision is left; removing what
///   is not deployed is no fault.
/// - **lists_the_deployed**: `list` names what was prepared or deployed and not removed since, in
///   this life or an earlier one.
///
/// # Errors
/// As above; those of the resource layer. After an error, doing it again is safe.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait FunctionDeployer: Send + Sync + 'static {
    /// How a request would be carried out.
    fn plan(&self, request: &Deploy) -> Result<Plan>;
    /// Does what is slow and needs no demand, so that no later `deploy` waits for it.
    async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32>;
    /// Carries a request out; instances are reported by `watch` as they become ready.
    async fn deploy(&self, request: Deploy) -> Result<WorkloadId>;
    /// Ends all instances of a revision, and forgets it.
    async fn remove(&self, revision: &RevisionId) -> Result<()>;
    /// What is deployed.
    async fn list(&self) -> Result<Vec<RevisionId>>;
    /// What happens from now on.
    fn watch(&self) -> BoxStream<'static, DeployerEvent>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: FunctionDeployer + ?Sized> FunctionDeployer for $pointer<T> {
            fn plan(&self, request: &Deploy) -> Result<Plan> {
                (**self).plan(request)
            }
            async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32> {
                (**self).prepare(revision).await
            }
            async fn deploy(&self, request: Deploy) -> Result<WorkloadId> {
                (**self).deploy(request).await
            }
            async fn remove(&self, revision: &RevisionId) -> Result<()> {
                (**self).remove(revision).await
            }
            async fn list(&self) -> Result<Vec<RevisionId>> {
                (**self).list().await
            }
            fn watch(&self) -> BoxStream<'static, DeployerEvent> {
                (**self).watch()
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
