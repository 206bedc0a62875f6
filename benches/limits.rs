//! Figures of the platform, each as a ratio to a physical limit that is measured in the same run,
//! interleaved with it. Prints a line a figure and writes `target/limits.json`.
//!
//! Run it with `cargo bench --bench limits`.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use faas::Platform;
use faas::core::{FunctionError, HandlerCall, HandlerReply, Invocation, Payload};
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

const ROUNDS: usize = 60;
const CALLS: usize = 2_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut figures = Map::new();
    runtime.block_on(async {
        let worker = tokio::spawn(async {
            let mut figures = Map::new();
            warm_in_process(&mut figures).await;
            throughput_in_process(&mut figures).await;
            boot(&mut figures).await;
            figures
        });
        figures = worker.await.expect("no figure panics");
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/limits.json");
    let text = serde_json::to_string_pretty(&figures).expect("JSON");
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("write {path:?}: {error}"));
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn p50(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(figures: &mut Map<String, Value>, name: &str, is: Duration, limit: Duration) {
    let ratio = is.as_secs_f64() / limit.as_secs_f64();
    println!("{name} ratio={ratio:.2} p50={is:.2?} limit_p50={limit:.2?}");
    let nanos = |time: Duration| time.as_nanos() as u64;
    let figure = json!({ "ratio": ratio, "p50_ns": nanos(is), "limit_p50_ns": nanos(limit) });
    figures.insert(name.into(), figure);
}

async fn platform() -> Platform {
    let platform = Platform::builder().build().await.expect("the defaults");
    let echo =
        |call: HandlerCall| async move { Ok::<_, FunctionError>(HandlerReply::from(call.payload)) };
    platform
        .deploy_handler("echo", echo)
        .await
        .expect("it deploys");
    platform
        .run("echo", Payload::empty())
        .await
        .expect("it starts");
    platform
}

fn request(platform: &Platform) -> Invocation {
    platform
        .request("echo", Payload::bytes(&b"0123456789abcdef"[..]))
        .expect("a request")
}

/// One warm invocation of a closure, against a oneshot round trip between two tasks.
async fn warm_in_process(figures: &mut Map<String, Value>) {
    let platform = platform().await;
    let (questions, mut asked) = mpsc::channel::<oneshot::Sender<u64>>(1);
    tokio::spawn(async move {
        while let Some(answer) = asked.recv().await {
            let _ = answer.send(7);
        }
    });
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * CALLS / 20 {
        let start = now();
        let (sender, receiver) = oneshot::channel();
        questions.send(sender).await.expect("the task answers");
        black_box(receiver.await.expect("an answer"));
        limits.push(start.elapsed());

        let invocation = request(&platform);
        let start = now();
        black_box(platform.invoke(invocation).await.expect("an answer"));
        ours.push(start.elapsed());
    }
    report(figures, "warm_in_process", p50(&mut ours), p50(&mut limits));
}

/// Sequential invocations of a closure, against bare boxed calls; per call.
async fn throughput_in_process(figures: &mut Map<String, Value>) {
    type Bare = Box<dyn Fn(Payload) -> BoxFuture<'static, Payload> + Send + Sync>;
    let bare: Bare = Box::new(|payload| Box::pin(async move { payload }));
    let platform = platform().await;
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = now();
        for _ in 0..CALLS {
            black_box(bare(Payload::bytes(&b"0123456789abcdef"[..])).await);
        }
        limits.push(start.elapsed() / CALLS as u32);
        let start = now();
        for _ in 0..CALLS {
            black_box(
                platform
                    .invoke(request(&platform))
                    .await
                    .expect("an answer"),
            );
        }
        ours.push(start.elapsed() / CALLS as u32);
    }
    report(
        figures,
        "throughput_in_process",
        p50(&mut ours),
        p50(&mut limits),
    );
}

/// The time until an embedded platform is ready, against that of an empty task.
async fn boot(figures: &mut Map<String, Value>) {
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = now();
        tokio::spawn(async {}).await.expect("an empty task");
        limits.push(start.elapsed());
        let start = now();
        black_box(Platform::builder().build().await.expect("the defaults"));
        ours.push(start.elapsed());
    }
    report(figures, "boot", p50(&mut ours), p50(&mut limits));
}
