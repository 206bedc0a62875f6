//! What the core leaves for the live half to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{HookName, NodeName, SandboxId};

use super::core::Template;
use crate::agent::{ExitCause, SandboxState, SandboxStatus};
use crate::endpoint::Endpoint;
use crate::workload::WorkloadEvent;

/// One thing to be done; they are begun in the order in which they were left.
#[derive(Debug)]
pub(super) enum Action {
    /// Tell the watchers.
    Tell(WorkloadEvent),
    /// Prepare and ensure a sandbox, then call [`Core::moved`](super::core::Core::moved).
    Move(Move),
    /// Resume the hook of a sandbox of an earlier life, then call
    /// [`Core::resumed`](super::core::Core::resumed).
    Resume(SandboxStatus, NodeName, Arc<Template>),
    /// Stop a sandbox, release its hook, then call [`Core::stopped`](super::core::Core::stopped).
    Stop(Stop),
    /// Release the hook of a sandbox that is lost with its node.
    Release(HookName, SandboxId),
    /// Bind the endpoint of a sandbox in the naming service, or unbind it.
    Name(NodeName, SandboxId, Option<Endpoint>),
    /// Unbind the names of all other sandboxes of a node.
    Sweep(NodeName, BTreeSet<SandboxId>),
}

#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) sandbox: SandboxId,
    pub(super) node: NodeName,
    pub(super) template: Arc<Template>,
    pub(super) to: SandboxState,
    /// How long it took to decide that.
    pub(super) place: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) sandbox: SandboxId,
    pub(super) node: NodeName,
    pub(super) grace: Duration,
    pub(super) hook: Option<HookName>,
    /// How it ended; `Stopped` if it is this stop that ends it.
    pub(super) end: ExitCause,
}
