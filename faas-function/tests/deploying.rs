//! Deploying: all faults at the door at once, and equal deployments make one revision.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::store::{MemoryStore, Revision};
use faas_core::{
    ByteSize, Clock, Description, ErrorKind, HandlerName, IdSource, Invocation, Name, Namespace,
    Payload, Result, RevisionNumber, RuntimeName, TokioClock,
};
use faas_function::deployer::conformance::{InstantManager, Puppets};
use faas_function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, Generation, RegistryEvent,
    StoreMetadata,
};
use faas_function::{FunctionLayer, FunctionRevision, MetadataStore};
use faas_resource::Executable;
use futures::stream::BoxStream;
use tokio::sync::Barrier;

/// A registry whose first readers all read before any of them goes on.
struct Together {
    inner: StoreMetadata,
    left: Mutex<usize>,
    barrier: Barrier,
}

impl Together {
    fn is_among_the_first(&self) -> bool {
        let mut left = self.left.lock().expect("nobody panics");
        let rest = left.checked_sub(1);
        *left = rest.unwrap_or_default();
        rest.is_some()
    }
}

#[async_trait]
impl MetadataStore for Together {
    async fn create(&self, id: FunctionId, config: FunctionConfig) -> Result<Arc<FunctionRecord>> {
        self.inner.create(id, config).await
    }
    async fn update(
        &self,
        id: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.update(id, config, expected).await
    }
    async fn set_alias(
        &self,
        id: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.inner.set_alias(id, change, expected).await
    }
    async fn get(&self, id: &FunctionId) -> Result<Arc<FunctionRecord>> {
        let read = self.inner.get(id).await;
        if self.is_among_the_first() {
            self.barrier.wait().await;
        }
        read
    }
    async fn revision(
        &self,
        id: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        self.inner.revision(id, number).await
    }
    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        self.inner.list(namespace).await
    }
    async fn delete(&self, id: &FunctionId, expected: Option<Generation>) -> Result<()> {
        self.inner.delete(id, expected).await
    }
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        self.inner.watch(after)
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(30);
    let ended = tokio::time::timeout(patience, future).await;
    ended.expect("an answer in time")
}

fn runtime() -> RuntimeName {
    RuntimeName::new("handler").expect("a name")
}

fn config() -> FunctionConfig {
    let handler = HandlerName::new("h").expect("a name");
    FunctionConfig::new(runtime(), Executable::Handler(handler))
}

fn function() -> FunctionId {
    "hello".parse().expect("a function")
}

/// A layer over a registry of which so many readers read before any of them goes on.
async fn layer(together: usize) -> FunctionLayer {
    let metadata = Together {
        inner: StoreMetadata::new(Arc::new(MemoryStore::new())),
        left: Mutex::new(together),
        barrier: Barrier::new(together),
    };
    let layer = FunctionLayer::builder()
        .resources(Arc::new(InstantManager::new()))
        .contract(runtime(), Arc::new(Puppets::default()))
        .metadata(Arc::new(metadata))
        .build();
    layer.await.expect("it is well configured")
}

#[tokio::test]
async fn equal_deployments_at_once_make_one_revision() {
    let layer = layer(2).await;
    let first = layer.deploy(function(), config()).await;
    assert_eq!(first.expect("deployed").latest.number.0, 1);
    let mut changed = config();
    changed.concurrency = 7;
    let both = async {
        tokio::join!(
            layer.deploy(function(), changed.clone()),
            layer.deploy(function(), changed.clone())
        )
    };
    let (one, other) = within(both).await;
    for record in [one, other] {
        assert_eq!(record.expect("deployed").latest.number.0, 2);
    }
    let record = layer.get(&function()).await.expect("it is there");
    assert_eq!(record.latest.number.0, 2);
}

#[tokio::test]
async fn all_faults_of_a_configuration_and_of_its_plan_are_told_at_once() {
    let mut bad = config();
    bad.runtime = RuntimeName::new("cobol").expect("a name");
    bad.timeout = Duration::from_secs(100 * 24 * 60 * 60);
    bad.concurrency = 1_000_000;
    bad.request_limit = 0;
    bad.response_limit = u64::MAX;
    bad.resources.memory = ByteSize(0);
    let gpu = Name::new("gpu").expect("a name");
    bad.resources.extended.insert(gpu, 0);
    let huge = serde_json::json!({ " ": "x".repeat(100_000) });
    bad.extensions = serde_json::from_value(huge).expect("extensions");
    let error = layer(0).await.deploy(function(), bad).await;
    let error = error.expect_err("it is full of faults");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().starts_with("9 faults"), "{error}");
    for fault in [
        "no contract for runtime cobol",
        "the timeout",
        "the concurrency",
        "the request limit",
        "the response limit",
        "no memory",
        "0 gpu",
        "an extension has no name",
        "the extensions have",
    ] {
        assert!(error.message().contains(fault), "{fault}: {error}");
    }
}

#[tokio::test]
async fn what_only_does_not_fit_is_unsupported() {
    let mut config = config();
    config.runtime = RuntimeName::new("cobol").expect("a name");
    let error = layer(0).await.deploy(function(), config).await;
    let error = error.expect_err("there is no such contract");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_at_the_door() {
    let layer = layer(0).await;
    let mut config = config();
    config.request_limit = 4;
    let deployed = layer.deploy(function(), config).await;
    deployed.expect("deployed");
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let ids = IdSource::new(clock, 1);
    let call = |text: &str| {
        let function = "hello".parse().expect("a reference");
        Invocation::new(ids.next(), function, Payload::text(text))
    };
    let fits = within(layer.invoker().invoke(call("four"))).await;
    fits.expect("it is no more than the limit");
    let error = within(layer.invoker().invoke(call("fives"))).await;
    let error = error.expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.message().contains("5 bytes"), "{error}");
}
