//! As `cold_process`, on a platform whose state is on disk: no sync stands in a cold start's path.

use crate::Figure;
use crate::cold_process;
use crate::measure::{Bench, Samples};

pub(crate) const FIGURE: Figure = Figure {
    name: "cold_process_durable",
    about: "as cold_process, on a platform with a data directory",
    reach: Some(1.15),
    rounds: 200,
    run,
};

fn run(bench: &Bench) -> Samples {
    cold_process::measure(bench, true)
}
