//! The suite of `Store`, and those of the components over it.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Invoker, Store};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::{
    StoreExecutionStore, StoreWorkflowRegistry, WorkflowEngine, WorkflowExecutionStore,
    WorkflowLayer, WorkflowRegistry,
};

use crate::common::{clock, fixture, store};

mod of_store {
    faas_core::store_conformance!(super::fixture);
}

#[tokio::test]
async fn what_is_done_at_random_comes_to_what_it_does_in_memory() {
    for seed in 0..8 {
        faas_core::store::conformance::agrees_with_memory(fixture().await, seed, 400).await;
    }
}

mod naming {
    use faas_resource::naming::StoreNaming;

    faas_resource::naming_service_conformance!(async || StoreNaming::new(
        super::store().await,
        super::clock()
    ));
}

mod metadata {
    use faas_function::registry::StoreMetadata;

    faas_function::metadata_store_conformance!(async || StoreMetadata::new(super::store().await));
}

mod workflow_registry {
    faas_workflow::workflow_registry_conformance!(super::registry);
}

mod execution_store {
    faas_workflow::workflow_execution_store_conformance!(super::execution_store);
}

mod workflow_engine {
    faas_workflow::workflow_engine_conformance!(super::harness);
}

async fn registry() -> Arc<dyn WorkflowRegistry> {
    Arc::new(StoreWorkflowRegistry::new(store().await, clock()))
}

async fn execution_store() -> Arc<dyn WorkflowExecutionStore> {
    Arc::new(StoreExecutionStore::new(store().await))
}

/// One store, and engines over it.
struct Place {
    store: Arc<dyn Store>,
    registry: Arc<dyn WorkflowRegistry>,
}

#[async_trait]
impl Harness for Place {
    fn registry(&self) -> Arc<dyn WorkflowRegistry> {
        self.registry.clone()
    }

    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine> {
        let layer = WorkflowLayer::builder()
            .store(self.store.clone())
            .registry(self.registry.clone())
            .invoker(invoker);
        let layer = layer.build().await.expect("a layer over a healthy store");
        layer.engine().clone()
    }
}

async fn harness() -> Arc<dyn Harness> {
    let store = store().await;
    let registry = Arc::new(StoreWorkflowRegistry::new(store.clone(), clock()));
    Arc::new(Place { store, registry })
}
