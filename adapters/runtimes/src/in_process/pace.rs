//! [`Pace`]: whether a handler yields soon, by how long the polls of its last call took.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faas_core::Clock;
use futures::future::BoxFuture;

/// The longest poll of a handler that may run on its caller's task. A task of its own costs about
/// two microseconds, so whoever takes longer loses at most a fiftieth by it.
const PROMPT: Duration = Duration::from_micros(100);

/// What is known of one instance's handler; nothing at first, so its first call is a task.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicBool);

impl Pace {
    /// Whether it yielded soon enough when it was called last.
    pub(super) fn is_prompt(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The longest poll of a call took so long.
    pub(super) fn took(&self, longest: Duration) {
        let prompt = longest <= PROMPT;
        if prompt != self.is_prompt() {
            self.0.store(prompt, Ordering::Relaxed);
        }
    }

    /// Runs a call, and takes its pace.
    pub(super) async fn take<T>(&self, clock: &dyn Clock, mut work: BoxFuture<'_, T>) -> T {
        let mut longest = Duration::ZERO;
        let value = poll_fn(|context| {
            let start = clock.now();
            let polled = work.as_mut().poll(context);
            longest = longest.max(clock.now().since(start));
            polled
        });
        let value = value.await;
        self.took(longest);
        value
    }
}
