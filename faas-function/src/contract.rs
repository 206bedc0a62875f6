//! [`Contract`]: how the router talks to what runs in a sandbox.

mod environment;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{HookName, InstanceId, Result, SandboxId};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Endpoint, SandboxHook};

pub use environment::SandboxEnvironment;

use crate::instance::FunctionInstance;
use crate::registry::FunctionRevision;

/// A sandbox to connect to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connect {
    /// Which sandbox.
    pub sandbox: SandboxId,
    /// What the instance is to be called.
    pub instance: InstanceId,
    /// How to reach it.
    pub endpoint: Endpoint,
    /// What runs in it.
    pub revision: Arc<FunctionRevision>,
}

impl Connect {
    /// A connection to make.
    pub fn new(
        sandbox: SandboxId,
        instance: InstanceId,
        endpoint: Endpoint,
        revision: Arc<FunctionRevision>,
    ) -> Self {
        Self {
            sandbox,
            instance,
            endpoint,
            revision,
        }
    }
}

/// How to talk to what runs in a sandbox. N backends and M contracts meet in the deployer: N + M
/// pieces of code, never N × M.
///
/// A contract has two halves: a [`SandboxHook`], if it needs code around the start of a sandbox
/// (a listener that the sandbox calls), and `connect`, which gives the instance.
///
/// # Contract
/// - **connects_when_ready**: `connect` answers when the sandbox takes invocations; readiness is
///   pushed by the sandbox, not polled.
/// - **cancel_safe**: dropping the future leaves no connection, listener or task.
/// - **hook_matches**: `hook` names a hook if and only if the contract needs one.
/// - **environment_is_pure**: `environment` answers the same for the same revision, names a variable
///   in one of its parts only, and reserves what the hook prepares.
///
/// # Errors
/// `Unavailable` if the sandbox ends or does not speak the contract, `Unsupported` for an endpoint
/// of a kind that it cannot use.
#[async_trait]
pub trait Contract: Send + Sync + 'static {
    /// The first half, and the name that specs give it.
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)>;
    /// The kinds of executable that can speak it.
    fn executables(&self) -> Vec<ExecutableKind>;
    /// What it adds to the environment of a revision's sandboxes, and which names it reserves.
    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment;
    /// The second half: an instance.
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>>;
}
