//! Each invocation that ends is counted once, however it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faas_core::telemetry::{INSTANCES, INVOCATIONS, QUEUE_DEPTH, QUEUE_SECONDS};
use faas_core::{Error, ErrorKind};
use faas_function::router::SlotRouterOptions;
use faas_function::{FunctionRouter, MetadataStore};
use futures::FutureExt;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use crate::stage::{Mood, Stage, config, function};

/// Keeps what is recorded, by name and by all labels but the function's.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

/// Counts what a histogram is given.
struct Samples(Arc<AtomicU64>);

impl HistogramFn for Samples {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels().filter(|label| label.key() != "namespace");
        let labels: Vec<_> = labels.map(|label| label.value().to_owned()).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        let mut cells = self.0.lock().expect("nobody panics");
        cells.entry(name).or_default().clone()
    }

    fn value(&self, name: &str) -> u64 {
        let cells = self.0.lock().expect("nobody panics");
        cells
            .get(name)
            .map_or(0, |cell| cell.load(Ordering::SeqCst))
    }

    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.value(name))
    }

    /// All invocations that ended.
    fn ended(&self) -> u64 {
        let cells = self.0.lock().expect("nobody panics");
        let counters = cells
            .iter()
            .filter(|(name, _)| name.starts_with(INVOCATIONS));
        counters.map(|(_, cell)| cell.load(Ordering::SeqCst)).sum()
    }

    fn of(&self, labels: &str) -> u64 {
        self.value(&format!("{INVOCATIONS} {labels}"))
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Samples(self.cell(key))))
    }
}

fn options() -> SlotRouterOptions {
    let mut options = SlotRouterOptions::default();
    options.queue = 1;
    options.longest_wait = Duration::from_secs(5);
    options
}

#[tokio::test(start_paused = true)]
async fn what_gets_no_instance_is_counted_once_and_its_wait_is_recorded() {
    let recorder = Recorder::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new(options()).await;
    let unknown = stage.run(stage.call_of("nobody")).await;
    assert_eq!(unknown.expect_err("unknown").kind(), ErrorKind::NotFound);
    assert_eq!((recorder.ended(), recorder.of(" none error")), (1, 1));

    let waited = stage.run(stage.call()).await;
    assert_eq!(waited.expect_err("waited").kind(), ErrorKind::Exhausted);
    let deadline = stage.clock.now() + Duration::from_secs(1);
    let late = stage.run(stage.call().with_deadline(deadline)).await;
    assert_eq!(late.expect_err("late").kind(), ErrorKind::DeadlineExceeded);
    let over = stage.run(stage.call().with_deadline(deadline)).await;
    assert_eq!(over.expect_err("over").kind(), ErrorKind::DeadlineExceeded);
    assert_eq!((recorder.ended(), recorder.of("echo none error")), (4, 3));
    assert_eq!(recorder.value(&format!("{QUEUE_SECONDS} echo")), 2);

    let mut waiting = stage.run(stage.call()).boxed();
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(recorder.gauge(&format!("{QUEUE_DEPTH} echo")), 1.0);
    let full = stage.run(stage.call()).await;
    assert_eq!(full.expect_err("full").kind(), ErrorKind::Exhausted);
    assert_eq!((recorder.ended(), recorder.of("echo none error")), (5, 4));
    drop(waiting);
    assert_eq!(
        (recorder.ended(), recorder.of("echo none cancelled")),
        (6, 1)
    );

    let mut waiting = stage.run(stage.call()).boxed();
    assert!(futures::poll!(&mut waiting).is_pending());
    let why = Error::unsupported("plan", "it cannot be");
    stage.router.refuse(&stage.revision.id(), why);
    waiting.await.expect_err("refused");
    assert_eq!((recorder.ended(), recorder.of("echo none error")), (7, 5));
    assert_eq!(recorder.gauge(&format!("{QUEUE_DEPTH} echo")), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_gets_an_instance_is_counted_once_though_it_is_tried_twice_or_dropped() {
    let recorder = Recorder::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new(options()).await;
    stage.add(Mood::Well);
    // The last one added is picked first.
    stage.add(Mood::Dead);
    stage.run(stage.call()).await.expect("the other runs it");
    assert_eq!(
        (recorder.ended(), recorder.of("echo prewarmed success")),
        (1, 1)
    );

    stage.add(Mood::Never);
    let mut running = stage.run(stage.call()).boxed();
    assert!(futures::poll!(&mut running).is_pending());
    drop(running);
    assert_eq!(
        (recorder.ended(), recorder.of("echo prewarmed cancelled")),
        (2, 1)
    );

    stage.add(Mood::Streams);
    let response = stage.run(stage.call()).await.expect("it runs");
    assert_eq!(recorder.ended(), 2, "its body has not ended");
    response.collect(100).await.expect("a body");
    assert_eq!(
        (recorder.ended(), recorder.of("echo prewarmed success")),
        (3, 2)
    );
    drop(stage.run(stage.call()).await.expect("it runs"));
    assert_eq!(
        (recorder.ended(), recorder.of("echo warm cancelled")),
        (4, 1)
    );

    stage.add(Mood::Breaks);
    let response = stage.run(stage.call()).await.expect("it begins");
    response.collect(100).await.expect_err("it breaks off");
    assert_eq!(
        (recorder.ended(), recorder.of("echo prewarmed error")),
        (5, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_old_revision_leaves_the_instances_of_the_new_one() {
    let recorder = Recorder::default();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new(options()).await;
    let old = stage.add(Mood::Well);
    let mut changed = config();
    changed.concurrency = 2;
    let updated = stage.metadata.update(&function(), changed, None).await;
    let new = updated.expect("updated").latest.clone();
    stage.add_to(&new, Mood::Well);
    let gauge = format!("{INSTANCES} echo");
    assert_eq!(recorder.gauge(&gauge), 2.0);
    stage.router.remove(old);
    assert_eq!(recorder.gauge(&gauge), 1.0);
    stage.router.remove(old);
    assert_eq!(recorder.gauge(&gauge), 1.0);
}
