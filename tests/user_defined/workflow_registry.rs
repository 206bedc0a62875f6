//! A workflow registry of one's own (W1): here one that writes down what was registered.

use std::sync::{Arc, Mutex};

use faas::Platform;
use faas::core::{
    Component, Description, MemoryStore, Namespace, Result, TokioClock, WorkflowName,
};
use faas::workflow::{
    CompiledWorkflow, RegisterWorkflow, StoreWorkflowRegistry, WorkflowInfo, WorkflowRef,
    WorkflowRegistry,
};

use crate::{doubling, fourfold, names};

struct Noted(StoreWorkflowRegistry, Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl WorkflowRegistry for Noted {
    async fn register(&self, request: RegisterWorkflow) -> Result<WorkflowInfo> {
        let note = format!("{}/{}", request.namespace, request.name);
        let registered = self.0.register(request).await?;
        self.1.lock().expect("no test panics under it").push(note);
        Ok(registered)
    }
    async fn get(&self, workflow: &WorkflowRef) -> Result<Arc<CompiledWorkflow>> {
        self.0.get(workflow).await
    }
    async fn list(&self, namespace: &Namespace) -> Result<Vec<WorkflowInfo>> {
        self.0.list(namespace).await
    }
    async fn versions(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
    ) -> Result<Vec<WorkflowInfo>> {
        self.0.versions(namespace, name).await
    }
    async fn delete(&self, namespace: &Namespace, name: &WorkflowName) -> Result<()> {
        self.0.delete(namespace, name).await
    }
    fn describe(&self) -> Description {
        Description::new("Noted").provides(Component::W1)
    }
}

#[tokio::test]
async fn workflows_are_found_in_it() {
    let notes = Arc::default();
    let store = Arc::new(MemoryStore::new());
    let registry = StoreWorkflowRegistry::new(store, Arc::new(TokioClock::new()));
    let registry = Noted(registry, Arc::clone(&notes));
    let platform = doubling(Platform::builder().workflow_registry(Arc::new(registry))).await;
    names(&platform, Component::W1, "Noted");
    assert_eq!(fourfold(&platform, 4).await, 16);
    assert_eq!(*notes.lock().expect("no test panics"), ["default/fourfold"]);
}
