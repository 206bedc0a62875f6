//! [`TokioClock`] keeps the contract of `Clock`; the suite catches clocks that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_core::clock::conformance::CASES;
use faas_core::{Clock, Hold, Monotonic, TokioClock};
use futures::future::BoxFuture;

mod real_time {
    faas_core::clock_conformance!(async || super::TokioClock::new());
}

mod paused_time {
    use super::TokioClock;

    faas_core::clock_conformance!(async || TokioClock::for_paused_time(), start_paused = true);
}

mod through_a_pointer {
    faas_core::clock_conformance!(async || Box::new(super::TokioClock::new()));
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    GoesBack,
    Early,
    Endless,
    NeverForThePast,
    WallStands,
    NoHold,
}

#[derive(Debug)]
struct Broken(TokioClock, Fault, AtomicU64);

impl Clock for Broken {
    fn now(&self) -> Monotonic {
        let back = match self.1 {
            Fault::GoesBack => self.2.fetch_add(1_000_000, Ordering::Relaxed),
            _ => 0,
        };
        // Far from zero, below which there is nothing to go back to.
        Monotonic::from_nanos(self.0.now().as_nanos() + (1 << 40) - back)
    }

    fn wall(&self) -> jiff::Timestamp {
        match self.1 {
            Fault::WallStands => jiff::Timestamp::UNIX_EPOCH,
            _ => self.0.wall(),
        }
    }

    fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()> {
        let left = deadline.since(self.now());
        let inner = self.0.sleep_until(self.0.now() + left);
        match self.1 {
            Fault::Early => self.0.sleep_until(self.0.now() + left / 2),
            Fault::Endless => Box::pin(std::future::pending()),
            Fault::NeverForThePast if left < Duration::from_millis(1) => {
                Box::pin(std::future::pending())
            }
            _ => inner,
        }
    }

    fn hold(&self) -> Hold {
        match self.1 {
            Fault::NoHold => Hold::idle(),
            _ => self.0.hold(),
        }
    }
}

async fn caught(rule: &str, fault: Fault) {
    let clock = Broken(TokioClock::for_paused_time(), fault, AtomicU64::new(0));
    let case = CASES.iter().find(|(name, _)| *name == rule);
    let (_, case) = case.unwrap_or_else(|| panic!("no case {rule}"));
    let result = tokio::spawn(case(Arc::new(clock))).await;
    let error = result.expect_err(&format!("{rule} does not catch {fault:?}"));
    assert!(error.is_panic(), "{error}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {
        mod broken {
            $(
                #[tokio::test(start_paused = true)]
                async fn $rule() {
                    $(super::caught(stringify!($rule), super::Fault::$fault).await;)*
                }
            )*
        }

        const CAUGHT: &[&str] = &[$(stringify!($rule)),*];
    };
}
caught! {
    never_back: GoesBack;
    never_early: Early Endless;
    past_is_now: NeverForThePast;
    wall_follows: WallStands;
    hold: NoHold;
}

#[test]
fn every_case_has_a_clock_that_it_catches() {
    let cases: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(CAUGHT, cases);
}

#[test]
fn a_hold_keeps_what_it_is_given() {
    let guard = Arc::new(());
    let hold = Hold::new(guard.clone());
    assert_eq!(Arc::strong_count(&guard), 2);
    drop(hold);
    assert_eq!(Arc::strong_count(&guard), 1);
}
