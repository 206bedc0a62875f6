//! F6, the function autoscaler: [`FunctionAutoscaler`].

mod concurrency;
#[cfg(feature = "conformance")]
pub mod conformance;
mod fixed;
mod room;
mod window;

use std::collections::BTreeMap;
use std::time::Duration;

pub use concurrency::{ConcurrencyOptions, ConcurrencyTarget};
pub use fixed::Fixed;

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Description, InstanceId, Monotonic, PolicyContext, Resources, Result};

pub use crate::registry::RevisionId;

/// Demand and supply of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevisionLoad {
    /// Invocations that run.
    pub running: u32,
    /// The integral of `running` over the time since the router has known the revision, so that
    /// between two reports no short call is overlooked and none counts for long; `None` where the
    /// router cannot tell.
    pub busy: Option<Duration>,
    /// Invocations that wait.
    pub queued: u32,
    /// Instances that take invocations.
    pub ready: u32,
    /// Instances that are being started.
    pub starting: u32,
    /// Instances without work, and since when.
    pub idle: Vec<(InstanceId, Monotonic)>,
    /// How many invocations one instance takes at once.
    pub concurrency: u32,
    /// Never fewer instances.
    pub min: u32,
    /// Never more instances.
    pub max: u32,
    /// What one instance takes.
    pub resources: Resources,
}

impl RevisionLoad {
    /// No demand and no supply of a revision with these bounds.
    pub fn idle(concurrency: u32, min: u32, max: u32, resources: Resources) -> Self {
        Self {
            running: 0,
            busy: None,
            queued: 0,
            ready: 0,
            starting: 0,
            idle: Vec::new(),
            concurrency,
            min,
            max,
            resources,
        }
    }
}

/// All revisions under one limit.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Each revision's load.
    pub revisions: BTreeMap<RevisionId, RevisionLoad>,
    /// What all instances together may take.
    pub limit: Option<Resources>,
}

/// What has changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FleetChange {
    /// An invocation came.
    Arrived(RevisionId),
    /// A revision's load is now this.
    Load(RevisionId, RevisionLoad),
    /// A revision is gone.
    Removed(RevisionId),
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScaleDecision {
    /// For which revision.
    pub revision: RevisionId,
    /// How many instances are wanted.
    pub instances: u32,
    /// Those that go first.
    pub evict: Vec<InstanceId>,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl ScaleDecision {
    /// So many instances, for this reason.
    pub fn new(revision: RevisionId, instances: u32, reason: Reason) -> Self {
        Self {
            revision,
            instances,
            evict: Vec::new(),
            reasons: vec![reason],
        }
    }
}

/// Watches demand and supply, adds and removes instances: a policy over the whole fleet.
///
/// ```text
/// F5 demand, F4 supply ──▶ F6 FunctionAutoscaler ──▶ scale decisions ──▶ F3
/// ```
///
/// # Contract
/// - **within_bounds**: no decision leaves a revision's `min..=max`.
/// - **from_zero**: a revision with waiting invocations and no instance, starting ones included, is
///   given at least one at once.
/// - **only_changes**: a revision whose supply is as it should be has no decision.
/// - **explains**: each decision has at least one reason.
/// - **deterministic**: the same history of changes, times and seed gives the same decisions.
/// - **wakes**: if waiting alone would change a decision, `wake_at` says when.
/// - **save_restore**: an autoscaler restored from what another saved decides as that one would.
///
/// # Errors
/// `restore` of bytes that it did not save is `InvalidArgument`, and changes nothing.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait FunctionAutoscaler: Send + Sync + 'static {
    /// Learns of a change.
    fn observe(&mut self, context: &mut PolicyContext, change: &FleetChange);
    /// Decides for the fleet.
    fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision>;
    /// When it wants to be asked again although nothing changed.
    fn wake_at(&self) -> Option<Monotonic>;
    /// Its state.
    fn save(&self) -> Bytes;
    /// Takes up a saved state.
    fn restore(&mut self, state: &[u8]) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

/// The decision for so many instances, if they are not there; the longest idle go first.
fn change(
    id: &RevisionId,
    load: &RevisionLoad,
    wanted: u32,
    reasons: Vec<Reason>,
) -> Option<ScaleDecision> {
    let supply = load.ready.saturating_add(load.starting);
    if wanted == supply {
        return None;
    }
    let mut idle = load.idle.clone();
    idle.sort_by_key(|(instance, since)| (*since, *instance));
    let going = supply.saturating_sub(wanted) as usize;
    let evict = idle.into_iter().take(going).map(|(instance, _)| instance);
    Some(ScaleDecision {
        revision: id.clone(),
        instances: wanted,
        evict: evict.collect(),
        reasons,
    })
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl<T: FunctionAutoscaler + ?Sized> FunctionAutoscaler for $pointer<T> {
            fn observe(&mut self, context: &mut PolicyContext, change: &FleetChange) {
                (**self).observe(context, change);
            }
            fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
                (**self).decide(context, fleet)
            }
            fn wake_at(&self) -> Option<Monotonic> {
                (**self).wake_at()
            }
            fn save(&self) -> Bytes {
                (**self).save()
            }
            fn restore(&mut self, state: &[u8]) -> Result<()> {
                (**self).restore(state)
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Box);
