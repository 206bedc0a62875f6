//! What only some agents can do: small traits of their own, each reached by one accessor of
//! [`NodeAgent`](super::NodeAgent).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Digest, Result, SandboxId, WorkloadId};

use super::SandboxStatus;
use crate::spec::SandboxSpec;

/// Runs commands inside of sandboxes.
///
/// # Contract
/// - **answers_outcome**: `exec` answers when the command has ended, with its exit code (128 and the
///   signal's number if one ended it) and the first 1 MiB of what it wrote to either output.
/// - **runs_inside**: the command sees the files and the environment of the sandbox.
/// - **refuses_bad**: an empty command, or one that cannot be started, answers `InvalidArgument`.
/// - **needs_running**: a sandbox that is not there, or does not run, answers `NotFound`.
/// - **exec_cancels**: dropping the future ends the command.
///
/// # Errors
/// As above; `Unavailable` when the technology is not there.
///
/// # Implementing
/// Run `faas_resource::agent::conformance::exec` against it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Exec: Send + Sync + 'static {
    /// Runs a command: the program and its arguments.
    async fn exec(&self, sandbox: SandboxId, command: Vec<String>) -> Result<(i32, Bytes)>;
}

/// A sandbox that is to become one of another workload.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AssignSandbox {
    /// Which one.
    pub id: SandboxId,
    /// Of which workload from now on.
    pub workload: WorkloadId,
    /// What it is from now on: of the same kind of executable, resources and hook as before.
    pub spec: Arc<SandboxSpec>,
    /// See [`EnsureSandbox::digest`](super::EnsureSandbox::digest).
    pub digest: Digest,
}

impl AssignSandbox {
    /// All that there is to be said.
    pub fn new(
        id: SandboxId,
        workload: WorkloadId,
        spec: Arc<SandboxSpec>,
        digest: Digest,
    ) -> Self {
        Self {
            id,
            workload,
            spec,
            digest,
        }
    }
}

/// Specialises pooled sandboxes: makes one of one workload one of another, without a start.
///
/// # Contract
/// - **takes_identity**: when `assign` has answered, the sandbox is listed with the new workload and
///   digest, and with the id, state and cookie that it had; its watchers are told.
/// - **serves_the_new**: what runs in it, now or when it is started later, is what the new spec says.
/// - **assign_once**: the same again changes nothing.
/// - **refuses_whole**: what cannot be changed any more in the sandbox's state (the program of a
///   process that runs) answers `Unsupported`, an executable of another kind `Unsupported`, a
///   sandbox that has ended `Conflict`; and nothing is changed.
/// - **needs_sandbox**: a sandbox that is not there answers `NotFound`.
///
/// # Errors
/// As above; `InvalidArgument` for a bad spec.
///
/// # Implementing
/// Run `faas_resource::agent::conformance::assign` against it. The resources and the hook are the
/// caller's to compare.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Assign: Send + Sync + 'static {
    /// Makes a sandbox one of another workload.
    async fn assign(&self, request: AssignSandbox) -> Result<SandboxStatus>;
}
