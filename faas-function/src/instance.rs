//! F4, the function instance: [`FunctionInstance`].

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{InstanceId, Invocation, Monotonic, Response, Result};
use futures::future::BoxFuture;

/// Is told when a slot is free again.
pub trait SlotOwner: Send + Sync + 'static {
    /// A slot of `instance` is free; called exactly once per permit.
    fn released(&self, instance: InstanceId);
}

/// The right to one slot of an instance. Whoever runs the invocation holds it until the instance
/// is idle again; dropping it frees the slot.
#[must_use = "dropping the permit frees the slot"]
pub struct Permit {
    owner: Arc<dyn SlotOwner>,
    instance: InstanceId,
    granted: Option<Monotonic>,
}

impl Permit {
    /// A permit for a slot that `owner` has taken.
    #[inline]
    pub fn new(owner: Arc<dyn SlotOwner>, instance: InstanceId) -> Self {
        Self {
            owner,
            instance,
            granted: None,
        }
    }

    /// Says since when it is held, so that the instance need not ask for the time.
    #[inline]
    pub fn since(mut self, granted: Monotonic) -> Self {
        self.granted = Some(granted);
        self
    }

    /// Since when it is held, if whoever gave it said so.
    #[inline]
    pub fn granted(&self) -> Option<Monotonic> {
        self.granted
    }

    /// Of which instance.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.owner.released(self.instance);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.instance).finish()
    }
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes invocations.
    Ready,
    /// It takes no more: it is being drained.
    Draining,
    /// It must be replaced: why.
    Failed(String),
}

/// A self-contained worker that executes a function.
///
/// ```text
/// F5 FunctionRouter ── invoke(permit) ──▶ F4 FunctionInstance ──▶ sandbox
///        ▲                                     │
///        └──────── permit dropped: idle ───────┘
/// ```
///
/// # Contract
/// - **function_failure_is_ok**: a failing function is a response whose outcome says so.
/// - **permit_until_idle**: the permit is dropped when the instance is idle again, not sooner; if
///   it cannot become idle it is `failed`, and the permit is dropped after that.
/// - **concurrent**: as many invocations as it is configured for run at once, each with an answer
///   of its own. Permits bound them, not the instance.
/// - **cancel_by_drop**: dropping the invoke future or the response's body cancels the call, where
///   the contract can; else it runs to its end, and keeps its permit until then.
/// - **dead_is_classified**: an instance that dies fails its invocations with `Unavailable`,
///   `Retry::Safe` if the request was not delivered, else `Retry::Ambiguous`.
/// - **exit_is_a_failure**: where it is known that what ran in the sandbox ended it (it exited, a
///   signal or the want of memory killed it), an invocation that was delivered has the outcome
///   `Function.Exit`, with the cause, instead: the platform did its part, and how far the function
///   came is the function's to say.
/// - **failed_resolves**: `failed` ends when the instance must be replaced, and not before.
/// - **drain_waits**: `drain` ends when no invocation runs, or at its deadline; a draining instance
///   refuses new ones with `Unavailable` and `Retry::Safe`.
/// - **response_bounded**: a response over the limit is the function's failure
///   `Function.ResponseTooLarge`; one after the timeout `Function.Timeout`.
/// - **deadline_is_the_callers**: an invocation whose own deadline passes first answers
///   `DeadlineExceeded`: that is no failure of the function.
/// - **streams_as_it_comes**: a body that streams is passed on as it comes, and ends with one
///   trailer.
///
/// # Errors
/// As above.
///
/// # Implementing
/// Permits are dropped without a lock held: whoever hears of it may call the instance. Run
/// `function_instance_conformance!` (feature `conformance`) against it; `faas-runtimes` does so
/// with contracts that call the sandbox and with contracts that the sandbox calls.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait FunctionInstance: Send + Sync + 'static {
    /// Which one.
    fn id(&self) -> InstanceId;
    /// Runs one invocation.
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response>;
    /// How it is.
    fn health(&self) -> Health;
    /// Ends when it must be replaced, with the reason.
    fn failed(&self) -> BoxFuture<'static, String>;
    /// Takes no more, and waits for those that run, until `deadline`.
    async fn drain(&self, deadline: Monotonic) -> Result<()>;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: FunctionInstance + ?Sized> FunctionInstance for $pointer<T> {
            fn id(&self) -> InstanceId {
                (**self).id()
            }
            // The future of what it points to, and none around it.
            fn invoke<'a, 'f>(
                &'a self,
                invocation: Invocation,
                permit: Permit,
            ) -> BoxFuture<'f, Result<Response>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).invoke(invocation, permit)
            }
            fn health(&self) -> Health {
                (**self).health()
            }
            fn failed(&self) -> BoxFuture<'static, String> {
                (**self).failed()
            }
            async fn drain(&self, deadline: Monotonic) -> Result<()> {
                (**self).drain(deadline).await
            }
        }
    )*};
}
pointer!(Arc, Box);
