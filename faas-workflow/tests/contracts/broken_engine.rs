//! For each rule of W2, an engine that breaks it alone, and is caught.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use faas_core::{
    Description, Error, ExecutionId, Invocation, InvocationId, Invoker, Payload, PrewarmHint,
    Response, Result,
};
use faas_workflow::engine::StartExecution;
use faas_workflow::engine::conformance::{CASES, Harness, run};
use faas_workflow::execution_store::{ExecutionFilter, ExecutionPage};
use faas_workflow::{
    Ending, ExecutionHead, ExecutionName, HistoryPage, HistoryQuery, Signal, WorkflowEngine,
    WorkflowRegistry,
};

use crate::broken_registry;
use crate::fixtures::Place;

struct BrokenPlace {
    rule: &'static str,
    inner: Place,
    opened: AtomicUsize,
}

struct BrokenInvoker {
    rule: &'static str,
    inner: Arc<dyn Invoker>,
    opened: usize,
}

struct BrokenEngine {
    rule: &'static str,
    inner: Arc<dyn WorkflowEngine>,
    count: AtomicUsize,
}

#[async_trait]
impl Harness for BrokenPlace {
    fn registry(&self) -> Arc<dyn WorkflowRegistry> {
        self.inner.registry.clone()
    }

    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine> {
        let rule = self.rule;
        let opened = self.opened.fetch_add(1, Ordering::Relaxed);
        let invoker = BrokenInvoker {
            rule,
            inner: invoker,
            opened,
        };
        let inner = self.inner.open(Arc::new(invoker)).await;
        let count = AtomicUsize::new(0);
        Arc::new(BrokenEngine { rule, inner, count })
    }
}

#[async_trait]
impl Invoker for BrokenInvoker {
    async fn invoke(&self, mut invocation: Invocation) -> Result<Response> {
        match self.rule {
            "never_again" if self.opened > 0 => {
                let id = InvocationId::from_u128(1);
                let again = Invocation::new(id, "first".parse()?, Payload::empty());
                self.inner.invoke(again).await?;
            }
            "same_key" => {
                let key = invocation.idempotency_key.take().unwrap_or_default();
                invocation.idempotency_key = Some(format!("{key}/{}", self.opened).into());
            }
            "cancel_reaches" => {
                let inner = self.inner.clone();
                let detached = tokio::spawn(async move { inner.invoke(invocation).await });
                return detached
                    .await
                    .map_err(|_| Error::internal("invoke", "it panicked"))?;
            }
            _ => {}
        }
        self.inner.invoke(invocation).await
    }

    fn prewarm(&self, hint: PrewarmHint) {
        self.inner.prewarm(hint);
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

/// Cancels an execution when somebody stops waiting for it.
struct CancelOnDrop(Option<(Arc<dyn WorkflowEngine>, ExecutionId)>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some((engine, id)) = self.0.take() {
            tokio::spawn(async move { engine.cancel(id, "dropped").await });
        }
    }
}

#[async_trait]
impl WorkflowEngine for BrokenEngine {
    async fn start(&self, mut request: StartExecution) -> Result<ExecutionHead> {
        if self.rule == "start_once" {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            request.name = ExecutionName::new(format!("{}-{count}", request.name))?;
        }
        self.inner.start(request).await
    }

    async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()> {
        match self.rule {
            "acknowledged_is_stored" => Ok(()),
            _ => self.inner.signal(execution, signal).await,
        }
    }

    async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()> {
        self.inner.cancel(execution, cause).await
    }

    async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.describe_execution(execution).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        let mut page = self.inner.history(query).await?;
        if self.rule == "history_ordered" {
            page.records.reverse();
        }
        Ok(page)
    }

    async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let watched = (self.inner.clone(), execution);
        let mut guard = CancelOnDrop((self.rule == "cancel_safe").then_some(watched));
        let head = match self.rule {
            "wait_ends" => self.inner.describe_execution(execution).await?,
            _ => self.inner.wait(execution).await?,
        };
        guard.0 = None;
        match &head.ending {
            Some(Ending::Failed(error)) if self.rule == "failure_is_an_ending" => {
                Err(Error::internal("wait", error.to_string()))
            }
            _ => Ok(head),
        }
    }

    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.inner.list(filter).await
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

#[tokio::test(start_paused = true)]
async fn every_rule_is_caught() {
    for &rule in CASES {
        let mut inner = Place::default();
        if rule == "pinned" {
            // It forgets which version an execution asks for.
            inner.registry = Arc::new(broken_registry::Broken {
                rule: "versions_rise",
                inner: inner.registry,
                count: AtomicUsize::new(0),
            });
        }
        let opened = AtomicUsize::new(0);
        let place = BrokenPlace {
            rule,
            inner,
            opened,
        };
        let case = tokio::spawn(run(rule, Arc::new(place)));
        let caught = case.await.is_err_and(|error| error.is_panic());
        assert!(caught, "{rule} was not caught");
    }
}
