//! What callers and the keeper do beside the loop.

use std::collections::HashSet;
use std::sync::Arc;

use faas_core::{Clock, Error, ErrorKind, ExecutionId, IdSource, Result};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::live::Message;
use crate::engine::StartExecution;
use crate::execution_store::{
    Epoch, ExecutionHead, ExecutionStatus, InputDigest, WorkflowExecutionStore,
};
use crate::program::{Data, DefinitionDigest, Ending, EventKind};
use crate::registry::WorkflowRegistry;

/// How many orphans are read at a time.
const ADOPTED_AT_ONCE: usize = 256;

pub(super) struct Shared {
    pub(super) registry: Arc<dyn WorkflowRegistry>,
    pub(super) executions: Arc<dyn WorkflowExecutionStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) epoch: Epoch,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) waiters: Semaphore,
}

pub(super) fn closed() -> Error {
    let message = "the engine is shut down, or another one took over";
    Error::unavailable("ask workflow engine", message)
}

impl Shared {
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inbox.send(message(reply)).await;
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Takes over every open execution that no live engine has; answers how many.
    pub(super) async fn recover(&self) -> Result<usize> {
        let mut count = 0;
        let mut left = HashSet::new();
        loop {
            // What could not be taken over is found again, and stands at the front.
            let orphans = self
                .executions
                .orphans(left.len() + ADOPTED_AT_ONCE)
                .await?;
            let mut fresh = orphans.into_iter().filter(|head| !left.contains(&head.id));
            let Some(first) = fresh.next() else {
                return Ok(count);
            };
            for head in std::iter::once(first).chain(fresh).collect::<Vec<_>>() {
                match self.adopt(head.id).await {
                    Ok(()) => count += 1,
                    Err(error) => {
                        tracing::error!(execution = %head.id, %error, "not recovered");
                        left.insert(head.id);
                    }
                }
            }
        }
    }

    async fn adopt(&self, id: ExecutionId) -> Result<()> {
        let stored = self.executions.load(id).await?;
        let program = self
            .registry
            .get(&stored.head.workflow)
            .await?
            .program
            .clone();
        self.ask(|reply| Message::Adopt {
            stored: Box::new(stored),
            program,
            abort: None,
            reply: Some(reply),
        })
        .await
    }

    /// The execution that had the name first, if this is the same start again.
    pub(super) async fn same(&self, request: &StartExecution) -> Result<Option<ExecutionHead>> {
        let namespace = &request.workflow.namespace;
        let Some(id) = self.executions.find(namespace, &request.name).await? else {
            return Ok(None);
        };
        let head = self.executions.head(id).await?;
        let version = request.workflow.version;
        let same = head.workflow.name == request.workflow.name
            && (version.is_none() || version == head.workflow.version)
            && head.input == digest(&request.input);
        if same {
            return Ok(Some(head));
        }
        let message = format!("{namespace}/{} is another execution: {id}", request.name);
        Err(Error::already_exists("start execution", message))
    }

    pub(super) async fn begin(&self, request: &StartExecution) -> Result<ExecutionHead> {
        let compiled = self.registry.get(&request.workflow).await?;
        let workflow = request.workflow.at(compiled.info.version);
        let id = self.ids.next();
        let mut head = ExecutionHead::new(id, request.name.clone(), workflow, self.epoch);
        let now = self.clock.wall();
        (head.started, head.updated) = (now, now);
        head.digest = compiled.program.digest();
        head.input = digest(&request.input);
        head.settings = compiled.info.settings;
        self.ask(|reply| Message::Start {
            head: Box::new(head),
            program: compiled.program.clone(),
            input: request.input.clone(),
            reply,
        })
        .await
    }

    /// Waits for the end of an execution, whoever runs it; of one that was continued, for that of
    /// the last.
    pub(super) async fn ended(&self, mut execution: ExecutionId) -> Result<ExecutionHead> {
        loop {
            let head = self.ended_here(execution).await?;
            match head.ending {
                Some(Ending::Continued(next)) => execution = next,
                _ => return Ok(head),
            }
        }
    }

    async fn ended_here(&self, execution: ExecutionId) -> Result<ExecutionHead> {
        let ask = |reply| Message::Wait { execution, reply };
        match self.ask(ask).await {
            // It has ended, another engine has it, or nobody knows it: the store tells.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.executions.ended(execution).await
            }
            other => other,
        }
    }

    pub(super) async fn tell(&self, execution: ExecutionId, kind: EventKind) -> Result<()> {
        let tell = |reply| Message::Event {
            execution,
            kind,
            reply,
        };
        match self.ask(tell).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        let head = self.executions.head(execution).await?;
        let message = match head.status() {
            ExecutionStatus::Running => {
                let message = format!("another engine runs execution {execution}");
                return Err(Error::unavailable("signal execution", message));
            }
            status => format!("execution {execution} has {}", status.label()),
        };
        Err(Error::conflict("signal execution", message).with_retry(faas_core::Retry::Never))
    }
}

fn digest(input: &Data) -> InputDigest {
    InputDigest(DefinitionDigest::of(input.to_string().as_bytes()))
}
