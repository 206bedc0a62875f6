//! The time, asked for in one place.
//!
//! Durable deadlines are wall time; leases and timeouts are monotonic. No other module of the
//! workspace asks the operating system for the time, so a test that pauses tokio's clock pauses
//! all of it.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::any::Any;
use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A point of monotonic time: nanoseconds since its [`Clock`] was made. Plain data, so policies
/// that decide by it can be replayed, simulated and saved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The moment at which the clock was made.
    pub const ZERO: Self = Self(0);

    /// The point `nanos` nanoseconds after the clock was made.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock was made.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;
    #[inline]
    fn add(self, duration: Duration) -> Self {
        let seconds = duration.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(duration.subsec_nanos().into());
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Monotonic> for Monotonic {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Tells the time and waits for it.
///
/// # Contract
/// - **never_back**: `now` MUST never go back, on whatever thread it is asked.
/// - **never_early**: `sleep_until` MUST NOT end before its time, and MUST end after it; dropping it
///   cancels it.
/// - **past_is_now**: a sleep until a time that has passed ends at once.
/// - **wall_follows**: the wall-clock time goes on at the pace of the monotonic time.
/// - **hold**: while a [`Hold`] lives, time that a test paused MUST NOT jump ahead on its own.
///
/// # Implementing
/// Run `clock_conformance!` (feature `conformance`) against it.
///
/// ```
/// use faas_core::{Clock, Monotonic, TokioClock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = TokioClock::for_paused_time();
/// let start = clock.now();
/// clock.sleep_until(start + Duration::from_secs(3600)).await;
/// assert!(clock.now().since(start) >= Duration::from_secs(3600));
/// # }
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The monotonic time.
    fn now(&self) -> Monotonic;
    /// The wall-clock time.
    fn wall(&self) -> Timestamp;
    /// Ends at `deadline`; at once if it has passed.
    fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()>;
    /// Stops paused time from jumping while work runs where the runtime cannot see it (a store's
    /// thread, a child process).
    fn hold(&self) -> Hold;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl<T: Clock + ?Sized> Clock for $pointer<T> {
            fn now(&self) -> Monotonic {
                (**self).now()
            }
            fn wall(&self) -> Timestamp {
                (**self).wall()
            }
            fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()> {
                (**self).sleep_until(deadline)
            }
            fn hold(&self) -> Hold {
                (**self).hold()
            }
        }
    )*};
}
pointer!(Arc, Box);

/// See [`Clock::hold`]; ends when dropped.
#[must_use = "paused time may jump as soon as the hold is dropped"]
pub struct Hold(Option<Box<dyn Any + Send + Sync>>);

impl Hold {
    /// A hold that lasts as long as `guard`, which it owns: for clocks of one's own.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }

    /// A hold on a clock that never jumps.
    pub const fn idle() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0.is_some()).finish()
    }
}

/// The default clock: tokio's, so `tokio::time::pause` stops it.
///
/// Wall time is read once and then advances with the monotonic time, so it too stands still while
/// tokio's clock is paused; it follows later adjustments of the system's clock only when a new
/// `TokioClock` is made with [`TokioClock::new`].
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
    wall: Timestamp,
    holds: bool,
}

impl TokioClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            wall: Timestamp::now(),
            holds: false,
        }
    }

    /// A clock for tests that pause tokio's time: its [`hold`](Clock::hold) occupies a blocking
    /// thread of the runtime it is called in, which is what keeps tokio's paused time from
    /// advancing by itself; outside a runtime it panics.
    pub fn for_paused_time() -> Self {
        Self {
            holds: true,
            ..Self::new()
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now(&self) -> Monotonic {
        Monotonic::ZERO + Instant::now().saturating_duration_since(self.origin)
    }

    fn wall(&self) -> Timestamp {
        self.wall
            .checked_add(self.now().since(Monotonic::ZERO))
            .unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()> {
        // About thirty years: beyond it tokio's own timer saturates as well.
        let far = Duration::from_secs(1 << 30);
        let after = deadline.since(Monotonic::ZERO).min(far);
        Box::pin(tokio::time::sleep_until(self.origin + after))
    }

    fn hold(&self) -> Hold {
        if !self.holds {
            return Hold::idle();
        }
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        // Ends with an error as soon as the hold drops its sender.
        tokio::task::spawn_blocking(move || receiver.recv().is_err());
        Hold::new(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_jumps_to_the_next_timer() {
        let clock = TokioClock::for_paused_time();
        let wall = clock.wall();
        clock
            .sleep_until(Monotonic::ZERO + Duration::from_secs(3600))
            .await;
        assert!(clock.now().since(Monotonic::ZERO) >= Duration::from_secs(3600));
        assert!(clock.wall().duration_since(wall).as_secs() >= 3600);
    }

    #[test]
    fn spans_saturate() {
        let late = Monotonic::from_nanos(u64::MAX);
        assert_eq!(late + Duration::MAX, late);
        assert_eq!(Monotonic::ZERO - late, Duration::ZERO);
        assert_eq!(late - Monotonic::ZERO, Duration::from_nanos(u64::MAX));
    }
}
