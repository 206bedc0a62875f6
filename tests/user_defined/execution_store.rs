//! A storage of executions of one's own (W4): here one that counts transitions.

use std::sync::Arc;

use faas::Platform;
use faas::core::{Component, Description, ExecutionId, MemoryStore, Namespace, Result};
use faas::workflow::execution_store::{
    Append, DueExecution, Epochs, ExecutionFilter, ExecutionPage, StoredExecution,
};
use faas::workflow::{
    ExecutionHead, ExecutionName, HistoryPage, HistoryQuery, StoreExecutionStore,
    WorkflowExecutionStore,
};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{Asked, doubling, fourfold, names};

struct Counted(StoreExecutionStore, Asked);

#[async_trait::async_trait]
impl WorkflowExecutionStore for Counted {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<()>> {
        self.1.again();
        self.0.append(append)
    }
    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution> {
        self.0.load(execution).await
    }
    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.0.head(execution).await
    }
    async fn find(
        &self,
        namespace: &Namespace,
        name: &ExecutionName,
    ) -> Result<Option<ExecutionId>> {
        self.0.find(namespace, name).await
    }
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.0.list(filter).await
    }
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.0.history(query).await
    }
    async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.0.ended(execution).await
    }
    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>> {
        self.0.due(at, limit).await
    }
    async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>> {
        self.0.orphans(limit).await
    }
    fn epochs(&self) -> &dyn Epochs {
        self.0.epochs()
    }
    fn describe(&self) -> Description {
        Description::new("Counted").provides(Component::W4)
    }
}

#[tokio::test]
async fn every_transition_is_appended_to_it() {
    let asked = Asked::default();
    let store = StoreExecutionStore::new(Arc::new(MemoryStore::new()));
    let executions = Counted(store, asked.clone());
    let platform = doubling(Platform::builder().executions(Arc::new(executions))).await;
    names(&platform, Component::W4, "Counted");
    assert_eq!(fourfold(&platform, 4).await, 16);
    // The beginning, the answer of the first task, and that of the second with the end.
    assert!(asked.times() >= 3, "{}", asked.times());
}
