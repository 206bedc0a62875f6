//! A step of a workflow over the volatile store, in a chain of a hundred functions that do nothing.
//!
//! Its limit is a bare boxed call of such a function.

use std::sync::Arc;

use faas_core::MemoryStore;
use faas_workflow::registry::Durability;
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;

use super::place::{self, Nothing, chain, input, layer};
use crate::Figure;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "workflow_step_memory",
    about: "a step of a workflow over the volatile store, against a bare boxed call",
    reach: None,
    rounds: 100,
    run,
};

const LENGTH: u32 = 100;

type Call = Box<dyn Fn(Arc<Value>) -> BoxFuture<'static, Arc<Value>> + Send + Sync>;

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let store = Arc::new(MemoryStore::new());
        let functions = Arc::new(Nothing::default());
        let layer = layer(store, functions.clone(), chain(100), Durability::Strict).await;
        let call = || Box::new(|value| async move { value }.boxed()) as Call;
        let calls: Vec<_> = std::iter::repeat_with(call).take(100).collect();
        let mut samples = Samples::default();
        for round in rounds {
            place::run(&layer, &format!("e{round}"), input()).await;
            samples.ours.extend(functions.steps());
            let begin = now();
            let mut value = Arc::new(input());
            for call in &calls {
                value = call(value).await;
            }
            std::hint::black_box(value);
            samples.limit.push(begin.elapsed() / LENGTH);
        }
        samples
    })
}
