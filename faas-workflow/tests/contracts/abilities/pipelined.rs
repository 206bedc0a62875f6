//! Pipelined durability: what runs ahead, what is shown, what runs again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Entry, Key, Limits, Page, Revision, Scan,
    Space,
};
use faas_core::{MemoryStore, Result, Store};
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::registry::{Durability, WorkflowSettings};
use faas_workflow::{Definition, WorkflowEngine};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Echo, echo, output};
use crate::fixtures::{Place, start_of, within};

type Held = (Batch, oneshot::Sender<Result<Committed>>);

/// A disk whose writes take until they are let go, and are lost if they never are.
#[derive(Debug)]
struct SlowDisk {
    disk: MemoryStore,
    held: Mutex<Option<Vec<Held>>>,
    /// How many writes are still quick.
    quick: AtomicUsize,
}

impl SlowDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            disk: MemoryStore::new(),
            held: Mutex::default(),
            quick: AtomicUsize::new(usize::MAX),
        })
    }

    /// Holds all writes but the next few.
    fn hold_after(&self, quick: usize) {
        *self.held.lock().unwrap() = Some(Vec::new());
        self.quick.store(quick, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    async fn let_go(&self) {
        let held = self.held.lock().unwrap().take();
        for (batch, reply) in held.into_iter().flatten() {
            let _ = reply.send(self.disk.commit(batch).await);
        }
    }
}

#[async_trait]
impl Store for SlowDisk {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.disk.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.disk.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        match &mut *self.held.lock().unwrap() {
            None => self.disk.commit(batch),
            Some(_) if self.quick.load(Ordering::SeqCst) > 0 => {
                self.quick.fetch_sub(1, Ordering::SeqCst);
                self.disk.commit(batch)
            }
            Some(held) => {
                let (reply, answer) = oneshot::channel();
                held.push((batch, reply));
                async move { answer.await.unwrap() }.boxed()
            }
        }
    }
    fn watch(
        &self,
        space: &Space,
        key: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.disk.watch(space, key, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.disk.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.disk.limits()
    }
    fn durability(&self) -> faas_core::store::Durability {
        self.disk.durability()
    }
    fn name(&self) -> &'static str {
        "slow disk"
    }
}

/// `t0` → `t1` → …, each with the result of the one before.
fn chain(length: usize) -> Definition {
    let mut builder = WorkflowBuilder::new().task("t0", "echo", |task| task);
    for number in 1..length {
        let before = E::result(format!("t{}", number - 1), "");
        let input = E::list([before, E::literal(number)]);
        builder = builder.task(&format!("t{number}"), "echo", |task| task.input(input));
    }
    builder
        .output(E::result(format!("t{}", length - 1), ""))
        .build()
        .unwrap()
}

async fn place(disk: &Arc<SlowDisk>, durability: Durability) -> Place {
    let place = Place::over(disk.clone());
    let settings = WorkflowSettings::new().durability(durability);
    place.register_with("chain", chain(20), settings).await;
    place
}

/// Starts, and stops the disk as soon as the start is durable.
async fn started(disk: &Arc<SlowDisk>, engine: &Arc<dyn WorkflowEngine>) -> faas_core::ExecutionId {
    disk.hold_after(1);
    let head = engine
        .start(start_of("chain", "one", json!("x")))
        .await
        .unwrap();
    head.id
}

async fn settled() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_runs_ahead_of_the_disk_and_shows_nothing_before() {
    let disk = SlowDisk::new();
    let place = place(&disk, Durability::Pipelined).await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let id = started(&disk, &engine).await;
    let waiting = engine.clone();
    let waiting = tokio::spawn(async move { waiting.wait(id).await });
    settled().await;
    assert_eq!(functions.calls().len(), 20, "the whole chain ran");
    assert!(!waiting.is_finished(), "its end is not durable");
    let head = engine.describe_execution(id).await.unwrap();
    assert!(!head.status().is_ended(), "nobody sees what could be lost");
    disk.let_go().await;
    let head = within(waiting).await.unwrap().unwrap();
    assert_eq!(output(&head)[1], json!(19));
}

#[tokio::test(start_paused = true)]
async fn a_strict_one_waits_for_each_step() {
    let disk = SlowDisk::new();
    let place = place(&disk, Durability::Strict).await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let id = started(&disk, &engine).await;
    settled().await;
    assert!(
        functions.calls().len() <= 1,
        "the second task needs the first's result to be durable"
    );
    disk.let_go().await;
    within(engine.wait(id)).await.unwrap();
    assert_eq!(functions.calls().len(), 20);
}

fn keys(functions: &Echo) -> Vec<String> {
    functions
        .calls()
        .into_iter()
        .map(|(_, key, _)| key)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_it_runs_again_from_the_durable_point_with_the_same_keys() {
    let disk = SlowDisk::new();
    let place = place(&disk, Durability::Pipelined).await;
    let first = echo();
    let engine = place.open(first.clone()).await;
    let id = started(&disk, &engine).await;
    settled().await;
    assert!(disk.count() > 1, "much was not durable");
    drop(engine);
    settled().await;
    // What was held is lost.
    disk.held.lock().unwrap().take();
    let second = echo();
    let engine = place.open(second.clone()).await;
    let head = within(engine.wait(id)).await.unwrap();
    assert_eq!(output(&head)[1], json!(19));
    assert_eq!(keys(&first), keys(&second), "each call has its key again");
    let distinct: std::collections::BTreeSet<_> = keys(&second).into_iter().collect();
    assert_eq!(distinct.len(), 20);
}
