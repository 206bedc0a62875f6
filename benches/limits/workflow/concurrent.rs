//! A thousand executions at once of ten strict steps each: how many steps share a sync.
//!
//! Its limit is what it is meant to reach, a sync for each fifty steps.

use std::sync::Arc;

use faas_workflow::registry::Durability;
use futures::future::join_all;

use super::place::{self, Nothing, chain, directory, input, layer, sqlite};
use crate::Figure;
use crate::measure::{Bench, Samples, count, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_concurrent",
    about: "syncs of 1,000 executions at once of 10 steps, against one for 50 steps",
    reach: Some(1.0),
    rounds: 3,
    run,
};

const EXECUTIONS: u32 = 1000;
const STEPS: u32 = 10;

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = directory();
        let store = Arc::new(sqlite(&directory).await);
        let functions = Arc::new(Nothing::default());
        let chain = chain(STEPS as usize);
        let layer = layer(store.clone(), functions, chain, Durability::Strict).await;
        place::run(&layer, "warm-up", input()).await;
        let steps = EXECUTIONS * STEPS;
        let mut samples = Samples::counted("syncs");
        for round in rounds {
            let before = store.statistics().transactions;
            let begin = now();
            let runs = (0..EXECUTIONS).map(|number| {
                let layer = layer.clone();
                let name = format!("e{round}-{number}");
                tokio::spawn(async move { place::run(&layer, &name, input()).await })
            });
            for done in join_all(runs).await {
                done.expect("no panic");
            }
            let took = begin.elapsed();
            let syncs = store.statistics().transactions - before;
            samples.ours.push(count(syncs));
            samples.limit.push(count(u64::from(steps) / 50));
            samples.notes = vec![
                ("steps_per_sync", f64::from(steps) / syncs as f64),
                ("steps_per_second", f64::from(steps) / took.as_secs_f64()),
            ];
        }
        samples
    })
}
