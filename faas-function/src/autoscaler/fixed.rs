//! [`Fixed`]: always so many instances.

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Component, Description, Error, Monotonic, PolicyContext, Result};

use super::room::{self, Wish};
use super::{Fleet, FleetChange, FunctionAutoscaler, ScaleDecision};

const FIXED: Reason = Reason::new("scale.fixed", "{instances} instances were configured");
const MARK: &[u8] = b"fixed";

/// The same number of instances for every revision, within its bounds; one if that would be none
/// and an invocation waits. It has no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(u32);

impl Fixed {
    /// So many instances of each revision.
    pub const fn new(instances: u32) -> Self {
        Self(instances)
    }
}

impl FunctionAutoscaler for Fixed {
    fn observe(&mut self, _: &mut PolicyContext, _: &FleetChange) {}

    fn decide(&mut self, _: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        let wishes = fleet.revisions.iter().map(|(id, load)| {
            let least = u32::from(load.queued > 0 || load.running > 0);
            let wanted = self.0.max(least).max(load.min).min(load.max);
            let reasons = vec![FIXED.with("instances", self.0)];
            (id, Wish { wanted, reasons })
        });
        room::decide(fleet, wishes.collect())
    }

    fn wake_at(&self) -> Option<Monotonic> {
        None
    }

    fn save(&self) -> Bytes {
        Bytes::from_static(MARK)
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let foreign = (state != MARK).then(|| "the state is not of a fixed autoscaler".to_owned());
        Error::check("restore autoscaler", foreign.into_iter().collect())
    }

    fn describe(&self) -> Description {
        Description::new("Fixed").provides(Component::F6)
    }
}
