//! [`ConcurrencyTarget`]: as many instances as the average concurrency asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use faas_core::explain::Reason;
use faas_core::{Component, Description, Error, Monotonic, PolicyContext, Resources, Result};
use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{Fleet, FleetChange, FunctionAutoscaler, RevisionId, RevisionLoad, ScaleDecision};

const FROM_ZERO: Reason = Reason::new("scale.from_zero", "{queued} wait and no instance is there");
const STABLE: Reason = Reason::new(
    "scale.stable",
    "{average} at once on average over {window}, {target} for each instance",
);
const PANIC: Reason = Reason::new(
    "scale.panic",
    "panic: {average} at once on average over {window}, {target} for each instance; none goes",
);
const BOUNDED: Reason = Reason::new("scale.bounds", "held within {min} to {max} instances")
    .helped_by("change min_instances or max_instances");
const LIMITED: Reason = Reason::new(
    "scale.limit",
    "the limit of all instances leaves no more room",
)
.helped_by("raise the limit, or lower the resources of an instance");
const GRACE: Reason = Reason::new("scale.grace", "the last instance stays for {grace} more");

/// The parameters of a [`ConcurrencyTarget`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConcurrencyOptions {
    /// Over what time the demand is averaged.
    pub stable_window: Duration,
    /// Over what time a burst is looked for.
    pub panic_window: Duration,
    /// How many times the ready instances a burst must ask for, to be one.
    pub panic_threshold: f64,
    /// What part of an instance's concurrency is aimed at.
    pub utilisation: f64,
    /// At most so many times the ready instances in one decision.
    pub max_scale_up_rate: f64,
    /// At least the ready instances divided by this in one decision.
    pub max_scale_down_rate: f64,
    /// How long the last instance stays when nothing asks for it any more.
    pub zero_grace: Duration,
    /// How often it wants to be asked while there is anything to decide.
    pub tick: Duration,
}

impl Default for ConcurrencyOptions {
    /// Knative's: 60 s, 6 s, 200 %, 70 %, 1,000, 2, 30 s and every 2 s.
    fn default() -> Self {
        Self {
            stable_window: Duration::from_secs(60),
            panic_window: Duration::from_secs(6),
            panic_threshold: 2.0,
            utilisation: 0.7,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            zero_grace: Duration::from_secs(30),
            tick: Duration::from_secs(2),
        }
    }
}

impl ConcurrencyOptions {
    /// Checks them at the door.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        let second = Duration::from_secs(1);
        let rules = [
            (
                self.panic_window < second,
                "the panic window is under a second",
            ),
            (
                self.stable_window < self.panic_window,
                "the stable window is under the panic window",
            ),
            (
                !(self.utilisation > 0.0 && self.utilisation <= 1.0),
                "the utilisation is not in 0..=1",
            ),
            (
                self.panic_threshold.is_nan() || self.panic_threshold <= 1.0,
                "the panic threshold is not over 1",
            ),
            (
                self.max_scale_up_rate.is_nan() || self.max_scale_up_rate <= 1.0,
                "the scale-up rate is not over 1",
            ),
            (
                self.max_scale_down_rate.is_nan() || self.max_scale_down_rate <= 1.0,
                "the scale-down rate is not over 1",
            ),
            (self.tick.is_zero(), "the tick is zero"),
        ];
        let faults = rules.into_iter().filter(|(wrong, _)| *wrong);
        Error::check(
            "validate autoscaler",
            faults.map(|(_, text)| text.to_owned()).collect(),
        )
    }
}

/// What is known of one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Track {
    demand: Window,
    /// What ran at the last report, and how busy all had been by then.
    reported: Option<Report>,
    panic_until: Option<Monotonic>,
    /// The most instances that this panic has asked for.
    panic_most: u32,
    /// Since when nothing asks for an instance.
    unwanted_since: Option<Monotonic>,
    /// Whether waiting alone may change what is decided.
    restless: bool,
}

/// What a router said that tells how busy its instances were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Report {
    at: Monotonic,
    running: u32,
    busy: Duration,
}

/// The algorithm of Knative's pod autoscaler (KPA).
///
/// Demand is what runs and what waits. The *stable* average of it, divided by the target
/// concurrency of an instance, says how many there should be. If the *panic* average asks for
/// `panic_threshold` times what is ready, the revision panics: it follows the short window and
/// loses no instance, until the burst is a stable window ago. From zero it goes at once to what
/// the queue asks for. Unlike Knative's, it takes no instance that works: those that are idle go,
/// the longest idle first.
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
        let window = self.options.stable_window;
        let track = self.tracks.entry(id.clone());
        let track = track.or_insert_with(|| Track::new(window, now));
        track.learn(now, load);
        track
    }
}

impl Default for ConcurrencyTarget {
    fn default() -> Self {
        Self::with(ConcurrencyOptions::default())
    }
}

fn ceil(x: f64) -> u32 {
    // Saturates, which is what is meant.
    x.ceil() as u32
}

impl Track {
    fn new(window: Duration, now: Monotonic) -> Self {
        Self {
            demand: Window::new(window, now),
            reported: None,
            panic_until: None,
            panic_most: 0,
            unwanted_since: None,
            restless: false,
        }
    }

    /// Continues the demand with what is known now. Until a report it is assumed that what ran goes
    /// on; the report tells how it was.
    fn learn(&mut self, now: Monotonic, load: &RevisionLoad) {
        let demand = load.running.saturating_add(load.queued);
        self.demand.set(now, demand);
        let Some(busy) = load.busy else { return };
        let (at, running) = (now, load.running);
        let Some(last) = self.reported.replace(Report { at, running, busy }) else {
            return;
        };
        if (last.running, last.busy) == (running, busy) {
            // The same report once more: nothing runs for some time without being busy.
            self.reported = Some(last);
        } else {
            let actual = busy.saturating_sub(last.busy);
            self.demand.amend(last.at, last.running, actual);
        }
    }

    /// How many instances there should be, before bounds and limits.
    fn wanted(
        &mut self,
        options: &ConcurrencyOptions,
        now: Monotonic,
        load: &RevisionLoad,
    ) -> (u32, Vec<Reason>) {
        let supply = load.ready.saturating_add(load.starting);
        if supply == 0 && load.queued > 0 {
            let wanted = load.queued.div_ceil(load.concurrency.max(1));
            self.unwanted_since = None;
            return (wanted, vec![FROM_ZERO.with("queued", load.queued)]);
        }
        let (stable, panic) = (
            self.demand.average(options.stable_window),
            self.demand.average(options.panic_window),
        );
        let target = f64::from(load.concurrency.max(1)) * options.utilisation;
        let ready = f64::from(load.ready.max(1));
        let at_most = ready * options.max_scale_up_rate;
        let at_least = (f64::from(load.ready) / options.max_scale_down_rate).floor();
        let rated = |average: f64| ceil((average / target).ceil().max(at_least).min(at_most));
        self.update_panic(options, now, (panic / target).ceil() / ready);
        let reason = |reason: Reason, average: f64, window: Duration| {
            let reason = reason.with("average", average).with("window", window);
            vec![reason.with("target", target)]
        };
        if self.panic_until.is_some() {
            self.panic_most = self
                .panic_most
                .max(rated(panic))
                .max(rated(stable))
                .max(load.ready);
            return (self.panic_most, reason(PANIC, panic, options.panic_window));
        }
        let wanted = rated(stable);
        let mut reasons = reason(STABLE, stable, options.stable_window);
        (
            self.grace(options, now, load, wanted, &mut reasons),
            reasons,
        )
    }

    fn update_panic(&mut self, options: &ConcurrencyOptions, now: Monotonic, times: f64) {
        if times >= options.panic_threshold {
            self.panic_until = Some(now + options.stable_window);
        } else if self.panic_until.is_some_and(|until| now >= until) {
            self.panic_until = None;
            self.panic_most = 0;
        }
    }

    /// The last instance stays for a while.
    fn grace(
        &mut self,
        options: &ConcurrencyOptions,
        now: Monotonic,
        load: &RevisionLoad,
        wanted: u32,
        reasons: &mut Vec<Reason>,
    ) -> u32 {
        if wanted > 0 {
            self.unwanted_since = None;
            return wanted;
        }
        let since = *self.unwanted_since.get_or_insert(now);
        let left = options.zero_grace.saturating_sub(now.since(since));
        if left.is_zero() || load.ready.saturating_add(load.starting) == 0 {
            return 0;
        }
        reasons.push(GRACE.with("grace", left));
        1
    }

    /// Within the revision's bounds, and no instance that works goes.
    fn settle(&mut self, load: &RevisionLoad, wanted: u32, reasons: &mut Vec<Reason>) -> u32 {
        let supply = load.ready.saturating_add(load.starting);
        let idle = u32::try_from(load.idle.len()).unwrap_or(u32::MAX);
        let busy = supply.saturating_sub(idle).min(supply);
        let kept = if wanted < supply {
            wanted.max(busy)
        } else {
            wanted
        };
        let bounded = super::clamp(load, kept);
        if bounded != kept {
            reasons.push(BOUNDED.with("min", load.min).with("max", load.max));
        }
        self.restless = !self.demand.is_quiet() || supply > load.min || self.panic_until.is_some();
        bounded
    }
}

/// What is left of the fleet's limit.
struct Room<'a> {
    limit: Option<&'a Resources>,
    used: Resources,
}

impl<'a> Room<'a> {
    fn of(fleet: &'a Fleet) -> Self {
        let mut room = Self {
            limit: fleet.limit.as_ref(),
            used: Resources::default(),
        };
        for load in fleet.revisions.values().filter(|_| fleet.limit.is_some()) {
            for _ in 0..load.ready.saturating_add(load.starting) {
                room.take(&load.resources);
            }
        }
        room
    }

    fn take(&mut self, resources: &Resources) {
        self.used = std::mem::take(&mut self.used).plus(resources);
    }

    /// As many of `more` as fit.
    fn fit(&mut self, more: u32, resources: &Resources) -> u32 {
        let Some(limit) = self.limit else {
            return more;
        };
        let mut fitting = 0;
        while fitting < more && limit.covers(&self.used.clone().plus(resources)) {
            self.take(resources);
            fitting += 1;
        }
        fitting
    }

    /// Cuts a wish to what fits. The minimum, and the first instance where some wait, are given
    /// in any case: whether there is a place for them the resource layer must say.
    fn cut(&mut self, load: &RevisionLoad, wanted: u32, reasons: &mut Vec<Reason>) -> u32 {
        let supply = load.ready.saturating_add(load.starting);
        let fitting =
            supply.saturating_add(self.fit(wanted.saturating_sub(supply), &load.resources));
        if fitting >= wanted {
            return wanted;
        }
        reasons.push(LIMITED);
        let first = u32::from(load.queued > 0 && load.max > 0);
        fitting.max(first).max(load.min)
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
        let mut room = Room::of(fleet);
        let mut decisions = Vec::new();
        let mut restless = false;
        for (id, load) in &fleet.revisions {
            let track = self.track(now, id, load);
            let (wanted, mut reasons) = track.wanted(&options, now, load);
            let wanted = track.settle(load, wanted, &mut reasons);
            restless |= track.restless;
            let wanted = room.cut(load, wanted, &mut reasons);
            decisions.extend(super::change(id, load, wanted, reasons));
        }
        self.tracks.retain(|id, _| fleet.revisions.contains_key(id));
        self.wake = restless.then(|| now + options.tick);
        decisions
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
