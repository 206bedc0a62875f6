//! Invocations of a closure one after the other, a thousand at a stretch, made and answered.
//!
//! Its limit is the bare boxed call of the same closure: what the platform adds is all of it. The
//! file `limits.json` has it as invocations per second.

use std::hint::black_box;

use faas::core::Payload;
use futures::future::BoxFuture;

use crate::Figure;
use crate::measure::{Bench, Samples, now};
use crate::platform::{in_process, payload, request};

pub(crate) const FIGURE: Figure = Figure {
    name: "throughput_in_process",
    about: "calls of a closure one after the other, against bare boxed calls of it",
    reach: None,
    rounds: 100,
    run,
};

const CALLS: u32 = 1_000;

type Bare = Box<dyn Fn(Payload) -> BoxFuture<'static, Payload> + Send + Sync>;

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let bare: Bare = black_box(Box::new(|payload| Box::pin(async move { payload })));
        let platform = in_process().await;
        let mut samples = Samples::default();
        for _ in rounds {
            let start = now();
            for _ in 0..CALLS {
                black_box(bare(payload()).await);
            }
            samples.limit.push(start.elapsed() / CALLS);

            let start = now();
            for _ in 0..CALLS {
                let request = request(&platform, "echo");
                black_box(platform.invoke(request).await.expect("an answer"));
            }
            samples.ours.push(start.elapsed() / CALLS);
        }
        samples
    })
}
