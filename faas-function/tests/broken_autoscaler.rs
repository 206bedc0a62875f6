//! The suite of `FunctionAutoscaler` passes for the defaults, and catches an autoscaler that breaks
//! any one rule: each fault breaks one, and the case of that name fails against it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use faas_core::{Description, Monotonic, PolicyContext, Result};
use faas_function::FunctionAutoscaler;
use faas_function::autoscaler::conformance::{CASES, Factory};
use faas_function::autoscaler::{ConcurrencyTarget, Fixed, Fleet, FleetChange, ScaleDecision};

mod fixed {
    faas_function::function_autoscaler_conformance!(|| super::Fixed::new(3));
}

mod concurrency {
    faas_function::function_autoscaler_conformance!(super::ConcurrencyTarget::default);
}

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Broken {
    inner: ConcurrencyTarget,
    rule: &'static str,
}

impl FunctionAutoscaler for Broken {
    fn observe(&mut self, context: &mut PolicyContext, change: &FleetChange) {
        self.inner.observe(context, change);
    }

    fn decide(&mut self, context: &mut PolicyContext, fleet: &Fleet) -> Vec<ScaleDecision> {
        let mut decisions = self.inner.decide(context, fleet);
        for decision in &mut decisions {
            match self.rule {
                "within_bounds" => decision.instances += 1,
                "explains" => decision.reasons.clear(),
                "deterministic" => decision
                    .evict
                    .truncate(CALLS.fetch_add(1, Ordering::Relaxed) as usize % 7),
                "only_changes" => {
                    let load = &fleet.revisions[&decision.revision];
                    decision.instances = load.ready + load.starting;
                }
                _ => {}
            }
        }
        if self.rule == "from_zero" {
            decisions.retain(|d| fleet.revisions[&d.revision].ready > 0);
        }
        decisions
    }

    fn wake_at(&self) -> Option<Monotonic> {
        self.inner.wake_at().filter(|_| self.rule != "wakes")
    }

    fn save(&self) -> Bytes {
        if self.rule == "save_restore" {
            return ConcurrencyTarget::default().save();
        }
        self.inner.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.inner.restore(state)
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn broken(rule: &'static str) -> Factory {
    Arc::new(move || {
        let inner = ConcurrencyTarget::default();
        Box::new(Broken { inner, rule })
    })
}

#[test]
fn every_rule_has_an_autoscaler_that_breaks_it_and_is_caught() {
    for (rule, case) in CASES {
        let caught = catch_unwind(AssertUnwindSafe(|| case(&broken(rule)))).is_err();
        assert!(caught, "{rule} is not caught");
        case(&broken("none"));
    }
}
