//! For each rule of W3, a policy that breaks it alone, and is caught.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use faas_core::{Description, Result};
use faas_workflow::scheduler::conformance::{CASES, run};
use faas_workflow::scheduler::{Schedule, SchedulerChange, SchedulerContext, TaskStart};
use faas_workflow::{Eager, WorkflowScheduler};

struct Broken {
    rule: &'static str,
    inner: Eager,
    number: usize,
    started: Option<TaskStart>,
}

impl WorkflowScheduler for Broken {
    fn observe(&mut self, change: SchedulerChange) {
        let ignored = self.rule == "only_ready" && matches!(change, SchedulerChange::Withdrawn(_));
        if !ignored {
            self.inner.observe(change);
        }
    }

    fn decide(&mut self, context: &mut SchedulerContext) -> Schedule {
        if self.rule == "bounded" {
            context.free += 1;
        }
        let mut schedule = self.inner.decide(context);
        match self.rule {
            "once" => {
                let before = self.started.take();
                self.started = schedule.starts.pop().or(before);
                schedule.starts.extend(self.started.clone());
            }
            "reasoned" => schedule
                .starts
                .iter_mut()
                .for_each(|start| start.reasons.clear()),
            "deterministic" if self.number % 2 == 1 => schedule.starts.reverse(),
            "starves_none" => drop(schedule.starts.pop()),
            _ => {}
        }
        schedule
    }

    fn save(&self) -> Result<Bytes> {
        match self.rule {
            "saved" => Eager::new().save(),
            _ => self.inner.save(),
        }
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        self.inner.restore(bytes)
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

#[test]
fn every_rule_is_caught() {
    for &rule in CASES {
        let made = AtomicUsize::new(0);
        let factory = || {
            let broken = Broken {
                rule,
                inner: Eager::new(),
                number: made.fetch_add(1, Ordering::Relaxed),
                started: None,
            };
            Box::new(broken) as Box<dyn WorkflowScheduler>
        };
        let case = std::panic::AssertUnwindSafe(|| run(rule, &factory));
        assert!(
            std::panic::catch_unwind(case).is_err(),
            "{rule} was not caught"
        );
    }
}
