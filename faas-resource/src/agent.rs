//! R4, the node agent: [`NodeAgent`].

mod capability;
#[cfg(feature = "conformance")]
pub mod conformance;
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{ByteSize, Description, Name, NodeName, Resources, Result, SandboxId};
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::hook::{Reach, ReachKind};
use crate::spec::ExecutableKind;

pub use capability::{Assign, AssignSandbox, Exec};
#[cfg(feature = "mock")]
pub use capability::{MockAssign, MockExec};
pub use sandbox::{
    EnsureSandbox, ExitCause, ExitCauseKind, SandboxPhase, SandboxState, SandboxStatus,
};

/// What a node is and has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its name, unique in the cluster.
    pub name: NodeName,
    /// What placement can be constrained by: zone, architecture, …
    pub labels: BTreeMap<Name, Name>,
    /// Marks that keep sandboxes away which do not tolerate them.
    pub taints: BTreeSet<Name>,
    /// What it can give to sandboxes.
    pub capacity: Resources,
    /// What it runs.
    pub executables: BTreeSet<ExecutableKind>,
    /// From where its sandboxes reach us.
    pub reach: BTreeSet<ReachKind>,
    /// The states that `ensure` can bring a sandbox to.
    pub states: BTreeSet<SandboxState>,
    /// The exit causes that it can tell apart.
    pub exit_causes: BTreeSet<ExitCauseKind>,
    /// Whether its sandboxes outlive us, to be adopted after a restart.
    pub sandboxes_outlive_us: bool,
}

impl NodeInfo {
    /// A node that runs sandboxes of one kind and says no more about itself.
    pub fn new(name: NodeName, capacity: Resources, executables: ExecutableKind) -> Self {
        Self {
            name,
            labels: BTreeMap::new(),
            taints: BTreeSet::new(),
            capacity,
            executables: [executables].into(),
            reach: BTreeSet::new(),
            states: [SandboxState::Running].into(),
            exit_causes: BTreeSet::new(),
            sandboxes_outlive_us: false,
        }
    }
}

/// What happened on a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A sandbox has changed.
    Sandbox(SandboxStatus),
    /// A sandbox has left the list.
    Removed(SandboxId),
    /// The node's own description has changed.
    Node(Box<NodeInfo>),
    /// Events may be missing: list again.
    Resync,
}

/// Which stream a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line that a sandbox wrote, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Where from.
    pub stream: LogStream,
    /// What it says.
    pub text: Bytes,
}

/// What a sandbox consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SandboxUsage {
    /// Processor time so far, where the agent can tell.
    pub cpu: Option<Duration>,
    /// Memory now, where the agent can tell.
    pub memory: Option<ByteSize>,
    /// The most memory so far, where the agent can tell.
    pub peak_memory: Option<ByteSize>,
}

/// On each node: watches local resources, informs the resource manager, carries out its
/// instructions.
///
/// ```text
/// R2 ResourceManager ── ensure, stop ──▶ R4 NodeAgent ──▶ sandboxes of one node
///           ▲                                │
///           └──────── watch: exits ──────────┘
/// ```
///
/// # Contract
/// - **ensure_running**: `ensure(…, Running)` answers when the sandbox runs, with its endpoint.
/// - **ensure_once**: however often and from however many callers a sandbox is ensured, it is
///   started once; the same state again changes nothing.
/// - **ensure_states**: each state that `node().states` names, `Running` among them, is reached from
///   nothing; one that it does not name answers `Unsupported` and changes nothing.
/// - **ensure_moves**: of the states that it names, each is reached from each other, except that
///   what ran is never `Created` again: that answers `Conflict` and changes nothing.
/// - **paused_is_frozen**: a paused sandbox does no work and has no endpoint; when it runs again, it
///   goes on where it was.
/// - **ensure_refuses_foreign**: an executable of a kind that `node().executables` does not name
///   answers `Unsupported`.
/// - **start_failure**: a sandbox that cannot start answers an error that says why, and leaves
///   nothing behind.
/// - **stop_ends**: when `stop` has answered, the sandbox, whatever its state was, does not run, is
///   not listed, and nothing of it is left: no zombie, socket, directory, container. It is graceful first, and forced after
///   `grace`.
/// - **stop_unknown**: stopping what is not there is no fault.
/// - **list_shows_all**: `list` shows every sandbox that was ensured and not stopped, with the
///   workload, digest and cookie of the request that brought it into being.
/// - **exit_reported**: every end of a sandbox is reported by `watch`, with a cause of those that
///   `node().exit_causes` names; until it is stopped, `list` shows it as exited.
/// - **watch_pushes**: `watch` reports what happens from the call on; a reader that falls behind
///   gets `Resync` instead of what it missed.
/// - **cancel_safe**: dropping the future of `ensure` leaves a sandbox that `list` shows, or none.
/// - **dies_with_us**: unless `sandboxes_outlive_us`, no sandbox outlives this process.
///
/// # Errors
/// `Unsupported` as above, `InvalidArgument` for a bad spec, `Unavailable` when the handler or the
/// technology is not there, `Exhausted` when the node is full, `NotFound` from `logs` and `usage`.
///
/// # Implementing
/// Run `faas_resource::agent::conformance` against it. `faas-memory`'s node is the shortest
/// example.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait NodeAgent: Send + Sync + 'static {
    /// What the node is and has.
    fn node(&self) -> NodeInfo;
    /// From where `sandbox` will reach us; asked before its hook prepares. `None` if the node does
    /// not offer that kind.
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>>;
    /// Brings a sandbox to a state.
    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus>;
    /// Ends a sandbox and removes all that is left of it.
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()>;
    /// All sandboxes of the node.
    async fn list(&self) -> Result<Vec<SandboxStatus>>;
    /// What happens from now on.
    fn watch(&self) -> BoxStream<'static, NodeEvent>;
    /// The lines that a sandbox wrote: those kept, then, if `follow`, those to come until its end.
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>>;
    /// What a sandbox consumes.
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage>;
    /// Running a command inside of a sandbox, where the technology can.
    fn exec(&self) -> Option<Arc<dyn Exec>> {
        None
    }
    /// Giving a sandbox to another workload, where the technology can.
    fn assign(&self) -> Option<Arc<dyn Assign>> {
        None
    }
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: NodeAgent + ?Sized> NodeAgent for $pointer<T> {
            fn node(&self) -> NodeInfo {
                (**self).node()
            }
            async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
                (**self).reach(sandbox, kind).await
            }
            async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
                (**self).ensure(request).await
            }
            async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
                (**self).stop(sandbox, grace).await
            }
            async fn list(&self) -> Result<Vec<SandboxStatus>> {
                (**self).list().await
            }
            fn watch(&self) -> BoxStream<'static, NodeEvent> {
                (**self).watch()
            }
            fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
                (**self).logs(sandbox, follow)
            }
            async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
                (**self).usage(sandbox).await
            }
            fn exec(&self) -> Option<Arc<dyn Exec>> {
                (**self).exec()
            }
            fn assign(&self) -> Option<Arc<dyn Assign>> {
                (**self).assign()
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
