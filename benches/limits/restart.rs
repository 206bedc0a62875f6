//! A platform with a data directory that holds ten thousand functions and as many open executions:
//! from its start until it is ready.
//!
//! Its limit is the same with a tenth of them, so the ratio shows how the time grows: ten is
//! linear.

use std::path::Path;
use std::time::Duration;

use faas::Platform;
use faas::function::registry::FunctionConfig;
use faas::resource::Executable;
use faas::workflow::{Definition, Expression, WorkflowBuilder};
use futures::{StreamExt, stream};

use crate::Figure;
use crate::durable_commit::directory;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "restart",
    about: "start with 10,000 functions and 10,000 open executions, against a tenth of them",
    reach: Some(10.0),
    rounds: 3,
    run,
};

const MANY: usize = 10_000;
/// So many are made at once, so that they share syncs.
const AT_ONCE: usize = 256;

fn run(bench: &Bench) -> Samples {
    let rounds: Vec<_> = bench.rounds().collect();
    let (many, few) = (directory(), directory());
    let mut samples = Samples::default();
    for (directory, count) in [(&few, MANY / 10), (&many, MANY)] {
        let path = directory.path().to_owned();
        bench.run(async move {
            fill(&path, count).await;
            Samples::default()
        });
    }
    for _ in rounds {
        samples.limit.push(start(bench, few.path()));
        samples.ours.push(start(bench, many.path()));
    }
    samples
}

async fn platform(directory: &Path) -> Platform {
    let built = Platform::builder().data_dir(directory).build().await;
    built.expect("its directory is sound")
}

/// The time until a platform is ready; it ends as a crash would end it.
fn start(bench: &Bench, directory: &Path) -> Duration {
    let runtime = bench.runtime();
    let path = directory.to_owned();
    let begin = now();
    let built =
        runtime.block_on(async { tokio::spawn(async move { platform(&path).await }).await });
    let took = begin.elapsed();
    drop(built.expect("no panic"));
    runtime.shutdown_timeout(Duration::from_secs(30));
    took
}

fn waiting() -> Definition {
    let day = Duration::from_secs(86_400);
    WorkflowBuilder::new()
        .sleep("wait", day, |task| task.input(Expression::input("")))
        .output(Expression::input(""))
        .build()
        .expect("it is well-formed")
}

async fn fill(directory: &Path, count: usize) {
    let platform = platform(directory).await;
    let registered = platform.register_workflow("wait", waiting()).await;
    registered.expect("it compiles");
    let one = |n: usize| {
        let platform = platform.clone();
        async move {
            let runtime = "handler".parse().expect("a name");
            let handler = Executable::Handler("nobody".parse().expect("a name"));
            let config = FunctionConfig::new(runtime, handler);
            let deployed = platform.deploy(&format!("function-{n}"), config).await;
            deployed.expect("it deploys");
            let name = format!("execution-{n}");
            let started = platform.start_execution("wait", &name, &n).await;
            started.expect("it starts");
        }
    };
    stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, one)
        .await;
    // The directory is free when all that holds the store is gone.
    let end = platform.shutdown(Duration::from_secs(60)).await;
    end.expect("it drains");
}
