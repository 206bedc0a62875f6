//! An engine of one's own (W2): here the library's, behind a quota of executions.

use std::sync::Arc;

use faas::Platform;
use faas::core::explain::DecisionLog;
use faas::core::{
    Clock, Component, Description, Error, ErrorKind, ExecutionId, IdSource, MemoryStore, Result,
    TokioClock,
};
use faas::workflow::engine::EngineParts;
use faas::workflow::execution_store::{ExecutionFilter, ExecutionPage};
use faas::workflow::{
    DurableEngine, Eager, EngineOptions, ExecutionHead, HistoryPage, HistoryQuery, Signal,
    StartExecution, StoreExecutionStore, StoreWorkflowRegistry, WorkflowEngine,
};

use crate::{Asked, doubling, fourfold, names};

/// One execution, and no more.
struct Once(DurableEngine, Asked);

#[async_trait::async_trait]
impl WorkflowEngine for Once {
    async fn start(&self, request: StartExecution) -> Result<ExecutionHead> {
        if self.1.times() > 0 {
            let message = format!("{}: one execution is enough", request.workflow);
            return Err(Error::exhausted("start execution", message));
        }
        self.1.again();
        self.0.start(request).await
    }
    async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()> {
        self.0.signal(execution, signal).await
    }
    async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()> {
        self.0.cancel(execution, cause).await
    }
    async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.0.describe_execution(execution).await
    }
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.0.history(query).await
    }
    async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.0.wait(execution).await
    }
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.0.list(filter).await
    }
    fn describe(&self) -> Description {
        Description::new("Once").provides(Component::W2)
    }
}

#[tokio::test]
async fn executions_are_its() {
    // An engine calls functions; those of another platform will do.
    let functions = doubling(Platform::builder()).await;
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = Arc::new(MemoryStore::new());
    let ids = IdSource::random(clock.clone());
    let registry = Arc::new(StoreWorkflowRegistry::new(store.clone(), clock.clone()));
    let executions = Arc::new(StoreExecutionStore::new(store));
    let parts = EngineParts {
        registry: registry.clone(),
        executions: executions.clone(),
        resources: None,
        scheduler: Box::new(Eager::new()),
        invoker: functions.invoker(),
        decisions: DecisionLog::new(clock.clone(), ids.clone()),
        clock,
        ids,
    };
    let engine = DurableEngine::open(parts, EngineOptions::default()).await;
    let engine = Once(engine.expect("it opens"), Asked::default());
    let platform = Platform::builder()
        .workflow_registry(registry)
        .executions(executions)
        .engine(Arc::new(engine));
    let platform = doubling(platform).await;
    names(&platform, Component::W2, "Once");
    assert_eq!(fourfold(&platform, 4).await, 16);
    let error = platform.start_execution("fourfold", "two", &4).await;
    assert_eq!(
        error.expect_err("one is enough").kind(),
        ErrorKind::Exhausted
    );
}
