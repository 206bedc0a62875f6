//! For each rule of the metadata store, one that breaks it alone, and is caught.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::store::{MemoryStore, Revision};
use faas_core::{Description, ErrorKind, Namespace, Result, RevisionNumber};
use faas_function::MetadataStore;
use faas_function::registry::{
    AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    RegistryEvent, StoreMetadata, conformance,
};
use futures::stream::{BoxStream, StreamExt};

struct Broken {
    rule: &'static str,
    inner: StoreMetadata,
}

impl Broken {
    fn new(rule: &'static str) -> Self {
        let inner = StoreMetadata::new(Arc::new(MemoryStore::new()));
        Self { rule, inner }
    }

    fn is(&self, rule: &str) -> bool {
        self.rule == rule
    }
}

#[async_trait]
impl MetadataStore for Broken {
    async fn create(
        &self,
        id: FunctionId,
        mut config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        if self.is("validated") {
            config.concurrency = config.concurrency.max(1);
        }
        match self.inner.create(id.clone(), config).await {
            Err(error) if self.is("create_once") && error.kind() == ErrorKind::AlreadyExists => {
                self.inner.get(&id).await
            }
            Ok(record) if self.is("numbers_rise") => {
                let mut first = (*record.latest).clone();
                first.number = RevisionNumber(1);
                let aliases = record.aliases.clone();
                let record = FunctionRecord::new(Arc::new(first), aliases, record.generation);
                Ok(Arc::new(record))
            }
            other => other,
        }
    }

    async fn update(
        &self,
        id: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        let expected = expected.filter(|_| !self.is("optimistic"));
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
        self.inner.get(id).await
    }

    async fn revision(
        &self,
        id: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        match self.rule {
            "update_makes_a_revision" => Ok(self.inner.get(id).await?.latest.clone()),
            _ => self.inner.revision(id, number).await,
        }
    }

    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        let namespace = namespace.filter(|_| !self.is("list_is_by_namespace"));
        self.inner.list(namespace).await
    }

    async fn delete(&self, id: &FunctionId, expected: Option<Generation>) -> Result<()> {
        match self.rule {
            "delete_removes_all" => Ok(()),
            _ => self.inner.delete(id, expected).await,
        }
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        let skipped = usize::from(self.is("watch_misses_nothing"));
        self.inner.watch(after).skip(skipped).take(3).boxed()
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

macro_rules! caught {
    ($($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let case = conformance::$case(Broken::new(stringify!($case)));
            let end = tokio::time::timeout(std::time::Duration::from_secs(2), tokio::spawn(case));
            // One that hangs is caught as well.
            let passed = end.await.is_ok_and(|joined| joined.is_ok());
            assert!(!passed, "nobody noticed");
            conformance::$case(Broken::new("none")).await;
        }
    )*};
}
caught! {
    create_once update_makes_a_revision numbers_rise optimistic validated
    delete_removes_all list_is_by_namespace watch_misses_nothing
}
