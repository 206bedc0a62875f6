//! Epochs: which engine owns what.

use async_trait::async_trait;
use faas_core::Result;
use serde::{Deserialize, Serialize};

/// One engine's time of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// What to open.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OpenEpoch {
    /// Whether this engine is the store's only one: then all earlier epochs are void at once.
    pub exclusive: bool,
}

impl OpenEpoch {
    /// The store's only engine.
    pub const fn exclusive() -> Self {
        Self { exclusive: true }
    }

    /// One engine of several.
    pub const fn shared() -> Self {
        Self { exclusive: false }
    }
}

/// An epoch that is not void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochState {
    /// Which one.
    pub epoch: Epoch,
    /// How often it was renewed.
    pub renewals: u64,
}

/// The epochs of the engines that share an execution store; its contract is part of that of
/// [`WorkflowExecutionStore`](super::WorkflowExecutionStore).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Epochs: Send + Sync + 'static {
    /// Begins to own executions.
    async fn open(&self, request: OpenEpoch) -> Result<EpochState>;
    /// Says that the epoch's engine lives.
    async fn renew(&self, epoch: Epoch) -> Result<EpochState>;
    /// Ends an epoch, one's own or a silent engine's; a void one stays void.
    async fn void(&self, epoch: Epoch) -> Result<()>;
    /// The epochs that are not void, oldest first.
    async fn list(&self) -> Result<Vec<EpochState>>;
}
