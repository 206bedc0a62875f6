//! Fresh components over a volatile store.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Clock, Invoker, MemoryStore, Store, TokioClock};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::{
    Eager, EngineOptions, StoreExecutionStore, StoreWorkflowRegistry, WorkflowEngine,
    WorkflowExecutionStore, WorkflowLayer, WorkflowRegistry, WorkflowScheduler,
};

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

pub(crate) async fn registry() -> Arc<dyn WorkflowRegistry> {
    Arc::new(StoreWorkflowRegistry::new(
        Arc::new(MemoryStore::new()),
        clock(),
    ))
}

pub(crate) async fn execution_store() -> Arc<dyn WorkflowExecutionStore> {
    Arc::new(StoreExecutionStore::new(Arc::new(MemoryStore::new())))
}

pub(crate) fn eager() -> Box<dyn WorkflowScheduler> {
    Box::new(Eager::new())
}

/// One store, and layers over it.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Arc<dyn WorkflowRegistry>,
}

impl Default for Place {
    fn default() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }
}

impl Place {
    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        let registry = Arc::new(StoreWorkflowRegistry::new(store.clone(), clock()));
        Self { store, registry }
    }

    pub(crate) async fn layer(
        &self,
        invoker: Arc<dyn Invoker>,
        options: EngineOptions,
    ) -> WorkflowLayer {
        let layer = WorkflowLayer::builder()
            .store(self.store.clone())
            .registry(self.registry.clone())
            .invoker(invoker)
            .options(options);
        layer.build().await.unwrap()
    }
}

#[async_trait]
impl Harness for Place {
    fn registry(&self) -> Arc<dyn WorkflowRegistry> {
        self.registry.clone()
    }

    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine> {
        let layer = self.layer(invoker, EngineOptions::default()).await;
        layer.engine().clone()
    }
}

pub(crate) async fn harness() -> Arc<dyn Harness> {
    Arc::new(Place::default())
}
