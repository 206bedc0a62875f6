//! Loading an execution whose history has a million events, to go on from it.
//!
//! Its limit is loading one that has a thousand.

use std::sync::Arc;
use std::time::Duration;

use faas_core::MemoryStore;
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::registry::Durability;
use faas_workflow::{
    Definition, ExecutionHead, StoreExecutionStore, WorkflowExecutionStore, WorkflowLayer,
};
use serde_json::json;

use super::history::items;
use super::place::{self, Nothing, layer};
use crate::Figure;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_million",
    about: "loading an execution after 1,000,000 events, against one after 1,000",
    reach: None,
    rounds: 1,
    run,
};

/// A definition maps over 100,000 items at most: it does so five times. Each item is two events.
const MAPS: usize = 5;

fn definition() -> Definition {
    let mut builder = WorkflowBuilder::new();
    for number in 0..MAPS {
        builder = builder.task(&format!("each{number}"), "nothing", |task| {
            let task = task.map(E::input("/list"), 1000).input(E::index());
            match number {
                0 => task,
                _ => task.after(&format!("each{}", number - 1)),
            }
        });
    }
    builder.build().expect("it is valid")
}

async fn executed(layer: &WorkflowLayer, name: &str, events: usize) -> ExecutionHead {
    let list = items(events / 2 / MAPS);
    place::run(layer, name, json!({ "list": list })).await
}

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let mut samples = Samples::default();
        for _ in rounds {
            let memory = Arc::new(MemoryStore::new());
            let functions = Arc::new(Nothing::default());
            let strict = Durability::Strict;
            let layer = layer(memory.clone(), functions, definition(), strict).await;
            let few = executed(&layer, "few", 1000).await;
            let begin = now();
            let many = executed(&layer, "many", 1_000_000).await;
            let took = begin.elapsed();
            let store = StoreExecutionStore::new(memory);
            let load = async |head: &ExecutionHead| -> (Duration, usize) {
                let begin = now();
                let stored = store.load(head.id).await.expect("it is there");
                (begin.elapsed(), stored.events.len())
            };
            let (time, replayed) = load(&many).await;
            samples.ours.push(time);
            samples.limit.push(load(&few).await.0);
            samples.notes = vec![
                ("seconds", took.as_secs_f64()),
                ("events_replayed", replayed as f64),
            ];
        }
        samples
    })
}
