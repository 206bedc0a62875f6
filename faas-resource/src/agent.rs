//! R4, the node agent: [`NodeAgent`].

#[cfg(feature = "conformance")]
pub mod conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{ByteSize, Description, Name, NodeName, Resources, Result, SandboxId, WorkloadId};
use futures::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::hook::{Cookie, Prepared, Reach, ReachKind};
use crate::spec::{ExecutableKind, SandboxSpec};

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

/// The state that a sandbox is to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    /// All is there, and nothing runs.
    Created,
    /// It ran and is frozen.
    Paused,
    /// It runs.
    Running,
}

/// How a sandbox came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCause {
    /// It ended by itself, with this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
    /// It took more memory than it had.
    OutOfMemory,
    /// It never ran: why.
    StartFailure(String),
    /// We stopped it.
    Stopped,
    /// The agent cannot tell.
    Unknown,
}

/// The kinds of [`ExitCause`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExitCauseKind {
    /// See [`ExitCause::Code`].
    Code,
    /// See [`ExitCause::Signal`].
    Signal,
    /// See [`ExitCause::OutOfMemory`].
    OutOfMemory,
    /// See [`ExitCause::StartFailure`].
    StartFailure,
}

impl ExitCause {
    /// Whether what ran in the sandbox ended it, rather than we or the loss of its node.
    pub const fn is_its_own(&self) -> bool {
        matches!(self, Self::Code(_) | Self::Signal(_) | Self::OutOfMemory)
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::StartFailure(why) => write!(f, "failed to start: {why}"),
            Self::Stopped => f.write_str("stopped"),
            Self::Unknown => f.write_str("gone for an unknown cause"),
        }
    }
}

/// Where a sandbox stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxPhase {
    /// In the state asked for.
    In(SandboxState),
    /// At its end; listed until it is stopped.
    Exited(ExitCause),
}

/// A sandbox as its agent sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SandboxStatus {
    /// Which one.
    pub id: SandboxId,
    /// Of which workload.
    pub workload: WorkloadId,
    /// Where it stands.
    pub phase: SandboxPhase,
    /// How to reach it; present while it runs.
    pub endpoint: Option<Endpoint>,
    /// What its hook wanted to be kept.
    pub cookie: Cookie,
}

impl SandboxStatus {
    /// A sandbox without endpoint or cookie.
    pub fn new(id: SandboxId, workload: WorkloadId, phase: SandboxPhase) -> Self {
        Self {
            id,
            workload,
            phase,
            endpoint: None,
            cookie: Cookie::default(),
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.phase == SandboxPhase::In(SandboxState::Running)
    }
}

/// A sandbox that is to be in a state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnsureSandbox {
    /// Which one.
    pub id: SandboxId,
    /// Of which workload.
    pub workload: WorkloadId,
    /// What it is.
    pub spec: Arc<SandboxSpec>,
    /// The state that it is to be in.
    pub state: SandboxState,
    /// What its hook prepared.
    pub prepared: Prepared,
}

impl EnsureSandbox {
    /// A sandbox that is to run, and for which no hook prepared anything.
    pub fn running(id: SandboxId, workload: WorkloadId, spec: Arc<SandboxSpec>) -> Self {
        let prepared = Prepared::default();
        Self {
            id,
            workload,
            spec,
            state: SandboxState::Running,
            prepared,
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
/// - **ensure_states**: a state that `node().states` does not name answers `Unsupported` and
///   changes nothing.
/// - **ensure_refuses_foreign**: an executable of a kind that `node().executables` does not name
///   answers `Unsupported`.
/// - **start_failure**: a sandbox that cannot start answers an error that says why, and leaves
///   nothing behind.
/// - **stop_ends**: when `stop` has answered, the sandbox does not run, is not listed, and nothing
///   of it is left: no zombie, socket, directory, container. It is graceful first, and forced after
///   `grace`.
/// - **stop_unknown**: stopping what is not there is no fault.
/// - **list_shows_all**: `list` shows every sandbox that was ensured and not stopped.
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
    fn exec(&self) -> Option<Arc<dyn Exec>>;
    /// What this is.
    fn describe(&self) -> Description;
}

/// Runs commands inside of sandboxes: a capability that only some agents have.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Exec: Send + Sync + 'static {
    /// Runs a command and answers its exit code and what it wrote (1 MiB at most).
    async fn exec(&self, sandbox: SandboxId, command: Vec<String>) -> Result<(i32, Bytes)>;
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
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
