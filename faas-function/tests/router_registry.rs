//! `SlotRouter` and a registry that changes, lags, breaks and forgets under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::store::Revision;
use faas_core::{
    Clock, Description, ErrorKind, IdSource, InstanceId, Invocation, MemoryStore, Monotonic,
    Namespace, Payload, Response, Result, RevisionNumber, TokioClock,
};
use faas_function::instance::{Health, Permit};
use faas_function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, Generation, RegistryEvent,
    StoreMetadata,
};
use faas_function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas_function::{FunctionInstance, FunctionRevision, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// A registry whose watch can be broken, kept silent, and whose answers can be kept back.
struct Moody {
    inner: StoreMetadata,
    /// Rises to end all watches.
    broken: watch::Sender<u32>,
    /// Watches tell nothing.
    silent: AtomicBool,
    /// How many lists may be answered.
    lists: tokio::sync::Semaphore,
    /// Reads of a function wait here, after they have read.
    read: Option<(Notify, Notify)>,
}

#[async_trait]
impl MetadataStore for Moody {
    async fn create(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.create(function, config).await
    }
    async fn update(
        &self,
        function: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.update(function, config, expected).await
    }
    async fn set_alias(
        &self,
        function: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.set_alias(function, change, expected).await
    }
    async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
        let answer = self.inner.get(function).await;
        if let Some((has_read, go_on)) = &self.read
            && answer.is_ok()
        {
            has_read.notify_one();
            go_on.notified().await;
        }
        answer
    }
    async fn revision(
        &self,
        function: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        self.inner.revision(function, number).await
    }
    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        let permit = self.lists.acquire().await.expect("it is never closed");
        permit.forget();
        self.inner.list(namespace).await
    }
    async fn delete(&self, function: &FunctionId, expected: Option<Generation>) -> Result<()> {
        self.inner.delete(function, expected).await
    }
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        let mut broken = self.broken.subscribe();
        let before = *broken.borrow();
        let end = async move {
            let ended = broken.wait_for(|now| *now > before).await;
            drop(ended.expect("the registry outlives its watches"));
        };
        if self.silent.load(Ordering::SeqCst) {
            return futures::stream::pending().take_until(Box::pin(end)).boxed();
        }
        self.inner.watch(after).take_until(Box::pin(end)).boxed()
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

struct Echo(InstanceId);

#[async_trait]
impl FunctionInstance for Echo {
    fn id(&self) -> InstanceId {
        self.0
    }
    async fn invoke(&self, call: Invocation, _: Permit) -> Result<Response> {
        Ok(Response::success(call.id, call.payload))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        futures::future::pending().boxed()
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

struct Stage {
    router: Arc<SlotRouter>,
    metadata: Arc<Moody>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Stage {
    async fn new() -> Self {
        Self::over(|_| {}).await
    }

    async fn over(mood: impl FnOnce(&mut Moody)) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let ids = IdSource::new(clock.clone(), 1);
        let mut metadata = Moody {
            inner: StoreMetadata::new(Arc::new(MemoryStore::new())),
            broken: watch::Sender::new(0),
            silent: AtomicBool::new(false),
            lists: tokio::sync::Semaphore::new(1),
            read: None,
        };
        mood(&mut metadata);
        let metadata = Arc::new(metadata);
        let parts = SlotRouterParts {
            metadata: metadata.clone(),
            clock: clock.clone(),
            decisions: DecisionLog::new(clock.clone(), ids.clone()),
        };
        let router = SlotRouter::start(parts, SlotRouterOptions::default()).await;
        Self {
            router: Arc::new(router.expect("it starts")),
            metadata,
            clock,
            ids,
        }
    }

    async fn create(&self) -> Arc<FunctionRevision> {
        let made = self.metadata.create(function(), config()).await;
        made.expect("made").latest.clone()
    }

    async fn update(&self) {
        let updated = self.metadata.update(&function(), config(), None).await;
        updated.expect("updated");
    }

    async fn delete(&self) {
        let deleted = self.metadata.delete(&function(), None).await;
        deleted.expect("deleted");
    }

    fn add(&self, revision: &Arc<FunctionRevision>) -> Arc<Echo> {
        let instance = Arc::new(Echo(self.ids.next()));
        let add = AddInstance::new(revision.clone(), instance.clone());
        self.router.add(add);
        instance
    }

    fn call(&self, function: &str) -> JoinHandle<Result<Response>> {
        let function = function.parse().expect("a reference");
        let call = Invocation::new(self.ids.next(), function, Payload::text("hi"));
        let router = self.router.clone();
        tokio::spawn(async move { FunctionRouter::invoke(&*router, call).await })
    }

    async fn not_found(&self, call: JoinHandle<Result<Response>>) {
        let error = call.await.expect("no panic").expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        // It is told at once, and not when its time is over.
        let waited = self.clock.now().since(Monotonic::ZERO);
        assert!(waited < Duration::from_secs(5), "{waited:?}");
    }

    async fn pass(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    /// The revisions that the router keeps anything of, as a new listener learns.
    async fn kept(&self) -> Vec<u64> {
        let kept = self.router.demand().map(|(id, _)| id.number.0);
        let mut kept: Vec<_> = kept
            .take_until(self.pass(Duration::from_millis(1)))
            .collect()
            .await;
        kept.sort_unstable();
        kept
    }
}

fn function() -> FunctionId {
    FunctionId {
        namespace: Namespace::default(),
        name: "echo".parse().expect("a name"),
    }
}

fn config() -> FunctionConfig {
    let handler = Executable::Handler("echo".parse().expect("a name"));
    FunctionConfig::new("test".parse().expect("a name"), handler)
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_deleted_function_is_not_found_though_an_instance_is_left() {
    let stage = Stage::new().await;
    let revision = stage.create().await;
    let instance = stage.add(&revision);
    let answer = stage.call("echo").await.expect("no panic");
    answer.expect("it runs");
    stage.delete().await;
    stage.pass(MOMENT).await;
    stage.not_found(stage.call("echo")).await;
    stage.not_found(stage.call("echo@1")).await;

    stage.router.remove(instance.id());
    assert_eq!(Arc::strong_count(&instance), 1, "the router keeps it");
    assert_eq!(stage.kept().await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_resolves_as_its_function_is_deleted_is_told_so() {
    // The watch tells of nothing in time, so that each call reads the registry.
    let silent = |moody: &mut Moody| {
        moody.silent = AtomicBool::new(true);
        moody.read = Some(Default::default());
    };
    let stage = Stage::over(silent).await;
    stage.create().await;
    let call = stage.call("echo");
    let (has_read, go_on) = stage.metadata.read.as_ref().expect("it has them");
    has_read.notified().await;
    stage.delete().await;
    go_on.notify_one();
    stage.not_found(call).await;
    assert_eq!(stage.kept().await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn deletions_between_a_broken_watch_and_the_next_list_are_noticed() {
    let stage = Stage::new().await;
    let revision = stage.create().await;
    stage.pass(MOMENT).await;
    let waiting = stage.call("echo");
    stage.pass(MOMENT).await;
    stage.metadata.broken.send_modify(|times| *times += 1);
    stage.pass(MOMENT).await;
    stage.delete().await;
    stage.metadata.lists.add_permits(1);
    stage.not_found(waiting).await;
    stage.not_found(stage.call("echo")).await;
    // One that comes late is of a function that is gone.
    let late = stage.add(&revision);
    stage.pass(MOMENT).await;
    assert_eq!(stage.kept().await, [0; 0]);
    stage.router.remove(late.id());
    assert_eq!(Arc::strong_count(&late), 1, "the router keeps it");
}

#[tokio::test(start_paused = true)]
async fn creations_between_a_broken_watch_and_the_next_list_are_noticed() {
    let stage = Stage::new().await;
    stage.metadata.broken.send_modify(|times| *times += 1);
    stage.pass(MOMENT).await;
    let revision = stage.create().await;
    let early = stage.call("echo");
    stage.pass(MOMENT).await;
    stage.metadata.lists.add_permits(1);
    stage.pass(Duration::from_secs(1)).await;
    stage.add(&revision);
    early.await.expect("no panic").expect("it runs");
    let later = stage.call("echo").await.expect("no panic");
    later.expect("it runs");
}

#[tokio::test(start_paused = true)]
async fn an_instance_may_come_before_the_registry_tells_of_its_function() {
    let stage = Stage::over(|moody| moody.silent = AtomicBool::new(true)).await;
    let revision = stage.create().await;
    stage.add(&revision);
    stage.pass(MOMENT).await;
    let answer = stage.call("echo").await.expect("no panic");
    answer.expect("it runs");
}

#[tokio::test(start_paused = true)]
async fn a_function_made_anew_is_not_served_by_what_was_left_of_the_old_one() {
    let stage = Stage::new().await;
    let old = stage.create().await;
    stage.add(&old);
    stage.pass(MOMENT).await;
    stage.delete().await;
    let new = stage.create().await;
    assert!(new.number > old.number, "numbers never return");
    stage.pass(MOMENT).await;
    let mut waiting = stage.call("echo");
    stage.pass(MOMENT).await;
    assert!(
        futures::poll!(&mut waiting).is_pending(),
        "no instance of it is there"
    );
    stage.add(&new);
    waiting.await.expect("no panic").expect("it runs");
    stage.not_found(stage.call("echo@1")).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_empty_of_an_old_revision_goes_and_comes_again_when_it_is_called() {
    let stage = Stage::new().await;
    let first = stage.create().await;
    let instance = stage.add(&first);
    let answer = stage.call("echo").await.expect("no panic");
    answer.expect("it runs");
    stage.router.remove(instance.id());
    stage.update().await;
    stage.pass(MOMENT).await;
    assert_eq!(stage.kept().await, [0; 0]);

    let waiting = stage.call("echo@1");
    stage.pass(MOMENT).await;
    assert_eq!(stage.kept().await, [1]);
    stage.update().await;
    stage.pass(MOMENT).await;
    assert_eq!(stage.kept().await, [1], "one waits");
    stage.add(&first);
    waiting.await.expect("no panic").expect("it runs");
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_told_soon_and_how_busy_it_was() {
    let stage = Stage::new().await;
    let revision = stage.create().await;
    stage.add(&revision);
    let mut demand = stage.router.demand();
    let (_, load) = demand.next().await.expect("a load");
    assert_eq!((load.ready, load.running), (1, 0));
    for _ in 0..1_000 {
        let answer = stage.call("echo").await.expect("no panic");
        answer.expect("it runs");
    }
    let reports = demand.take_until(stage.pass(Duration::from_secs(1)));
    let reports: Vec<_> = reports.map(|(_, load)| load).collect().await;
    assert!(
        (1..=2).contains(&reports.len()),
        "{} reports",
        reports.len()
    );
    let last = reports.last().expect("there is one");
    assert_eq!(
        (last.running, last.busy),
        (0, Some(Duration::ZERO)),
        "no time has passed"
    );
}
