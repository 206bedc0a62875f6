//! [`ConcurrencyTarget`]: as many instances as the average concurrency asks for.

mod options;
mod track;

use std::collections::BTreeMap;

use bytes::Bytes;
use faas_core::{Component, Description, Error, Monotonic, PolicyContext, Result};
use serde::{Deserialize, Serialize};

pub use options::ConcurrencyOptions;

use super::room;
use super::{Fleet, FleetChange, FunctionAutoscaler, RevisionId, RevisionLoad, ScaleDecision};
use track::Track;

/// The algorithm of Knative's pod autoscaler (KPA).
///
/// Demand is what runs and what waits. The *stable* average of it, divided by the target
/// concurrency of an instance, says how many there should be. If the *panic* average asks for
/// `panic_threshold` times what is ready, the revision panics: it follows the short window and
/// loses no instance, until the burst is a stable window ago. From zero it goes at once to what
/// the queue asks for. Rates bound how much one decision changes. When nothing asks for the last
/// instance any more, it stays for a grace. As Knative's it begins with a panic where it finds
/// several instances that it has not asked for, so that a restart takes none of them.
///
/// Unlike Knative's it takes no instance that works: those that are idle go, the longest idle
/// first; and it shares out what all revisions together may take.
#[derive(Debug)]
pub struct ConcurrencyTarget {
    options: ConcurrencyOptions,
    tracks: BTreeMap<RevisionId, Track>,
    wake: Option<Monotonic>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    concurrency_target: u32,
    tracks: Vec<(RevisionId, Track)>,
    wake: Option<Monotonic>,
}

const FORMAT: u32 = 1;

impl ConcurrencyTarget {
    /// With these parameters.
    ///
    /// # Errors
    /// As [`ConcurrencyOptions::validate`].
    pub fn new(options: ConcurrencyOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self::with(options))
    }

    fn with(options: ConcurrencyOptions) -> Self {
        Self {
            options,
            tracks: BTreeMap::new(),
            wake: None,
        }
    }

    fn track(&mut self, now: Monotonic, id: &RevisionId, load: &RevisionLoad) -> &mut Track {
        let track = self.tracks.entry(id.clone());
        let track = track.or_insert_with(|| Track::new(&self.options, now));
        track.learn(now, load);
        track
    }
}

impl Default for ConcurrencyTarget {
    fn default() -> Self {
        Self::with(ConcurrencyOptions::default())
    }
}

impl FunctionAutoscaler for ConcurrencyTarget {
    fn observe(&mut self, context: &mut PolicyContext, change: &FleetChange) {
        match change {
            FleetChange::Load(id, load) => {
                self.track(context.now, id, load);
            }
            FleetChange::Removed(id) => {
                self.tracks.remove(id);
            }
            FleetChange::Arrived(_) => {}
        }
    }

    fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        let (now, options) = (context.now, self.options.clone());
        let mut wishes = BTreeMap::new();
        let mut restless = false;
        for (id, load) in &fleet.revisions {
            let track = self.track(now, id, load);
            wishes.insert(id, track.wish(&options, now, load));
            restless |= track.restless;
        }
        self.tracks.retain(|id, _| fleet.revisions.contains_key(id));
        self.wake = restless.then(|| now + options.tick);
        room::decide(fleet, wishes)
    }

    fn wake_at(&self) -> Option<Monotonic> {
        self.wake
    }

    fn save(&self) -> Bytes {
        let saved = Saved {
            concurrency_target: FORMAT,
            tracks: self.tracks.clone().into_iter().collect(),
            wake: self.wake,
        };
        // Numbers and names alone: it cannot fail.
        serde_json::to_vec(&saved).unwrap_or_default().into()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let invalid = |why: String| Error::invalid("restore autoscaler", why);
        let saved: Saved = serde_json::from_slice(state).map_err(|error| {
            invalid("the state is not of this autoscaler".into()).with_source(error)
        })?;
        if saved.concurrency_target != FORMAT {
            return Err(invalid(format!(
                "format {} is not known",
                saved.concurrency_target
            )));
        }
        self.tracks = saved.tracks.into_iter().collect();
        self.wake = saved.wake;
        Ok(())
    }

    fn describe(&self) -> Description {
        Description::new("ConcurrencyTarget").provides(Component::F6)
    }
}

#[cfg(test)]
mod tests;
