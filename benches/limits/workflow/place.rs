//! Engines over stores, functions that do nothing, and time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faas_core::store::batch::Effect;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Entry, Key, Limits, Page, Revision, Scan,
    Space,
};
use faas_core::{Description, Invocation, Invoker, PrewarmHint, Response, Result, Store};
use faas_sqlite::SqliteStore;
use faas_workflow::builder::{Expression as E, WorkflowBuilder};
use faas_workflow::registry::{Durability, WorkflowSettings};
use faas_workflow::{
    Definition, ExecutionHead, RegisterWorkflow, StartExecution, WorkflowEngine, WorkflowLayer,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};

use crate::measure::now;
use crate::report::target_directory;

/// Answers at once with nothing, and notes when it was called.
#[derive(Default)]
pub(crate) struct Nothing {
    calls: Mutex<Vec<Instant>>,
}

impl Nothing {
    /// The times between calls since the last time that this was asked.
    pub(crate) fn steps(&self) -> Vec<Duration> {
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic"));
        calls
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]))
            .collect()
    }
}

#[async_trait]
impl Invoker for Nothing {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        self.calls.lock().expect("no panic").push(now());
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("Nothing")
    }
}

/// `length` tasks, each with the result of the one before.
pub(crate) fn chain(length: usize) -> Definition {
    let mut builder = WorkflowBuilder::new().task("t0", "nothing", |task| task);
    for number in 1..length {
        let input = E::result(format!("t{}", number - 1), "");
        builder = builder.task(&format!("t{number}"), "nothing", |task| task.input(input));
    }
    builder.build().expect("it is valid")
}

pub(crate) async fn layer(
    store: Arc<dyn Store>,
    functions: Arc<Nothing>,
    definition: Definition,
    durability: Durability,
) -> WorkflowLayer {
    let layer = WorkflowLayer::builder().store(store).invoker(functions);
    let layer = layer.build().await.expect("a layer");
    let (namespace, name) = ("default".parse(), "bench".parse());
    let (namespace, name) = (namespace.expect("a name"), name.expect("a name"));
    let mut register = RegisterWorkflow::new(namespace, name, definition);
    register.settings = WorkflowSettings::new().durability(durability);
    layer
        .registry()
        .register(register)
        .await
        .expect("it is valid");
    layer
}

/// Runs one execution to its end.
pub(crate) async fn run(layer: &WorkflowLayer, name: &str, input: Value) -> ExecutionHead {
    let workflow = "bench".parse().expect("a reference");
    let name = name.try_into().expect("a name");
    let start = StartExecution::new(workflow, name, input);
    let head = layer.engine().start(start).await.expect("it starts");
    let head = layer.engine().wait(head.id).await.expect("it ends");
    assert_eq!(head.status().label(), "succeeded", "{:?}", head.ending);
    head
}

pub(crate) fn input() -> Value {
    json!({ "order": 4711 })
}

/// In the target directory rather than in memory, where `/tmp` may be.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(target_directory()).expect("a directory")
}

pub(crate) async fn sqlite(directory: &tempfile::TempDir) -> SqliteStore {
    let store = SqliteStore::builder(directory.path().join("store.db"));
    store.open().await.expect("a store")
}

/// Counts what is written through it.
#[derive(Debug)]
pub(crate) struct Counting<S> {
    pub(crate) inner: S,
    pub(crate) commits: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl<S> Counting<S> {
    pub(crate) fn new(inner: S) -> Self {
        let (commits, bytes) = Default::default();
        Self {
            inner,
            commits,
            bytes,
        }
    }

    /// Bytes of a commit, on average, since the last time that this was asked.
    pub(crate) fn bytes_a_commit(&self) -> usize {
        let commits = self.commits.swap(0, Ordering::Relaxed).max(1);
        (self.bytes.swap(0, Ordering::Relaxed) / commits) as usize
    }
}

#[async_trait]
impl<S: Store> Store for Counting<S> {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.inner.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.inner.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let bytes = batch.operations().iter().map(|operation| {
            let value = match &operation.effect {
                Effect::Put(value) => value.len(),
                _ => return 0,
            };
            operation.key.as_bytes().len() + value
        });
        self.bytes
            .fetch_add(bytes.sum::<usize>() as u64, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(batch)
    }
    fn watch(
        &self,
        space: &Space,
        key: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.inner.watch(space, key, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.inner.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn durability(&self) -> faas_core::store::Durability {
        self.inner.durability()
    }
    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
