//! Tokens, workers, questions and redrives, over what callers share with the loop.

use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Error, ExecutionId, Result};

use super::DurableEngine;
use super::live::Message;
use super::shared::{Refusal, closed};
use crate::engine::core::ExecutionCore;
use crate::engine::{ExecutionQueries, ExecutionRedrives, ExternalTasks, PollTask, WorkerTask};
use crate::execution_store::{ExecutionHead, ExecutionStatus};
use crate::program::{Data, Query, TaskError, TaskToken};

impl DurableEngine {
    /// Why a token is not known here.
    async fn elsewhere(&self, token: &TaskToken) -> Error {
        let id = token.execution;
        match self.shared.executions.head(id).await {
            Ok(head) if head.status() == ExecutionStatus::Running => {
                let message = format!("another engine runs execution {id}");
                Error::unavailable("complete task", message)
            }
            Ok(head) => {
                let message = format!("execution {id} has {}", head.status().label());
                Error::not_found("complete task", message)
            }
            Err(error) => error,
        }
    }
}

#[async_trait]
impl ExternalTasks for DurableEngine {
    async fn complete(&self, token: &TaskToken, result: Result<Data, TaskError>) -> Result<()> {
        let ask = |reply| Message::Complete {
            token: token.clone(),
            result,
            reply,
        };
        match self.shared.ask_about(ask).await {
            Ok(()) => Ok(()),
            Err(Refusal::NotHere) => Err(self.elsewhere(token).await),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<()> {
        let token_ = token.clone();
        let ask = |reply| Message::Heartbeat {
            token: token_,
            reply,
        };
        match self.shared.ask_about(ask).await {
            Ok(()) => Ok(()),
            Err(Refusal::NotHere) => Err(self.elsewhere(token).await),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    async fn poll(&self, request: PollTask) -> Result<WorkerTask> {
        let Ok(_place) = self.shared.waiters.try_acquire() else {
            let full = Error::exhausted("poll for work", "too many callers wait");
            return Err(full.with_retry_after(Duration::from_secs(1)));
        };
        let offer = self.shared.ask(|reply| Message::Poll { request, reply });
        offer.await?.take().ok_or_else(closed)
    }
}

#[async_trait]
impl ExecutionQueries for DurableEngine {
    async fn query(&self, execution: ExecutionId, query: Query) -> Result<Data> {
        let asked = query.clone();
        let ask = |reply| Message::Query {
            execution,
            query: asked,
            reply,
        };
        match self.shared.ask_about(ask).await {
            Ok(answer) => return Ok(answer),
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::NotHere) => {}
        }
        // It has ended, or another engine has it: what is stored answers.
        let stored = self.shared.executions.load(execution).await?;
        let program = self.shared.program(&stored.head).await?;
        ExecutionCore::restore(stored, program)?.answer(&query)
    }
}

#[async_trait]
impl ExecutionRedrives for DurableEngine {
    async fn redrive(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let stored = self.shared.executions.load(execution).await?;
        let status = stored.head.status();
        match status {
            ExecutionStatus::Failed | ExecutionStatus::TimedOut | ExecutionStatus::Cancelled => {}
            _ => {
                let message = format!("execution {execution} is {}", status.label());
                let error = Error::conflict("redrive execution", message);
                return Err(error.with_retry(faas_core::Retry::Never));
            }
        }
        let program = self.shared.program(&stored.head).await?;
        self.shared
            .ask(|reply| Message::Redrive {
                stored: Box::new(stored),
                program,
                reply,
            })
            .await
    }
}
