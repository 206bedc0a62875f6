//! The time until an embedded platform of the defaults is ready, its runtime's start included.
//!
//! Its limit is the start of an empty runtime of the same size, which every program that is to
//! embed a platform has to make anyway.

use std::hint::black_box;

use faas::Platform;

use crate::Figure;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "boot",
    about: "runtime and platform until it is ready, against the empty runtime",
    reach: None,
    rounds: 200,
    run,
};

fn run(bench: &Bench) -> Samples {
    let mut samples = Samples::default();
    for _ in bench.rounds() {
        let start = now();
        let runtime = bench.runtime();
        runtime
            .block_on(async { tokio::spawn(async {}).await })
            .expect("an empty task");
        samples.limit.push(start.elapsed());
        drop(runtime);

        let start = now();
        let runtime = bench.runtime();
        let built = async { Platform::builder().build().await };
        let platform = runtime.block_on(async { tokio::spawn(built).await });
        samples.ours.push(start.elapsed());
        black_box(platform.expect("no panic").expect("the defaults"));
        drop(runtime);
    }
    samples
}
