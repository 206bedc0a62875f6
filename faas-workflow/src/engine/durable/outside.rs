//! Tokens, workers, questions and redrives, over what callers share with the loop.

use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Error, ErrorKind, ExecutionId, Result};
use tokio::sync::oneshot;

use super::DurableEngine;
use super::live::Message;
use super::shared::{Refusal, closed, lost_a_race};
use crate::engine::core::ExecutionCore;
use crate::engine::{
    ExecutionChanges, ExecutionQueries, ExecutionRedrives, ExternalTasks, PollTask, WorkerTask,
};
use crate::execution_store::mailbox::Content;
use crate::execution_store::{ExecutionHead, ExecutionStatus, TransitionNumber};
use crate::program::{Data, Query, TaskError, TaskToken};

impl DurableEngine {
    /// Asks about a token: here, or by letter where its execution is.
    async fn by_token(
        &self,
        token: &TaskToken,
        here: impl FnOnce(oneshot::Sender<Result<(), Refusal>>) -> Message,
        elsewhere: Content,
    ) -> Result<()> {
        match self.shared.ask_about(here).await {
            Ok(()) => return Ok(()),
            Err(Refusal::Error(error)) if lost_a_race(&error) => {}
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::NotHere) => {}
        }
        let head = self.shared.executions.head(token.execution).await?;
        if head.status().is_ended() {
            let message = format!("execution {} has {}", head.id, head.status().label());
            return Err(Error::not_found("complete task", message));
        }
        match self.shared.write(&head, elsewhere).await {
            // A token whose execution has ended is as good as one that never was.
            Err(error) if error.kind() == ErrorKind::Conflict => Err(Error::not_found(
                "complete task",
                error.message().to_owned(),
            )),
            other => other,
        }
    }
}

#[async_trait]
impl ExternalTasks for DurableEngine {
    async fn complete(&self, token: &TaskToken, result: Result<Data, TaskError>) -> Result<()> {
        let (told, written) = (token.clone(), token.clone());
        let elsewhere = Content::Complete {
            token: written,
            result: result.clone(),
        };
        let here = |reply| Message::Complete {
            token: told,
            result,
            reply,
        };
        self.by_token(token, here, elsewhere).await
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<()> {
        let (told, written) = (token.clone(), token.clone());
        let here = |reply| Message::Heartbeat { token: told, reply };
        let elsewhere = Content::Heartbeat { token: written };
        self.by_token(token, here, elsewhere).await
    }

    async fn poll(&self, request: PollTask) -> Result<WorkerTask> {
        let Ok(_place) = self.shared.waiters.try_acquire() else {
            let full = Error::exhausted("poll for work", "too many callers wait");
            return Err(full.with_retry_after(Duration::from_secs(1)));
        };
        loop {
            let request = request.clone();
            let offer = self.shared.ask(|reply| Message::Poll { request, reply });
            match offer.await {
                // The work's execution is another engine's since: it waits for other work.
                Err(error) if lost_a_race(&error) => {}
                offer => return offer?.take().ok_or_else(closed),
            }
        }
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

#[async_trait]
impl ExecutionChanges for DurableEngine {
    async fn changed(
        &self,
        execution: ExecutionId,
        after: TransitionNumber,
    ) -> Result<ExecutionHead> {
        let Ok(_place) = self.shared.waiters.try_acquire() else {
            let full = Error::exhausted("follow execution", "too many callers wait");
            return Err(full.with_retry_after(Duration::from_secs(1)));
        };
        let ask = |reply| Message::Changed {
            execution,
            after,
            reply,
        };
        match self.shared.ask_about(ask).await {
            Ok(head) => return Ok(head),
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::NotHere) => {}
        }
        let head = self.shared.executions.head(execution).await?;
        if head.transition > after || head.status().is_ended() {
            return Ok(head);
        }
        // Another engine runs it: of what it does, its end alone is pushed.
        self.shared.executions.ended(execution).await
    }
}
