//! What is asked of a node is asked for a bounded time, and not longer than the node answers.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use faas_core::{Error, NodeName, Result, SandboxId};
use futures::FutureExt;

use super::Live;
use crate::agent::ExitCause;
use crate::hook::SandboxHook;

impl Live {
    /// Awaits something of a node; an agent or hook that panics, or takes longer than `limit`, or
    /// is declared lost meanwhile, is an error.
    pub(super) async fn bounded<T>(
        &self,
        operation: &'static str,
        node: &NodeName,
        limit: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut lost = self.node(node)?.lost.subscribe();
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            done = work => done.unwrap_or_else(|_| {
                let message = format!("the agent of node {node} or a hook panicked");
                Err(Error::internal(operation, message))
            }),
            // An error means that the manager is gone.
            _ = lost.wait_for(|lost| *lost) => {
                let message = format!("node {node} does not answer any more");
                Err(Error::unavailable(operation, message))
            }
            () = self.clock.sleep_until(self.clock.now() + limit) => {
                let message = format!("node {node} took longer than {limit:?}");
                Err(Error::deadline_exceeded(operation, message))
            }
        }
    }

    /// Has a hook forget a sandbox, within the time that a start may take.
    pub(super) async fn release(
        &self,
        hook: &dyn SandboxHook,
        sandbox: SandboxId,
        end: &ExitCause,
    ) {
        let released = AssertUnwindSafe(hook.release(sandbox, end)).catch_unwind();
        tokio::select! {
            biased;
            released = released => if released.is_err() {
                tracing::error!(%sandbox, "its hook panicked when released");
            },
            () = self.clock.sleep_until(self.clock.now() + self.bounds.start) => {
                tracing::error!(%sandbox, "its hook takes too long to be released");
            }
        }
    }
}
