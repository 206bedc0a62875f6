//! The syncs of a chain of a hundred steps that runs ahead of the disk.
//!
//! Its limit is one.

use std::sync::Arc;

use faas_workflow::registry::Durability;

use super::place::{self, Nothing, chain, directory, input, layer, sqlite};
use crate::Figure;
use crate::measure::{Bench, Samples, count};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_pipelined",
    about: "syncs of a pipelined chain of 100 steps, against one",
    reach: Some(3.0),
    rounds: 50,
    run,
};

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = directory();
        let store = Arc::new(sqlite(&directory).await);
        let functions = Arc::new(Nothing::default());
        let layer = layer(store.clone(), functions, chain(100), Durability::Pipelined).await;
        place::run(&layer, "warm-up", input()).await;
        let mut samples = Samples::counted("syncs");
        for round in rounds {
            let before = store.statistics().transactions;
            place::run(&layer, &format!("e{round}"), input()).await;
            samples
                .ours
                .push(count(store.statistics().transactions - before));
            samples.limit.push(count(1));
        }
        samples
    })
}
