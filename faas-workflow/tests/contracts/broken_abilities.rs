//! For each rule of the capabilities, an adapter that breaks it alone, and is caught.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Description, Error, ErrorKind, ExecutionId, Invoker, Result};
use faas_workflow::engine::conformance::Harness;
use faas_workflow::engine::control::conformance as control;
use faas_workflow::engine::external::conformance as external;
use faas_workflow::engine::{
    ExecutionChanges, ExecutionQueries, ExecutionRedrives, ExternalTasks, PollTask, StartExecution,
    WorkerTask,
};
use faas_workflow::execution_store::{ExecutionFilter, ExecutionPage, TransitionNumber};
use faas_workflow::program::{Data, Query, TaskToken};
use faas_workflow::{
    ExecutionHead, HistoryPage, HistoryQuery, Signal, TaskError, WorkflowEngine, WorkflowRegistry,
};
use serde_json::json;

use crate::fixtures::Place;

struct BrokenPlace {
    rule: &'static str,
    inner: Place,
    opened: AtomicUsize,
}

struct Broken {
    rule: &'static str,
    inner: Arc<dyn WorkflowEngine>,
    opened: usize,
    handed: Mutex<Option<WorkerTask>>,
}

impl Broken {
    fn breaks(&self, rule: &str) -> bool {
        self.rule == rule
    }
}

#[async_trait]
impl Harness for BrokenPlace {
    fn registry(&self) -> Arc<dyn WorkflowRegistry> {
        self.inner.registry.clone()
    }

    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine> {
        Arc::new(Broken {
            rule: self.rule,
            inner: self.inner.open(invoker).await,
            opened: self.opened.fetch_add(1, Ordering::Relaxed),
            handed: Mutex::default(),
        })
    }
}

#[async_trait]
impl WorkflowEngine for Broken {
    async fn start(&self, request: StartExecution) -> Result<ExecutionHead> {
        self.inner.start(request).await
    }
    async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()> {
        self.inner.signal(execution, signal).await
    }
    async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()> {
        self.inner.cancel(execution, cause).await
    }
    async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.describe_execution(execution).await
    }
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.inner.history(query).await
    }
    async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.inner.wait(execution).await
    }
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.inner.list(filter).await
    }
    fn describe(&self) -> Description {
        Description::new("Broken")
    }
    fn external_tasks(&self) -> Option<&dyn ExternalTasks> {
        Some(self)
    }
    fn queries(&self) -> Option<&dyn ExecutionQueries> {
        Some(self)
    }
    fn changes(&self) -> Option<&dyn ExecutionChanges> {
        Some(self)
    }
    fn redrives(&self) -> Option<&dyn ExecutionRedrives> {
        Some(self)
    }
}

#[async_trait]
impl ExternalTasks for Broken {
    async fn complete(&self, token: &TaskToken, result: Result<Data, TaskError>) -> Result<()> {
        if self.breaks("completion_is_stored") {
            return Ok(());
        }
        let done = self
            .inner
            .external_tasks()
            .unwrap()
            .complete(token, result)
            .await;
        match done {
            Err(error) if self.breaks("completed_once") => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                Ok(())
            }
            other => other,
        }
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<()> {
        match self.rule {
            "heartbeat_told" => Ok(()),
            _ => self.inner.external_tasks().unwrap().heartbeat(token).await,
        }
    }

    async fn poll(&self, request: PollTask) -> Result<WorkerTask> {
        let before = self.handed.lock().unwrap().clone();
        if let Some(before) = before.filter(|_| self.breaks("polled_once")) {
            return Ok(before);
        }
        let work = self.inner.external_tasks().unwrap().poll(request);
        let work = match self.rule {
            "poll_waits" => {
                let soon = tokio::time::timeout(Duration::from_millis(1), work).await;
                soon.unwrap_or_else(|_| Err(Error::not_found("poll", "no work")))?
            }
            _ => work.await?,
        };
        *self.handed.lock().unwrap() = Some(work.clone());
        Ok(work)
    }
}

#[async_trait]
impl ExecutionQueries for Broken {
    async fn query(&self, execution: ExecutionId, query: Query) -> Result<Data> {
        let answer = self
            .inner
            .queries()
            .unwrap()
            .query(execution, query)
            .await?;
        match self.rule {
            "answers_what_is_stored" => Ok(json!(self.opened).into()),
            "changes_nothing" => {
                let signal = Signal::new("asked".parse()?, json!(null));
                self.inner.signal(execution, signal).await?;
                Ok(answer)
            }
            "answers_the_ended" => {
                let head = self.inner.describe_execution(execution).await?;
                match head.status().is_ended() {
                    true => Err(Error::not_found("query", "it has ended")),
                    false => Ok(answer),
                }
            }
            _ => Ok(answer),
        }
    }
}

#[async_trait]
impl ExecutionChanges for Broken {
    async fn changed(
        &self,
        execution: ExecutionId,
        after: TransitionNumber,
    ) -> Result<ExecutionHead> {
        let head = self.inner.describe_execution(execution).await?;
        match self.rule {
            "told_of_more" => Ok(head),
            "told_of_the_end" if head.transition <= after => std::future::pending().await,
            _ => {
                self.inner
                    .changes()
                    .unwrap()
                    .changed(execution, after)
                    .await
            }
        }
    }
}

#[async_trait]
impl ExecutionRedrives for Broken {
    async fn redrive(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        if self.breaks("goes_on") {
            return self.inner.describe_execution(execution).await;
        }
        match self.inner.redrives().unwrap().redrive(execution).await {
            Err(error)
                if error.kind() == ErrorKind::Conflict && self.breaks("only_the_unsuccessful") =>
            {
                self.inner.describe_execution(execution).await
            }
            other => other,
        }
    }
}

fn broken(rule: &'static str) -> Arc<BrokenPlace> {
    Arc::new(BrokenPlace {
        rule,
        inner: Place::default(),
        opened: AtomicUsize::new(0),
    })
}

async fn caught(rule: &'static str, case: impl Future<Output = ()> + Send + 'static) {
    let caught = tokio::spawn(case)
        .await
        .is_err_and(|error| error.is_panic());
    assert!(caught, "{rule} was not caught");
}

#[tokio::test(start_paused = true)]
async fn every_rule_of_external_tasks_is_caught() {
    for &rule in external::CASES {
        caught(rule, external::run(rule, broken(rule))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_rule_of_queries_changes_and_redrives_is_caught() {
    let cases = [
        control::QUERY_CASES,
        control::CHANGE_CASES,
        control::REDRIVE_CASES,
    ];
    for &rule in cases.into_iter().flatten() {
        caught(rule, control::run(rule, broken(rule))).await;
    }
}
