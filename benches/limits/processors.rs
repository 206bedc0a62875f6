//! Which processors a figure and its limit run on: the same ones, for as long as they are measured.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where threads and children run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Plan {
    /// Each worker thread has a processor of its own.
    Spread,
    /// Everything runs on one processor, children too: no work hides behind other work, and no
    /// wake-up waits for another processor. It is the strictest and the steadiest.
    #[default]
    One,
    /// Wherever the system puts it.
    Free,
}

impl Plan {
    /// Called by the main thread before there are others, which inherit what it sets.
    pub(crate) fn pin_process(self) {
        if self == Self::One
            && let Some(last) = allowed().last()
        {
            pin(*last);
        }
    }

    /// Called by each worker thread.
    pub(crate) fn pin_worker(self) {
        static WORKER: AtomicUsize = AtomicUsize::new(0);
        let allowed = allowed();
        if self == Self::Spread && !allowed.is_empty() {
            let worker = WORKER.fetch_add(1, Ordering::Relaxed);
            pin(allowed[worker % allowed.len()]);
        }
    }
}

fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    if let Err(error) = sched_setaffinity(None, &set) {
        eprintln!("cannot pin to processor {processor}: {error}");
    }
}
