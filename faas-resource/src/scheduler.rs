//! R3, the resource scheduler: [`ResourceScheduler`].

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod filter_score;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Description, Monotonic, NodeName, PolicyContext, Result, SandboxId};

use crate::agent::{NodeInfo, SandboxState};
use crate::hook::ReachKind;
use crate::workload::WorkloadSpec;

pub use filter_score::FilterScore;
pub use view::{ClusterView, NodeView, PlacedSandbox};
pub(crate) use view::{Group, Rooms};

/// What has changed in a cluster: see [`ClusterView::apply`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClusterChange {
    /// A node came, or is other than it was.
    Node(Arc<NodeInfo>, bool),
    /// A node is gone, with all on it.
    NodeGone(NodeName),
    /// A sandbox has its place.
    Placed(NodeName, SandboxId, PlacedSandbox),
    /// A sandbox has left its place.
    Freed(NodeName, SandboxId),
}

/// A sandbox that needs a place.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlacementRequest {
    /// Which sandbox.
    pub sandbox: SandboxId,
    /// Its workload: spec, rules and priority.
    pub workload: Arc<WorkloadSpec>,
    /// The state that it is to be in there, from which it can be made to run.
    pub state: SandboxState,
    /// Its hook needs one of these, unless empty.
    pub reach: Vec<ReachKind>,
    /// Only there: it is there already, under another workload.
    pub only: Option<NodeName>,
    /// Where starts of this workload failed of late: better anywhere else.
    pub avoid: BTreeSet<NodeName>,
}

impl PlacementRequest {
    /// A sandbox that is to run, anywhere, and whose hook needs nothing.
    pub fn new(sandbox: SandboxId, workload: Arc<WorkloadSpec>) -> Self {
        Self {
            sandbox,
            workload,
            state: SandboxState::Running,
            reach: Vec::new(),
            only: None,
            avoid: BTreeSet::new(),
        }
    }
}

/// What was decided for one request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Placement {
    /// It goes there.
    On {
        /// Where to.
        node: NodeName,
        /// Who must go first.
        preempts: Vec<SandboxId>,
        /// Why there.
        reasons: Vec<Reason>,
    },
    /// It can go nowhere now.
    Unschedulable {
        /// Why not: a few sentences over all nodes, with how many each concerns.
        reasons: Vec<Reason>,
        /// Why not on this node, for the first hundred.
        nodes: Vec<(NodeName, Reason)>,
    },
}

/// Decides for each sandbox on which node it goes: a policy.
///
/// ```text
/// batch of requests + cluster view ──▶ R3 ResourceScheduler ──▶ a placement, or reasons, for each
/// ```
///
/// # Contract
/// - **answers_each**: one answer per request, in the order of the requests.
/// - **never_overcommits**: with all its answers carried out (preempted sandboxes gone), no node
///   holds more than its capacity.
/// - **respects_kind**: a sandbox goes only to a node that is open, runs its kind of executable,
///   offers the state that it is to be in and a reach that it needs, and is the one that the request
///   names, if it names one.
/// - **respects_rules**: every constraint, taint and `apart` rule holds after the batch.
/// - **preempts_only_lower**: whoever is preempted has a lower priority than whom it makes room for.
/// - **explains_refusals**: a refusal has at least one reason.
/// - **avoids_failures**: a sandbox goes to a node that its request says to avoid only if no other
///   takes it.
/// - **deterministic**: the same view, batch, history of changes and seed give the same answers.
/// - **save_restore**: a scheduler restored from what another saved decides as that one would.
///
/// # Errors
/// `restore` of bytes that it did not save is `InvalidArgument`, and changes nothing.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ResourceScheduler: Send + Sync + 'static {
    /// Learns of a change, for indexes of its own.
    fn observe(&mut self, change: &ClusterChange);
    /// Decides for a batch.
    fn schedule(
        &mut self,
        context: &mut PolicyContext,
        cluster: &ClusterView,
        batch: &[PlacementRequest],
    ) -> Vec<Placement>;
    /// When it wants to be asked again although nothing changed.
    fn wake_at(&self) -> Option<Monotonic>;
    /// Its state.
    fn save(&self) -> Bytes;
    /// Takes up a saved state.
    fn restore(&mut self, state: &[u8]) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}
