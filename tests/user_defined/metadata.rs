//! A registry of one's own (F1) says what functions there are: here, one that reserves a namespace.

use std::sync::Arc;

use faas::Platform;
use faas::core::store::Revision;
use faas::core::{
    Component, Description, Error, ErrorKind, MemoryStore, Namespace, Result, RevisionNumber,
};
use faas::function::MetadataStore;
use faas::function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    RegistryEvent, StoreMetadata,
};
use futures::stream::BoxStream;

use crate::{double, doubling, names};

/// Nobody creates functions in `system`.
struct Guarded(StoreMetadata);

#[async_trait::async_trait]
impl MetadataStore for Guarded {
    async fn create(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        if function.namespace.as_str() == "system" {
            let message = format!("{function}: the namespace is reserved");
            return Err(Error::permission_denied("create function", message));
        }
        self.0.create(function, config).await
    }
    async fn update(
        &self,
        function: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.0.update(function, config, expected).await
    }
    async fn set_alias(
        &self,
        function: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        self.0.set_alias(function, change, expected).await
    }
    async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
        self.0.get(function).await
    }
    async fn revision(
        &self,
        function: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        self.0.revision(function, number).await
    }
    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        self.0.list(namespace).await
    }
    async fn delete(&self, function: &FunctionId, expected: Option<Generation>) -> Result<()> {
        self.0.delete(function, expected).await
    }
    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        self.0.watch(after)
    }
    fn describe(&self) -> Description {
        Description::new("Guarded").provides(Component::F1)
    }
}

#[tokio::test]
async fn it_decides_what_may_be_registered() {
    let metadata = Guarded(StoreMetadata::new(Arc::new(MemoryStore::new())));
    let platform = doubling(Platform::builder().metadata(Arc::new(metadata))).await;
    names(&platform, Component::F1, "Guarded");
    assert_eq!(double(&platform, 4).await, 8);
    let error = platform
        .deploy_json("system/double", |n: u64| async move { Ok(2 * n) })
        .await
        .expect_err("it is reserved");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
