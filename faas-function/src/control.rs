//! [`Control`]: the loop that joins router, autoscaler and deployer.
//!
//! ```text
//! F5 demand ──▶ F6 observe, decide ──▶ F3 deploy ──▶ … ──▶ F3 Ready, Gone ──▶ F5 add, remove
//! ```
//!
//! It is the only place that calls the policy: what it decides is recorded, with its reasons, as
//! the cause of all that follows. It follows the registry, too: what is registered is prepared, so
//! that no cold start waits for a store, and what is not any more is removed, whoever deployed it.

mod core;
mod guarded;
mod live;
mod works;

use std::sync::Arc;

use faas_core::explain::DecisionLog;
use faas_core::{Clock, Resources};
use tokio::task::JoinHandle;

use self::core::Core;
use self::live::Live;
use crate::{FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};

/// The parts that the loop joins.
#[derive(Clone)]
#[non_exhaustive]
pub struct ControlParts {
    /// F1: what a revision is.
    pub metadata: Arc<dyn MetadataStore>,
    /// F3.
    pub deployer: Arc<dyn FunctionDeployer>,
    /// F5.
    pub router: Arc<dyn FunctionRouter>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where decisions are recorded.
    pub log: DecisionLog,
    /// What all instances together may take; without a bound unless it is set.
    pub limit: Option<Resources>,
}

impl ControlParts {
    /// All of them.
    pub fn new(
        metadata: Arc<dyn MetadataStore>,
        deployer: Arc<dyn FunctionDeployer>,
        router: Arc<dyn FunctionRouter>,
        clock: Arc<dyn Clock>,
        log: DecisionLog,
    ) -> Self {
        Self {
            metadata,
            deployer,
            router,
            clock,
            log,
            limit: None,
        }
    }
}

impl std::fmt::Debug for ControlParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlParts").finish_non_exhaustive()
    }
}

/// The running loop; it ends when this is dropped.
#[derive(Debug)]
pub struct Control(JoinHandle<()>);

impl Drop for Control {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Control {
    /// Starts the loop with a policy. It must be called within a tokio runtime.
    pub fn start(parts: ControlParts, policy: Box<dyn FunctionAutoscaler>, seed: u64) -> Self {
        let core = Core::new(policy, seed, parts.log.clone(), parts.limit.clone());
        Self(tokio::spawn(Live::new(parts, core).run()))
    }

    /// Ends the loop: nothing is scaled any more.
    pub fn stop(&self) {
        self.0.abort();
    }
}
