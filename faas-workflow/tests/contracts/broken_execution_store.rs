//! For each rule of W4, a store that breaks it alone, and is caught.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::{Description, ExecutionId, Namespace, Result};
use faas_workflow::execution_store::conformance::{CASES, run};
use faas_workflow::execution_store::{
    Append, DueExecution, Epoch, EpochState, Epochs, ExecutionFilter, ExecutionPage, OpenEpoch,
    StoredExecution, TransitionNumber,
};
use faas_workflow::{
    ExecutionHead, ExecutionName, ExecutionStatus, HistoryPage, HistoryQuery,
    WorkflowExecutionStore,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

struct Broken {
    rule: &'static str,
    inner: Arc<dyn WorkflowExecutionStore>,
    leaked: Arc<Mutex<Vec<DueExecution>>>,
    first: Mutex<Option<EpochState>>,
}

#[async_trait]
impl Epochs for Broken {
    async fn open(&self, request: OpenEpoch) -> Result<EpochState> {
        let request = match self.rule {
            "exclusive_voids" => OpenEpoch::shared(),
            _ => request,
        };
        let opened = self.inner.epochs().open(request).await?;
        let first = *self.first.lock().unwrap().get_or_insert(opened);
        Ok(if self.rule == "epochs_rise" {
            first
        } else {
            opened
        })
    }

    async fn renew(&self, epoch: Epoch) -> Result<EpochState> {
        match self.rule {
            "renewals_count" => Ok(EpochState { epoch, renewals: 1 }),
            _ => self.inner.epochs().renew(epoch).await,
        }
    }

    async fn void(&self, epoch: Epoch) -> Result<()> {
        self.inner.epochs().void(epoch).await
    }

    async fn list(&self) -> Result<Vec<EpochState>> {
        self.inner.epochs().list().await
    }
}

#[async_trait]
impl WorkflowExecutionStore for Broken {
    fn append(&self, mut append: Append) -> BoxFuture<'static, Result<()>> {
        let inner = self.inner.clone();
        match self.rule {
            "atomic" => {
                let execution = append.head.id;
                let due = append.due_set.map(|at| DueExecution { execution, at });
                self.leaked.lock().unwrap().extend(due);
            }
            "name_once" => {
                let name = format!("{}-{}", append.head.name, append.head.id);
                append.head.name = ExecutionName::new(name).unwrap();
            }
            "predecessor" => {
                return Box::pin(async move {
                    let head = inner.head(append.head.id).await;
                    let last = head.map_or(TransitionNumber(0), |head| head.transition);
                    append.head.transition = last.next();
                    inner.append(append).await
                });
            }
            "fenced" => {
                return Box::pin(async move {
                    append.head.epoch = inner.epochs().open(OpenEpoch::shared()).await?.epoch;
                    inner.append(append).await
                });
            }
            "successor" => append.successor = None,
            "orphans_listed" => append.before = Some(append.head.standing()),
            "submitted_at_call" => return async move { inner.append(append).await }.boxed(),
            _ => {}
        }
        self.inner.append(append)
    }

    async fn load(&self, execution: ExecutionId) -> Result<StoredExecution> {
        let mut stored = self.inner.load(execution).await?;
        if self.rule == "loads_all" {
            stored.events.pop();
        }
        Ok(stored)
    }

    async fn head(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.head(execution).await
    }

    async fn find(
        &self,
        namespace: &Namespace,
        name: &ExecutionName,
    ) -> Result<Option<ExecutionId>> {
        self.inner.find(namespace, name).await
    }

    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        let mut page = self.inner.list(filter).await?;
        if self.rule == "listed" {
            let all = ExecutionFilter::new(ExecutionStatus::Cancelled);
            page.executions
                .extend(self.inner.list(all).await?.executions);
        }
        Ok(page)
    }

    async fn ended(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        match self.rule {
            "ended_pushed" => self.inner.head(execution).await,
            _ => self.inner.ended(execution).await,
        }
    }

    async fn due(&self, at: Timestamp, limit: usize) -> Result<Vec<DueExecution>> {
        let mut due = self.inner.due(at, limit).await?;
        due.extend(self.leaked.lock().unwrap().iter());
        if self.rule == "due_listed" {
            due.reverse();
        }
        Ok(due)
    }

    async fn orphans(&self, limit: usize) -> Result<Vec<ExecutionHead>> {
        self.inner.orphans(limit).await
    }

    fn epochs(&self) -> &dyn Epochs {
        self
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        let mut page = self.inner.history(query).await?;
        if self.rule == "history" {
            page.next = None;
        }
        Ok(page)
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

#[tokio::test]
async fn every_rule_is_caught() {
    for &rule in CASES {
        let broken = Broken {
            rule,
            inner: crate::fixtures::execution_store().await,
            leaked: Arc::default(),
            first: Mutex::default(),
        };
        let case = tokio::spawn(run(rule, Arc::new(broken)));
        let caught = case.await.is_err_and(|error| error.is_panic());
        assert!(caught, "{rule} was not caught");
    }
}
