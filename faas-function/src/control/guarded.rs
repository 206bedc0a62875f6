//! [`Guarded`]: a policy that may panic, and does not end the loop by it.

use faas_core::{Monotonic, PolicyContext, SeededRandom, panic_message};

use crate::FunctionAutoscaler;
use crate::autoscaler::{Fleet, FleetChange, ScaleDecision};
use crate::backoff::Backoff;

/// Asks a policy. What it panics on is logged and left as it is: the last decisions stay, and it is
/// asked again when something changes, or after a pause.
pub(super) struct Guarded {
    policy: Box<dyn FunctionAutoscaler>,
    random: SeededRandom,
    /// Panics in a row.
    panics: u32,
    /// When one that has panicked is to be asked again.
    again: Option<Monotonic>,
}

impl Guarded {
    pub(super) fn new(policy: Box<dyn FunctionAutoscaler>, seed: u64) -> Self {
        Self {
            policy,
            random: SeededRandom::new(seed),
            panics: 0,
            again: None,
        }
    }

    pub(super) fn observe(&mut self, change: &FleetChange, now: Monotonic) {
        self.ask("observe", now, |policy, context| {
            policy.observe(context, change);
        });
    }

    /// What it decides; nothing if it panics.
    pub(super) fn decide(&mut self, fleet: &Fleet, now: Monotonic) -> Vec<ScaleDecision> {
        self.again = None;
        let decided = self.ask("decide", now, |policy, context| {
            let decisions = policy.decide(context, fleet);
            (decisions, policy.wake_at())
        });
        let Some((decisions, wake)) = decided else {
            return Vec::new();
        };
        self.panics = 0;
        self.again = wake;
        decisions
    }

    /// When it wants to be asked again.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        self.again
    }

    fn ask<T>(
        &mut self,
        what: &'static str,
        now: Monotonic,
        question: impl FnOnce(&mut dyn FunctionAutoscaler, &mut PolicyContext) -> T,
    ) -> Option<T> {
        let policy = &mut *self.policy;
        let asked = PolicyContext::ask(now, &mut self.random, |context| question(policy, context));
        match asked {
            Ok(answer) => Some(answer),
            Err(panic) => {
                self.panics = self.panics.saturating_add(1);
                self.again = Some(now + Backoff::after(self.panics));
                let (panic, policy) = (panic_message(&*panic), self.policy.describe().name);
                tracing::error!(%policy, what, panic, "the autoscaler panicked: what it decided last stays");
                None
            }
        }
    }
}
