//! What `SlotRouter` does beyond the contract of routers: dead instances, timelines, decisions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::store::MemoryStore;
use faas_core::{
    Clock, Error, ErrorKind, IdSource, InstanceId, Invocation, Monotonic, Payload, Phase, Response,
    Result, StartKind, TokioClock,
};
use faas_function::instance::{Health, Permit};
use faas_function::registry::{FunctionConfig, FunctionId, StoreMetadata};
use faas_function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas_function::{FunctionInstance, FunctionRevision, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

struct Echo {
    id: InstanceId,
    dead: bool,
}

#[async_trait]
impl FunctionInstance for Echo {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, call: Invocation, _: Permit) -> Result<Response> {
        if self.dead {
            return Err(Error::unavailable("invoke", "it is dead"));
        }
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
    metadata: Arc<StoreMetadata>,
    revision: Arc<FunctionRevision>,
    decisions: DecisionLog,
    clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Stage {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let ids = IdSource::new(clock.clone(), 1);
        let metadata = Arc::new(StoreMetadata::new(Arc::new(MemoryStore::new())));
        let decisions = DecisionLog::new(clock.clone(), ids.clone());
        let parts = SlotRouterParts {
            metadata: metadata.clone(),
            clock: clock.clone(),
            decisions: decisions.clone(),
        };
        let router = SlotRouter::start(parts, SlotRouterOptions::default()).await;
        let handler = Executable::Handler("echo".parse().expect("a name"));
        let config = FunctionConfig::new("test".parse().expect("a name"), handler);
        let made = metadata.create(function(), config).await.expect("made");
        Self {
            router: Arc::new(router.expect("it starts")),
            metadata,
            revision: made.latest.clone(),
            decisions,
            clock,
            ids,
        }
    }

    fn add(&self, dead: bool) {
        let id = self.ids.next();
        let instance = Arc::new(Echo { id, dead });
        let add = AddInstance::new(self.revision.clone(), instance);
        self.router.add(add);
    }

    fn call(&self) -> Invocation {
        let function = "echo".parse().expect("a reference");
        Invocation::new(self.ids.next(), function, Payload::text("hi"))
    }
}

fn function() -> FunctionId {
    FunctionId {
        namespace: faas_core::Namespace::default(),
        name: "echo".parse().expect("a name"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_instance_goes_and_another_is_tried() {
    let stage = Stage::new().await;
    stage.add(false);
    // The last one added is picked first.
    stage.add(true);
    let call = stage.call();
    let id = call.id;
    let answer = FunctionRouter::invoke(&*stage.router, call).await;
    answer.expect("the other one runs it");
    let (_, load) = stage.router.demand().next().await.expect("a load");
    assert_eq!((load.ready, load.running), (1, 0));
    let story = stage.decisions.explain(id).to_string();
    assert!(story.contains("its instance was gone"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_is_told_in_the_trailer_and_in_the_decisions() {
    let stage = Stage::new().await;
    let call = stage.call();
    let id = call.id;
    let router = stage.router.clone();
    let waiting = tokio::spawn(async move { FunctionRouter::invoke(&*router, call).await });
    stage
        .clock
        .sleep_until(stage.clock.now() + Duration::from_secs(2))
        .await;
    stage.add(false);
    let response = waiting.await.expect("no panic").expect("it runs");
    let done = response.collect(100).await.expect("a body");
    assert_eq!(done.start, StartKind::Cold);
    assert!(done.trailer.timeline[Phase::Queue] >= Duration::from_secs(2));
    let story = stage.decisions.explain(id).to_string();
    assert!(
        story.contains("is free") && story.contains("got a slot"),
        "{story}"
    );
    let warm = FunctionRouter::invoke(&*stage.router, stage.call()).await;
    assert_eq!(warm.expect("it runs").start, StartKind::Warm);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_the_wait() {
    let stage = Stage::new().await;
    let (router, call) = (stage.router.clone(), stage.call());
    let waiting = tokio::spawn(async move { FunctionRouter::invoke(&*router, call).await });
    stage
        .clock
        .sleep_until(stage.clock.now() + Duration::from_secs(1))
        .await;
    stage
        .metadata
        .delete(&function(), None)
        .await
        .expect("deleted");
    let error = waiting.await.expect("no panic").expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
