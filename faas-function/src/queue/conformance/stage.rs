//! What the cases play on: a store, an invoker that does as it is told, settings.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, Page,
    Revision, Scan, Space, Store,
};
use faas_core::{
    Clock, Description, Error, ErrorKind, FunctionError, FunctionRef, IdSource, Invocation,
    InvocationId, Invoker, MemoryStore, Namespace, Payload, PrewarmHint, Response, Result,
    TokioClock, WorkflowName,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::InvocationQueue;
use crate::queue::{
    DeadLetter, QueueSettings, QueueSettingsSource, Queued, StoreQueueParts, WorkflowStarter,
};

/// What a queue is made from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Setup {
    /// What it works with.
    pub parts: StoreQueueParts,
    /// How much it may keep.
    pub capacity: usize,
    /// How long the owner of the store may be silent; `None` if the queue is the store's only one.
    pub lease: Option<Duration>,
}

/// Makes a queue.
pub type Factory = Arc<dyn Fn(Setup) -> BoxFuture<'static, Arc<dyn InvocationQueue>> + Send + Sync>;

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    let result = tokio::time::timeout(limit, future).await;
    result.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call as the invoker saw it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: InvocationId,
    pub(super) function: String,
    pub(super) payload: String,
    pub(super) key: Option<String>,
    pub(super) outcome: String,
}

/// Answers with what it is given, or fails, when it is let.
#[derive(Debug)]
pub(super) struct Puppet {
    calls: Mutex<Vec<Call>>,
    running: AtomicUsize,
    by_function: Mutex<HashMap<String, (usize, usize)>>,
    failures: AtomicUsize,
    held: watch::Sender<bool>,
}

/// A call that runs; dropped, it does not.
struct Running<'a>(&'a Puppet, String);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        if let Some((now, _)) = lock(&self.0.by_function).get_mut(&self.1) {
            *now -= 1;
        }
    }
}

impl Puppet {
    fn new() -> Self {
        Self {
            calls: Mutex::default(),
            running: AtomicUsize::new(0),
            by_function: Mutex::default(),
            failures: AtomicUsize::new(0),
            held: watch::Sender::new(false),
        }
    }

    /// Calls wait from here on.
    pub(super) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(super) fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// So many calls fail from here on.
    pub(super) fn fail(&self, calls: usize) {
        self.failures.store(calls, Ordering::SeqCst);
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The most calls of a function that ran at once.
    pub(super) fn most(&self, function: &str) -> usize {
        lock(&self.by_function)
            .get(function)
            .map_or(0, |(_, most)| *most)
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    fn enter(&self, call: &Invocation) -> Running<'_> {
        let function = format!("{}/{}", call.function.namespace, call.function.name);
        self.running.fetch_add(1, Ordering::SeqCst);
        let mut by_function = lock(&self.by_function);
        let (now, most) = by_function.entry(function.clone()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        drop(by_function);
        lock(&self.calls).push(Call {
            id: call.id,
            function: function.clone(),
            payload: call.payload.to_text().unwrap_or("no text").to_owned(),
            key: call.idempotency_key.as_deref().map(str::to_owned),
            outcome: call.attributes.get("faas-outcome").unwrap_or("").to_owned(),
        });
        Running(self, function)
    }
}

#[async_trait]
impl Invoker for Puppet {
    async fn invoke(&self, call: Invocation) -> Result<Response> {
        let running = self.enter(&call);
        let mut held = self.held.subscribe();
        // The sender is this puppet's own: it is there.
        let _ = held.wait_for(|held| !held).await;
        drop(running);
        let (order, left) = (Ordering::SeqCst, |left: usize| left.checked_sub(1));
        if self.failures.fetch_update(order, order, left).is_ok() {
            let error = FunctionError::new("Stage.Asked", "it was asked to fail");
            return Ok(Response::failure(call.id, error));
        }
        Ok(Response::success(call.id, call.payload))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("Puppet")
    }
}

/// Settings by function; others than these are not there.
#[derive(Debug, Default)]
struct Table(Mutex<BTreeMap<String, QueueSettings>>);

#[async_trait]
impl QueueSettingsSource for Table {
    async fn settings(&self, function: &FunctionRef) -> Result<QueueSettings> {
        let found = lock(&self.0).get(function.name.as_str()).cloned();
        let unknown = || Error::not_found("submit", format!("there is no function {function}"));
        found.ok_or_else(unknown)
    }
}

type Started = (String, String, String);

#[derive(Debug, Default)]
struct Starts(Mutex<Vec<Started>>);

#[async_trait]
impl WorkflowStarter for Starts {
    async fn start(
        &self,
        namespace: &Namespace,
        workflow: &WorkflowName,
        execution: &str,
        input: Payload,
    ) -> Result<()> {
        let input = input.to_text()?.to_owned();
        let workflow = format!("{namespace}/{workflow}");
        lock(&self.0).push((workflow, execution.to_owned(), input));
        Ok(())
    }
}

/// A store whose commits stand still while it is shut: what a stalled process looks like.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn Store>,
    shut: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        let shut = watch::Sender::new(false);
        Arc::new(Self { inner, shut })
    }

    pub(super) fn shut(&self) {
        self.shut.send_replace(true);
    }

    pub(super) fn open(&self) {
        self.shut.send_replace(false);
    }
}

#[async_trait]
impl Store for Gate {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        self.inner.get(space, key).await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.inner.scan(scan).await
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        if !*self.shut.borrow() {
            return self.inner.commit(batch);
        }
        let (inner, mut shut) = (self.inner.clone(), self.shut.subscribe());
        Box::pin(async move {
            let _ = shut.wait_for(|shut| !shut).await;
            inner.commit(batch).await
        })
    }
    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.inner.watch(space, prefix, after)
    }
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        self.inner.outcome(id).await
    }
    fn limits(&self) -> Limits {
        self.inner.limits()
    }
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    fn name(&self) -> &'static str {
        "gate"
    }
}

/// One case's surroundings.
pub(super) struct Stage {
    pub(super) store: Arc<dyn Store>,
    pub(super) invoker: Arc<Puppet>,
    pub(super) capacity: usize,
    pub(super) lease: Option<Duration>,
    settings: Arc<Table>,
    starts: Arc<Starts>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Stage {
    /// The functions `f`, `g`, `w` and `mourner`, with short pauses.
    pub(super) fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let stage = Self {
            store: Arc::new(MemoryStore::new()),
            invoker: Arc::new(Puppet::new()),
            capacity: 1000,
            lease: None,
            settings: Arc::default(),
            starts: Arc::default(),
            ids: IdSource::random(clock.clone()),
            clock,
        };
        for function in ["f", "g", "w", "mourner"] {
            stage.set_for(function, |_| {});
        }
        stage
    }

    pub(super) fn set(&self, change: impl Fn(&mut QueueSettings)) {
        for function in ["f", "g"] {
            self.set_for(function, &change);
        }
    }

    pub(super) fn set_for(&self, function: &str, change: impl FnOnce(&mut QueueSettings)) {
        let mut settings = QueueSettings {
            first_pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(20),
            max_age: Duration::from_secs(60),
            ..QueueSettings::default()
        };
        change(&mut settings);
        lock(&self.settings.0).insert(function.to_owned(), settings);
    }

    pub(super) fn started(&self) -> Vec<Started> {
        lock(&self.starts.0).clone()
    }

    pub(super) async fn queue(&self, factory: &Factory) -> Arc<dyn InvocationQueue> {
        self.queue_over(factory, self.store.clone()).await
    }

    pub(super) async fn queue_over(
        &self,
        factory: &Factory,
        store: Arc<dyn Store>,
    ) -> Arc<dyn InvocationQueue> {
        let mut parts = StoreQueueParts::new(
            store,
            self.invoker.clone(),
            self.settings.clone(),
            self.clock.clone(),
            self.ids.clone(),
            DecisionLog::new(self.clock.clone(), self.ids.clone()),
        );
        parts.workflows = Some(self.starts.clone());
        let (capacity, lease) = (self.capacity, self.lease);
        factory(Setup {
            parts,
            capacity,
            lease,
        })
        .await
    }

    pub(super) fn call(&self, function: &str, text: &str) -> Invocation {
        let function = function.parse().expect("a function");
        Invocation::new(self.ids.next(), function, Payload::text(text))
    }

    pub(super) async fn submit(
        &self,
        queue: &dyn InvocationQueue,
        function: &str,
        text: &str,
    ) -> InvocationId {
        let submitted = queue.submit(self.call(function, text));
        let id = within("it is taken", submitted).await;
        id.expect("it is taken")
    }

    /// A request that has ended gives its room back a moment later.
    pub(super) async fn submit_when_there_is_room(
        &self,
        queue: &dyn InvocationQueue,
        text: &str,
    ) -> InvocationId {
        let submitted = async {
            loop {
                match queue.submit(self.call("f", text)).await {
                    Err(error) if error.kind() == ErrorKind::Exhausted => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    other => return other.expect("it is taken"),
                }
            }
        };
        within("there is room", submitted).await
    }

    /// Until the request has ended.
    pub(super) async fn ended(&self, queue: &dyn InvocationQueue, id: InvocationId) {
        let ended = async {
            loop {
                match queue.find(id).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => return,
                    Ok(Queued::Dead(letter)) => panic!("it is dead: {letter:?}"),
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        within("it ends", ended).await;
    }

    /// Until the request is a dead letter.
    pub(super) async fn dead(&self, queue: &dyn InvocationQueue, id: InvocationId) -> DeadLetter {
        let dead = async {
            loop {
                match queue.find(id).await {
                    Ok(Queued::Dead(letter)) => return *letter,
                    Ok(Queued::Pending { .. }) => {
                        tokio::time::sleep(Duration::from_millis(1)).await
                    }
                    Err(error) => panic!("it is no dead letter: {error}"),
                }
            }
        };
        within("it is dead", dead).await
    }

    pub(super) async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let waited = async {
            while !reached(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(what, waited).await;
    }
}
