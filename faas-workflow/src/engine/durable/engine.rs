//! The trait, over what callers share with the loop.

use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Component, Description, Error, ErrorKind, ExecutionId, Result};

use super::DurableEngine;
use crate::engine::{
    ExecutionChanges, ExecutionQueries, ExecutionRedrives, ExternalTasks, StartExecution,
    WorkflowEngine,
};
use crate::execution_store::{ExecutionFilter, ExecutionHead, ExecutionPage};
use crate::history::{HistoryPage, HistoryQuery};
use crate::program::{EventKind, Signal};

#[async_trait]
impl WorkflowEngine for DurableEngine {
    async fn start(&self, request: StartExecution) -> Result<ExecutionHead> {
        self.shared.start(request, None).await
    }

    async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()> {
        self.shared
            .tell(execution, EventKind::Signalled(signal))
            .await
    }

    async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()> {
        let cause = cause.to_owned();
        match self
            .shared
            .tell(execution, EventKind::CancelRequested { cause, error: None })
            .await
        {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        self.shared.executions.head(execution).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
        self.shared.executions.history(query).await
    }

    async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let shared = &self.shared;
        let Ok(_place) = shared.waiters.try_acquire() else {
            let full = Error::exhausted("wait for execution", "too many callers wait");
            return Err(full.with_retry_after(Duration::from_secs(1)));
        };
        shared.ended(execution).await
    }

    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.shared.executions.list(filter).await
    }

    fn describe(&self) -> Description {
        Description::new("DurableEngine").provides(Component::W2)
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
