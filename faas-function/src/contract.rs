//! [`Contract`]: how the router talks to what runs in a sandbox.

#[cfg(feature = "conformance")]
pub mod conformance;
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
/// - **ends_with_the_sandbox**: a `connect` that waits answers `Unavailable` when the hook is told
///   that the sandbox is gone.
/// - **refuses_foreign**: an endpoint of a kind that it cannot use answers `Unsupported`.
/// - **cancel_safe**: dropping the future of `connect` leaves no connection or task, and it can be
///   called again.
/// - **hook_matches**: `hook` names a hook if and only if the contract needs one.
/// - **environment_is_pure**: `environment` answers the same for the same revision, names a variable
///   in one of its parts only, and reserves what the hook prepares.
///
/// # Errors
/// `Unavailable` if the sandbox ends or does not speak the contract, or not in the time that the
/// contract gives it; `Unsupported` as above.
///
/// # Implementing
/// Run `contract_conformance!` against it, `sandbox_hook_conformance!` of `faas-resource` against
/// its hook, and `function_instance_conformance!` against its instances (feature `conformance`).
#[cfg_attr(feature = "mock", mockall::automock)]
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

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: Contract + ?Sized> Contract for $pointer<T> {
            fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
                (**self).hook()
            }
            fn executables(&self) -> Vec<ExecutableKind> {
                (**self).executables()
            }
            fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
                (**self).environment(revision)
            }
            async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
                (**self).connect(connect).await
            }
        }
    )*};
}
pointer!(Arc, Box);
