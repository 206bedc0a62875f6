//! [`SandboxHook`]: code of a contract that runs around each start of a sandbox.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{HookName, Result, SandboxId};
use serde::{Deserialize, Serialize};

use crate::agent::ExitCause;

/// From where a sandbox can reach us, on one node and network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reach {
    /// It shares our loopback interface.
    Loopback,
    /// It reaches us at this address of the host.
    Gateway(IpAddr),
    /// A directory that both see: here, and as the sandbox sees it. Ours alone: made for this
    /// sandbox, and removed with it.
    Mount {
        /// As we see it.
        host: PathBuf,
        /// As the sandbox sees it.
        guest: PathBuf,
    },
    /// It reaches us at our pod's address.
    Pod(IpAddr),
}

/// The kinds of [`Reach`]; nodes offer some, hooks need one of some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReachKind {
    /// See [`Reach::Loopback`].
    Loopback,
    /// See [`Reach::Gateway`].
    Gateway,
    /// See [`Reach::Mount`].
    Mount,
    /// See [`Reach::Pod`].
    Pod,
}

impl Reach {
    /// Its kind.
    pub const fn kind(&self) -> ReachKind {
        match self {
            Self::Loopback => ReachKind::Loopback,
            Self::Gateway(_) => ReachKind::Gateway,
            Self::Mount { .. } => ReachKind::Mount,
            Self::Pod(_) => ReachKind::Pod,
        }
    }
}

/// What a hook wants to remember about a sandbox across our restarts; kept with the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cookie(pub Bytes);

/// What a hook has prepared for one start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Prepared {
    /// Added to the sandbox's environment; wins over the spec's.
    pub environment: BTreeMap<String, String>,
    /// Kept with the sandbox, for [`SandboxHook::resume`].
    pub cookie: Cookie,
}

/// Runs code of a contract around each start of a sandbox: a *pull* contract (the sandbox calls
/// us) needs a listener that exists before the sandbox does.
///
/// ```text
/// ResourceManager ── prepare(sandbox, reach) ──▶ hook     then NodeAgent::ensure(Running)
///        │                                         ▲
///        └── release(sandbox, end) when it is gone └── the contract's connect() meets it here
/// ```
///
/// Whoever starts a sandbox calls `prepare` immediately before every start, replacements included,
/// adds what it answers to the environment, keeps the cookie with the sandbox, and calls `release`
/// once the sandbox is gone.
///
/// # Contract
/// - **prepare_once**: `prepare` of a sandbox that is prepared already answers what it answered.
/// - **refuses_reach**: a reach of a kind that `needs` does not name, or none where it names some,
///   answers `Unsupported`, and nothing is left of it.
/// - **sandboxes_are_apart**: sandboxes that are prepared at once do not share what is prepared, and
///   one's release leaves the others as they are.
/// - **release_frees**: after `release` nothing of the sandbox is left: no listener, socket, task.
///   Releasing an unknown sandbox is no fault, and one that was released can be prepared again.
/// - **cancel_safe**: dropping the future of `prepare` leaves nothing that `release` does not free.
/// - **resume_or_refuse**: `resume` makes a sandbox that an earlier life of this process prepared
///   reachable again, as it was; or it refuses, and leaves nothing; a refused sandbox is replaced.
///
/// # Errors
/// `Unavailable` if the listener cannot be made now, `Unsupported` as above and from a `resume` that
/// it cannot do.
///
/// # Implementing
/// Run `sandbox_hook_conformance!` (feature `conformance`) against it.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SandboxHook: Send + Sync + 'static {
    /// The kinds of reach that it can use, best first; empty if it needs none.
    fn needs(&self) -> Vec<ReachKind>;
    /// Prepares one start; `reach` is of the first kind of `needs` that the node offers.
    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared>;
    /// Takes up a sandbox that an earlier life of this process prepared.
    async fn resume(&self, sandbox: SandboxId, reach: Option<Reach>, cookie: &Cookie)
    -> Result<()>;
    /// Forgets a sandbox that is gone; `end` is what its agent reported, `Stopped` if we ended it.
    async fn release(&self, sandbox: SandboxId, end: &ExitCause);
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: SandboxHook + ?Sized> SandboxHook for $pointer<T> {
            fn needs(&self) -> Vec<ReachKind> {
                (**self).needs()
            }
            async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
                (**self).prepare(sandbox, reach).await
            }
            async fn resume(
                &self,
                sandbox: SandboxId,
                reach: Option<Reach>,
                cookie: &Cookie,
            ) -> Result<()> {
                (**self).resume(sandbox, reach, cookie).await
            }
            async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
                (**self).release(sandbox, end).await;
            }
        }
    )*};
}
pointer!(Arc, Box);

/// The hooks that a resource manager offers, by name.
#[derive(Clone, Default)]
pub struct Hooks(BTreeMap<HookName, Arc<dyn SandboxHook>>);

impl Hooks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one.
    pub fn register(&mut self, name: HookName, hook: Arc<dyn SandboxHook>) {
        self.0.insert(name, hook);
    }

    /// The one of that name.
    pub fn get(&self, name: &HookName) -> Option<&Arc<dyn SandboxHook>> {
        self.0.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &HookName> {
        self.0.keys()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
