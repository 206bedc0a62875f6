//! Sandboxes are bound in a naming service of one's own (R1).

use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::store::Revision;
use faas::core::{Component, Description, MemoryStore, Result, TokioClock};
use faas::resource::NamingService;
use faas::resource::naming::{Bind, LeaseId, NamingEvent, Path, Record, StoreNaming};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::{double, doubling, names, within};

/// Tells a channel what is bound.
struct Announced(StoreNaming, tokio::sync::mpsc::UnboundedSender<Path>);

#[async_trait::async_trait]
impl NamingService for Announced {
    async fn bind(&self, bind: Bind) -> Result<Revision> {
        let path = bind.path.clone();
        let bound = self.0.bind(bind).await?;
        self.1.send(path).expect("the test listens");
        Ok(bound)
    }
    async fn resolve(&self, path: &Path) -> Result<Option<Record>> {
        self.0.resolve(path).await
    }
    async fn list(&self, prefix: &Path) -> Result<(Vec<Record>, Revision)> {
        self.0.list(prefix).await
    }
    async fn unbind(&self, path: &Path, expected: Option<Revision>) -> Result<()> {
        self.0.unbind(path, expected).await
    }
    fn watch(&self, prefix: &Path, after: Revision) -> BoxStream<'static, Result<NamingEvent>> {
        self.0.watch(prefix, after).boxed()
    }
    async fn grant(&self, time_to_live: Duration) -> Result<LeaseId> {
        self.0.grant(time_to_live).await
    }
    async fn renew(&self, lease: LeaseId) -> Result<()> {
        self.0.renew(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.0.revoke(lease).await
    }
    fn describe(&self) -> Description {
        Description::new("Announced").provides(Component::R1)
    }
}

#[tokio::test]
async fn a_sandbox_is_bound_in_it() {
    let (announce, mut announced) = tokio::sync::mpsc::unbounded_channel();
    let names_of = StoreNaming::new(Arc::new(MemoryStore::new()), Arc::new(TokioClock::new()));
    let naming = Arc::new(Announced(names_of, announce));
    let platform = doubling(Platform::builder().naming(naming)).await;
    names(&platform, Component::R1, "Announced");
    assert_eq!(double(&platform, 4).await, 8);
    let path = within(announced.recv()).await.expect("a name");
    assert!(path.to_string().starts_with("sandboxes/memory/"), "{path}");
}
