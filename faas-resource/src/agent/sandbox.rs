//! Sandboxes as their agent sees them.

use std::fmt;
use std::sync::Arc;

use faas_core::{Digest, SandboxId, WorkloadId};
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::hook::{Cookie, Prepared};
use crate::spec::SandboxSpec;

/// The state that a sandbox is to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    /// All is there, and nothing runs.
    Created,
    /// It was started and is frozen; one that is brought here from nothing is frozen as soon as it
    /// was started, so whoever wants it warm has it run first.
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
    /// Its node does not answer, so nobody knows; the manager says so, never an agent.
    NodeLost,
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

    /// Its kind in a word, as metrics name it.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::Signal(_) => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::StartFailure(_) => "start_failure",
            Self::Stopped => "stopped",
            Self::NodeLost => "node_lost",
            Self::Unknown => "unknown",
        }
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
            Self::NodeLost => f.write_str("lost with its node, which does not answer"),
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
    /// See [`EnsureSandbox::digest`].
    pub digest: Digest,
    /// Where it stands.
    pub phase: SandboxPhase,
    /// How to reach it; present while it runs.
    pub endpoint: Option<Endpoint>,
    /// What its hook wanted to be kept.
    pub cookie: Cookie,
}

impl SandboxStatus {
    /// A sandbox without endpoint or cookie.
    pub fn new(id: SandboxId, workload: WorkloadId, digest: Digest, phase: SandboxPhase) -> Self {
        Self {
            id,
            workload,
            digest,
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
    /// What the caller will know the spec by again: kept with the sandbox and shown with it, and
    /// nothing else to the agent.
    pub digest: Digest,
    /// The state that it is to be in.
    pub state: SandboxState,
    /// What its hook prepared: the same with every request for this sandbox.
    pub prepared: Prepared,
}

impl EnsureSandbox {
    /// A sandbox that is to run, for which no hook prepared anything, and with the digest of
    /// nothing.
    pub fn running(id: SandboxId, workload: WorkloadId, spec: Arc<SandboxSpec>) -> Self {
        let prepared = Prepared::default();
        Self {
            id,
            workload,
            spec,
            digest: Digest::of(b""),
            state: SandboxState::Running,
            prepared,
        }
    }
}
