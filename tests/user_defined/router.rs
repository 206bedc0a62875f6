//! A router of one's own (F5): here one around the library's, that refuses some callers.

use std::sync::Arc;

use faas::Platform;
use faas::core::explain::DecisionLog;
use faas::core::{
    Clock, Component, Description, Error, ErrorKind, IdSource, InstanceId, Invocation, MemoryStore,
    Monotonic, Payload, PrewarmHint, Response, Result, TokioClock,
};
use faas::function::autoscaler::{RevisionId, RevisionLoad};
use faas::function::registry::StoreMetadata;
use faas::function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas::function::{FunctionRouter, MetadataStore};
use futures::stream::BoxStream;

use crate::{double, doubling, names, within};

/// Only whoever gives a reason is served.
struct Curious(SlotRouter);

#[async_trait::async_trait]
impl FunctionRouter for Curious {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        if invocation.payload.is_empty() {
            let message = format!("{}: nothing was said", invocation.function);
            return Err(Error::permission_denied("invoke", message));
        }
        self.0.invoke(invocation).await
    }
    fn prewarm(&self, hint: PrewarmHint) {
        self.0.prewarm(hint);
    }
    fn add(&self, instance: AddInstance) {
        self.0.add(instance);
    }
    fn remove(&self, instance: InstanceId) {
        self.0.remove(instance);
    }
    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        self.0.demand()
    }
    fn refuse(&self, revision: &RevisionId, error: Error) {
        self.0.refuse(revision, error);
    }
    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.0.drain(deadline).await
    }
    fn describe(&self) -> Description {
        Description::new("Curious").provides(Component::F5)
    }
}

#[tokio::test]
async fn every_invocation_goes_through_it() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let metadata: Arc<dyn MetadataStore> =
        Arc::new(StoreMetadata::new(Arc::new(MemoryStore::new())));
    let parts = SlotRouterParts {
        metadata: metadata.clone(),
        clock: clock.clone(),
        decisions: DecisionLog::new(clock.clone(), IdSource::random(clock.clone())),
    };
    let router = SlotRouter::start(parts, SlotRouterOptions::default()).await;
    let router = Curious(router.expect("it starts"));
    let platform = Platform::builder()
        .clock(clock)
        .metadata(metadata)
        .router(Arc::new(router));
    let platform = doubling(platform).await;
    names(&platform, Component::F5, "Curious");
    assert_eq!(double(&platform, 4).await, 8);
    let error = within(platform.run("double", Payload::empty())).await;
    let error = error.expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
