//! A strict step of a workflow over SQLite: one append, synced, before the next function is called.
//!
//! Its limit is a raw append and `fdatasync` of as many bytes on the same file system.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use faas_workflow::registry::Durability;

use super::place::{self, Counting, Nothing, chain, directory, input, layer, sqlite};
use crate::Figure;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_step_durable",
    about: "a strict step of a workflow over SQLite, against an append with fdatasync",
    reach: Some(2.0),
    rounds: 10,
    run,
};

const LENGTH: usize = 100;

fn raw(file: &mut File, bytes: &[u8]) -> Duration {
    let begin = now();
    file.write_all(bytes).expect("it is written");
    file.sync_data().expect("it is synced");
    begin.elapsed()
}

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = directory();
        let store = Arc::new(Counting::new(sqlite(&directory).await));
        let functions = Arc::new(Nothing::default());
        let strict = Durability::Strict;
        let layer = layer(store.clone(), functions.clone(), chain(LENGTH), strict).await;
        let mut file = File::create(directory.path().join("raw")).expect("a file");
        place::run(&layer, "warm-up", input()).await;
        functions.steps();
        store.bytes_a_commit();
        let mut samples = Samples::default();
        for round in rounds {
            place::run(&layer, &format!("e{round}"), input()).await;
            samples.ours.extend(functions.steps());
            let data = vec![b'x'; store.bytes_a_commit()];
            samples
                .limit
                .extend((0..LENGTH).map(|_| raw(&mut file, &data)));
        }
        samples
    })
}
