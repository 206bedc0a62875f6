//! The parameters of a [`ConcurrencyTarget`](super::ConcurrencyTarget).

use std::time::Duration;

use faas_core::{Error, Result};

/// The parameters of a [`ConcurrencyTarget`](super::ConcurrencyTarget).
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
