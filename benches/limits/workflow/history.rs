//! The ten thousandth step of an execution, snapshots included.
//!
//! Its limit is the tenth.

use std::sync::Arc;
use std::time::Duration;

use faas_core::MemoryStore;
use faas_workflow::Definition;
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::registry::Durability;
use serde_json::{Value, json};

use super::place::{self, Nothing, layer};
use crate::Figure;
use crate::measure::{Bench, Samples};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_history",
    about: "a step after 10,000 steps, against one after 10",
    reach: Some(1.2),
    rounds: 5,
    run,
};

const WINDOW: usize = 1000;

/// A list, one item after the other.
fn list() -> Definition {
    let each = WorkflowBuilder::new().task("each", "nothing", |task| {
        task.map(E::input(""), 1).input(E::index())
    });
    each.build().expect("it is valid")
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / times.len() as u32
}

pub(super) fn items(count: usize) -> Value {
    json!(vec![0; count])
}

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let mut samples = Samples::default();
        for _ in rounds {
            let functions = Arc::new(Nothing::default());
            let store = Arc::new(MemoryStore::new());
            let layer = layer(store, functions.clone(), list(), Durability::Strict).await;
            place::run(&layer, "long", items(10_000 + WINDOW)).await;
            let steps = functions.steps();
            samples.limit.push(mean(&steps[10..10 + WINDOW]));
            samples.ours.push(mean(&steps[10_000 - 1..]));
        }
        samples
    })
}
