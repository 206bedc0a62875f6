//! How figures are measured: in turns with their limits, under the same conditions.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressIterator, ProgressStyle};
use tokio::runtime::{Builder, Runtime};

use crate::processors::Plan;

/// The samples of a figure and of its limit, taken in turn.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) ours: Vec<Duration>,
    pub(crate) limit: Vec<Duration>,
    /// What is counted, where that is not time: then a nanosecond stands for one.
    pub(crate) counted: Option<&'static str>,
    /// What else was seen.
    pub(crate) notes: Vec<(&'static str, f64)>,
}

impl Samples {
    /// Of counts of something.
    pub(crate) fn counted(what: &'static str) -> Self {
        Self {
            counted: Some(what),
            ..Self::default()
        }
    }
}

/// A count, as a sample.
pub(crate) fn count(count: u64) -> Duration {
    Duration::from_nanos(count)
}

/// The conditions of one figure.
pub(crate) struct Bench {
    rounds: usize,
    plan: Plan,
    bar: ProgressBar,
}

impl Bench {
    pub(crate) fn new(name: &'static str, rounds: usize, plan: Plan) -> Self {
        let bar = ProgressBar::new(rounds as u64).with_prefix(name);
        let style = ProgressStyle::with_template("{prefix:22} {bar:40} {pos}/{len} {eta}");
        // Without it the bar looks otherwise, and no more than that.
        let bar = style.map_or(bar.clone(), |style| bar.with_style(style));
        Self { rounds, plan, bar }
    }

    /// Counts the rounds, and shows how far they are.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.rounds).progress_with(self.bar.clone())
    }

    /// A runtime with one worker for each of the processors of the plan, two at least.
    pub(crate) fn runtime(&self) -> Runtime {
        let plan = self.plan;
        Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || plan.pin_worker())
            .enable_all()
            .build()
            .expect("a runtime")
    }

    /// Runs a figure as a task of such a runtime: wake-ups between tasks are what they are in a
    /// server, which the thread that blocks on a runtime is not.
    pub(crate) fn run<F>(&self, figure: F) -> Samples
    where
        F: Future<Output = Samples> + Send + 'static,
    {
        let runtime = self.runtime();
        let samples = runtime.block_on(async { tokio::spawn(figure).await });
        runtime.shutdown_timeout(Duration::from_secs(5));
        samples.expect("no figure panics")
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A quantile of what was measured.
pub(crate) fn quantile(samples: &[Duration], of: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * of).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
