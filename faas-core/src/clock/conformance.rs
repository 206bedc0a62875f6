//! The conformance suite of [`Clock`]: one case per rule of its contract.
//!
//! ```
//! # #[cfg(test)]
//! mod conformance {
//!     use faas_core::TokioClock;
//!
//!     faas_core::clock_conformance!(async || TokioClock::new());
//! }
//!
//! # #[cfg(test)]
//! mod conformance_in_paused_time {
//!     use faas_core::TokioClock;
//!
//!     faas_core::clock_conformance!(async || TokioClock::for_paused_time(), start_paused = true);
//! }
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Clock, Monotonic};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a case sleeps by the clock under test.
const NAP: Duration = Duration::from_millis(30);

/// One case of the suite.
pub type Case = fn(Arc<dyn Clock>) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule, for harnesses other than the macro.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |clock| Box::pin($case(clock)))),*
        ];
    };
}
cases! { never_back never_early past_is_now wall_follows hold }

/// Expands to one `#[tokio::test]` per rule of [`Clock`](crate::Clock)'s contract. Takes an `async`
/// closure that makes a clock and, for a clock that follows paused time, the arguments of
/// `#[tokio::test]`; put it into a module of its own.
#[macro_export]
macro_rules! clock_conformance {
    ($factory:expr $(, $($arguments:tt)*)?) => {
        $crate::clock_conformance! { @cases [$($($arguments)*)?] $factory;
            never_back never_early past_is_now wall_follows hold
        }
    };
    (@cases $arguments:tt $factory:expr; $($case:ident)*) => {$(
        $crate::clock_conformance! { @case $arguments $factory; $case }
    )*};
    (@case [$($arguments:tt)*] $factory:expr; $case:ident) => {
        #[tokio::test($($arguments)*)]
        async fn $case() {
            let clock = ($factory)().await;
            $crate::clock::conformance::$case(std::sync::Arc::new(clock)).await;
        }
    };
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// "`now` MUST never go back, on whatever thread it is asked."
pub async fn never_back(clock: Arc<dyn Clock>) {
    let rising = |clock: &dyn Clock| {
        let times: Vec<Monotonic> = (0..1000).map(|_| clock.now()).collect();
        assert!(times.is_sorted(), "it went back");
        times
    };
    let before = rising(&clock);
    let handle = tokio::runtime::Handle::current();
    let other = clock.clone();
    let asker = std::thread::spawn(move || {
        let _runtime = handle.enter();
        other.now()
    });
    // Waits as threads do: while a task waited for it, paused time would jump.
    let elsewhere = asker.join().expect("the other thread asks");
    assert!(
        before.last() <= Some(&elsewhere),
        "it went back on another thread"
    );
    assert!(
        elsewhere <= clock.now(),
        "it went back after another thread asked"
    );
    within("sleep_until", clock.sleep_until(clock.now() + NAP)).await;
    assert!(
        rising(&clock).first() >= Some(&elsewhere),
        "it went back in a sleep"
    );
}

/// "`sleep_until` MUST NOT end before its time, and MUST end after it; dropping it cancels it."
pub async fn never_early(clock: Arc<dyn Clock>) {
    let start = clock.now();
    let naps: Vec<_> = (0..4u32)
        .map(|n| start + NAP * n + Duration::from_micros(300))
        .map(|deadline| (deadline, clock.sleep_until(deadline)))
        .collect();
    // Long ones that are dropped do not matter to the others.
    drop(clock.sleep_until(start + PATIENCE * 100));
    for (deadline, nap) in naps.into_iter().rev() {
        within("sleep_until", nap).await;
        assert!(clock.now() >= deadline, "it ended early");
    }
    let far = clock.sleep_until(Monotonic::from_nanos(u64::MAX));
    let far = futures::future::select(far, clock.sleep_until(clock.now() + NAP));
    let first = within("sleep_until", far).await;
    let early = matches!(first, futures::future::Either::Left(_));
    assert!(!early, "the end of time came early");
}

/// "A sleep until a time that has passed ends at once."
pub async fn past_is_now(clock: Arc<dyn Clock>) {
    within("sleep_until", clock.sleep_until(clock.now() + NAP)).await;
    for deadline in [Monotonic::ZERO, clock.now()] {
        within("a sleep until the past", clock.sleep_until(deadline)).await;
    }
}

/// "The wall-clock time goes on at the pace of the monotonic time."
pub async fn wall_follows(clock: Arc<dyn Clock>) {
    let (wall, start) = (clock.wall(), clock.now());
    within("sleep_until", clock.sleep_until(start + NAP * 4)).await;
    let (slept, passed) = (clock.wall().duration_since(wall), clock.now().since(start));
    let slept = Duration::try_from(slept).expect("the wall-clock time went back");
    // A machine under load may pause us between the two questions; half of it must show anyway.
    assert!(
        slept >= NAP * 2,
        "{slept:?} on the wall, {passed:?} by the monotonic clock"
    );
    assert!(
        slept < passed + PATIENCE,
        "{slept:?} on the wall, {passed:?} by the monotonic clock"
    );
}

/// "While a `Hold` lives, time that a test paused MUST NOT jump ahead on its own."
pub async fn hold(clock: Arc<dyn Clock>) {
    let hold = clock.hold();
    let start = clock.now();
    let sleeper = tokio::spawn(clock.sleep_until(start + PATIENCE * 360));
    // The runtime is idle until another thread has let real time pass: the moment at which paused
    // time would jump. That nothing happens only time can show.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(NAP * 3);
        sender.send(())
    });
    receiver.await.expect("the other thread wakes us");
    assert!(!sleeper.is_finished(), "time jumped while it was held");
    assert!(
        clock.now().since(start) < PATIENCE,
        "time jumped while it was held"
    );
    drop(hold);
    sleeper.abort();
}
