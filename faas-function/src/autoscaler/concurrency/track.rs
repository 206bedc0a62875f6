//! What is known of one revision, and how many instances it should have.

use std::time::Duration;

use faas_core::Monotonic;
use faas_core::explain::Reason;
use serde::{Deserialize, Serialize};

use super::ConcurrencyOptions;
use crate::autoscaler::RevisionLoad;
use crate::autoscaler::room::Wish;
use crate::autoscaler::window::Window;

const FROM_ZERO: Reason = Reason::new("scale.from_zero", "{queued} wait and no instance is there");
const STABLE: Reason = Reason::new(
    "scale.stable",
    "{average} at once on average over {window}, {target} for each instance",
);
const PANIC: Reason = Reason::new(
    "scale.panic",
    "panic: {average} at once on average over {window}, {target} for each instance; none goes",
);
const FOUND: Reason = Reason::new(
    "scale.found",
    "{found} were found; none goes before there is a stable average",
);
const BUSY: Reason = Reason::new("scale.busy", "{busy} have work, and none of them goes");
const BOUNDED: Reason = Reason::new("scale.bounds", "held within {min} to {max} instances")
    .helped_by("change min_instances or max_instances");
const GRACE: Reason = Reason::new("scale.grace", "the last instance stays for {grace} more");

/// What is known of one revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    demand: Window,
    /// What ran at the last report, and how busy all had been by then.
    reported: Option<Report>,
    /// Until when it panics.
    panic_until: Option<Monotonic>,
    /// The most instances that this panic has asked for.
    panic_most: u32,
    /// Since when nothing asks for an instance.
    unwanted_since: Option<Monotonic>,
    /// Whether it has ever had instances that it could know of.
    begun: bool,
    /// Whether waiting alone may change what is decided.
    pub(super) restless: bool,
}

/// What a router said that tells how busy its instances were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Report {
    at: Monotonic,
    running: u32,
    busy: Duration,
}

fn ceil(x: f64) -> u32 {
    // Saturates, which is what is meant.
    x.ceil() as u32
}

fn supply(load: &RevisionLoad) -> u32 {
    load.ready.saturating_add(load.starting)
}

impl Track {
    pub(super) fn new(options: &ConcurrencyOptions, now: Monotonic) -> Self {
        Self {
            demand: Window::new(options.stable_window, now),
            reported: None,
            panic_until: None,
            panic_most: 0,
            unwanted_since: None,
            begun: false,
            restless: false,
        }
    }

    /// Continues the demand with what is known now. Until a report it is assumed that what ran goes
    /// on; the report tells how it was.
    pub(super) fn learn(&mut self, now: Monotonic, load: &RevisionLoad) {
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

    /// How many instances there should be, if the revision were alone.
    pub(super) fn wish(
        &mut self,
        options: &ConcurrencyOptions,
        now: Monotonic,
        load: &RevisionLoad,
    ) -> Wish {
        let mut wish = self.wanted(options, now, load);
        settle(load, &mut wish);
        // Whatever is there from now on, it has asked for.
        self.begun |= supply(load) > 0 || wish.wanted > 0;
        self.restless =
            !self.demand.is_quiet() || supply(load) > load.min || self.panic_until.is_some();
        wish
    }

    /// Before bounds.
    fn wanted(
        &mut self,
        options: &ConcurrencyOptions,
        now: Monotonic,
        load: &RevisionLoad,
    ) -> Wish {
        if supply(load) == 0 && load.queued > 0 {
            self.unwanted_since = None;
            return Wish {
                wanted: load.queued.div_ceil(load.concurrency.max(1)),
                reasons: vec![FROM_ZERO.with("queued", load.queued)],
            };
        }
        let stable = self.demand.average(options.stable_window);
        let panic = self.demand.average(options.panic_window);
        let target = f64::from(load.concurrency.max(1)) * options.utilisation;
        let ready = f64::from(load.ready.max(1));
        let at_most = (ready * options.max_scale_up_rate).ceil();
        let at_least = (ready / options.max_scale_down_rate).floor();
        let rated = |average: f64| ceil((average / target).ceil().max(at_least).min(at_most));
        let found = !self.begun && supply(load) > 1;
        let over = (panic / target).ceil() / ready >= options.panic_threshold;
        self.update_panic(options, now, over || found);
        let reason = |reason: Reason, average: f64, window: Duration| {
            let reason = reason.with("average", average).with("window", window);
            vec![reason.with("target", target)]
        };
        if self.panic_until.is_some() {
            self.unwanted_since = None;
            let most = self.panic_most.max(rated(panic)).max(rated(stable));
            self.panic_most = most.max(load.ready);
            let mut reasons = reason(PANIC, panic, options.panic_window);
            if found {
                self.panic_most = self.panic_most.max(supply(load));
                reasons = vec![FOUND.with("found", supply(load))];
            }
            return Wish {
                wanted: self.panic_most,
                reasons,
            };
        }
        let mut wish = Wish {
            wanted: rated(stable),
            reasons: reason(STABLE, stable, options.stable_window),
        };
        self.grace(options, now, load, &mut wish);
        wish
    }

    /// It panics when the short window asks for many times what is ready, and until that is as long
    /// ago as the long window. Several instances that it has not asked for are those of an earlier
    /// life, whose history is lost: then it panics, too, so that none goes before there is an
    /// average to judge by.
    fn update_panic(&mut self, options: &ConcurrencyOptions, now: Monotonic, begins: bool) {
        if begins {
            self.panic_until = Some(now + options.stable_window);
        } else if self.panic_until.is_some_and(|until| now > until) {
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
        wish: &mut Wish,
    ) {
        if wish.wanted > 0 {
            self.unwanted_since = None;
            return;
        }
        let since = *self.unwanted_since.get_or_insert(now);
        let left = options.zero_grace.saturating_sub(now.since(since));
        if !left.is_zero() && supply(load) > 0 {
            wish.wanted = 1;
            wish.reasons.push(GRACE.with("grace", left));
        }
    }
}

/// Within the revision's bounds, and so that no instance that works goes.
fn settle(load: &RevisionLoad, wish: &mut Wish) {
    let supply = supply(load);
    let idle = u32::try_from(load.idle.len()).unwrap_or(u32::MAX);
    let busy = supply.saturating_sub(idle);
    if wish.wanted < supply && wish.wanted < busy {
        wish.wanted = busy;
        wish.reasons.push(BUSY.with("busy", busy));
    }
    let bounded = wish.wanted.max(load.min).min(load.max);
    if bounded != wish.wanted {
        wish.wanted = bounded;
        let bounds = BOUNDED.with("min", load.min).with("max", load.max);
        wish.reasons.push(bounds);
    }
}
