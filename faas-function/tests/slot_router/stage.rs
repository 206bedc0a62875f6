//! A router with a function, and instances that do as they are told.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::store::MemoryStore;
use faas_core::{
    Body, Clock, ContentType, Error, Frame, IdSource, InstanceId, Invocation, Monotonic, Payload,
    Response, Result, TokioClock, Trailer,
};
use faas_function::instance::{Health, Permit};
use faas_function::registry::{FunctionConfig, FunctionId, StoreMetadata};
use faas_function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas_function::{FunctionInstance, FunctionRevision, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::future::BoxFuture;
use futures::{FutureExt, stream};

/// What an instance does with an invocation.
#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Well,
    Dead,
    Streams,
    Breaks,
    Never,
}

struct Echo {
    id: InstanceId,
    mood: Mood,
}

fn streamed(call: &Invocation, end: Result<Frame>) -> Response {
    let data = Frame::Data(call.payload.clone().into_bytes());
    let body = Body::stream(stream::iter([Ok(data), end]));
    Response::new(call.id, ContentType::OCTETS, body)
}

#[async_trait]
impl FunctionInstance for Echo {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, call: Invocation, _: Permit) -> Result<Response> {
        match self.mood {
            Mood::Well => Ok(Response::success(call.id, call.payload)),
            Mood::Dead => Err(Error::unavailable("invoke", "it is dead")),
            Mood::Streams => Ok(streamed(&call, Ok(Frame::Trailer(Trailer::success())))),
            Mood::Breaks => Ok(streamed(
                &call,
                Err(Error::internal("read", "it broke off")),
            )),
            Mood::Never => futures::future::pending().await,
        }
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

pub(crate) struct Stage {
    pub(crate) router: Arc<SlotRouter>,
    pub(crate) metadata: Arc<StoreMetadata>,
    pub(crate) revision: Arc<FunctionRevision>,
    pub(crate) decisions: DecisionLog,
    pub(crate) clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Stage {
    pub(crate) async fn new(options: SlotRouterOptions) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let ids = IdSource::new(clock.clone(), 1);
        let metadata = Arc::new(StoreMetadata::new(Arc::new(MemoryStore::new())));
        let decisions = DecisionLog::new(clock.clone(), ids.clone());
        let parts = SlotRouterParts {
            metadata: metadata.clone(),
            clock: clock.clone(),
            decisions: decisions.clone(),
        };
        let router = SlotRouter::start(parts, options).await;
        let made = metadata.create(function(), config()).await.expect("made");
        Self {
            router: Arc::new(router.expect("it starts")),
            metadata,
            revision: made.latest.clone(),
            decisions,
            clock,
            ids,
        }
    }

    pub(crate) fn add(&self, mood: Mood) -> InstanceId {
        self.add_to(&self.revision, mood)
    }

    pub(crate) fn add_to(&self, revision: &Arc<FunctionRevision>, mood: Mood) -> InstanceId {
        let id = self.ids.next();
        let instance = Arc::new(Echo { id, mood });
        self.router
            .add(AddInstance::new(revision.clone(), instance));
        id
    }

    pub(crate) fn call(&self) -> Invocation {
        self.call_of("echo")
    }

    pub(crate) fn call_of(&self, function: &str) -> Invocation {
        let function = function.parse().expect("a reference");
        Invocation::new(self.ids.next(), function, Payload::text("hi"))
    }

    pub(crate) async fn run(&self, call: Invocation) -> Result<Response> {
        FunctionRouter::invoke(&*self.router, call).await
    }
}

pub(crate) fn config() -> FunctionConfig {
    let handler = Executable::Handler("echo".parse().expect("a name"));
    FunctionConfig::new("test".parse().expect("a name"), handler)
}

pub(crate) fn function() -> FunctionId {
    FunctionId {
        namespace: faas_core::Namespace::default(),
        name: "echo".parse().expect("a name"),
    }
}
