//! What callers and the keeper do beside the loop.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faas_core::{Clock, Error, ErrorKind, ExecutionId, IdSource, Namespace, Result};
use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::live::Message;
use crate::engine::StartExecution;
use crate::execution_store::mailbox::Content;
use crate::execution_store::{
    Epoch, ExecutionHead, ExecutionName, InputDigest, Parent, WorkflowExecutionStore,
};
use crate::program::{Data, DefinitionDigest, Ending, EventKind, Program, TaskNumber};
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
    pub(super) children: Mutex<Children>,
    pub(super) exclusive: bool,
    pub(super) lease: Duration,
}

/// Executions that run as tasks, by the task.
type Children = HashMap<(ExecutionId, TaskNumber), (Namespace, ExecutionName)>;

/// Why the loop does not do what it is asked.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The execution is not open here: the store tells what is with it.
    NotHere,
    /// It cannot be done.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(super) fn closed() -> Error {
    let message = "the engine is shut down, or another one took over";
    Error::unavailable("ask workflow engine", message)
}

impl Shared {
    /// Asks the loop about an execution that may be open here.
    pub(super) async fn ask_about<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Message,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inbox.send(message(reply)).await;
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Asks the loop for something that does not depend on what is open.
    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Message,
    ) -> Result<T> {
        self.ask_about(message)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Error(error) => error,
                Refusal::NotHere => Error::not_found("ask workflow engine", "it is not open here"),
            })
    }

    pub(super) fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an execution, as a task if it has a parent.
    pub(super) async fn start(
        &self,
        request: StartExecution,
        parent: Option<Parent>,
    ) -> Result<ExecutionHead> {
        if let Some(head) = self.same(&request).await? {
            return Ok(head);
        }
        match self.begin(&request, parent).boxed().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                // Somebody else took the name meanwhile.
                self.same(&request).await?.ok_or(error)
            }
            other => other,
        }
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
        let program = self.program(&stored.head).await?;
        self.ask(|reply| Message::Adopt {
            stored: Box::new(stored),
            program,
            abort: None,
            reply: Some(reply),
        })
        .await
    }

    /// The program that an execution is pinned to.
    pub(super) async fn program(&self, head: &ExecutionHead) -> Result<Arc<dyn Program>> {
        let compiled = self.registry.get(&head.workflow).await?;
        Ok(compiled.program.clone())
    }

    /// The execution that had the name first, if this is the same start again.
    async fn same(&self, request: &StartExecution) -> Result<Option<ExecutionHead>> {
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

    async fn begin(
        &self,
        request: &StartExecution,
        parent: Option<Parent>,
    ) -> Result<ExecutionHead> {
        let compiled = self.registry.get(&request.workflow).await?;
        let workflow = request.workflow.at(compiled.info.version);
        let id = self.ids.next();
        let mut head = ExecutionHead::new(id, request.name.clone(), workflow, self.epoch);
        let now = self.clock.wall();
        (head.started, head.updated) = (now, now);
        head.digest = compiled.program.digest();
        head.input = digest(&request.input);
        head.settings = compiled.info.settings;
        head.parent = parent;
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
        match self.ask_about(ask).await {
            Ok(head) => Ok(head),
            Err(Refusal::NotHere) => self.executions.ended(execution).await,
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// Tells an execution something, or the one that it was continued as.
    pub(super) async fn tell(&self, mut execution: ExecutionId, kind: EventKind) -> Result<()> {
        loop {
            let told = kind.clone();
            let tell = |reply| Message::Event {
                execution,
                kind: told,
                reply,
            };
            match self.ask_about(tell).await {
                Ok(()) => return Ok(()),
                // Another engine took it over at this moment: nothing happened here.
                Err(Refusal::Error(error)) if lost_a_race(&error) => {}
                Err(Refusal::Error(error)) => return Err(error),
                Err(Refusal::NotHere) => {}
            }
            let head = self.goes_on(execution).await?;
            if head.id == execution {
                return self.write(&head, Content::Event(kind)).await;
            }
            execution = head.id;
        }
    }
}

/// Whether nothing happened because something else happened first.
pub(super) fn lost_a_race(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.retry() == faas_core::Retry::Safe
}

fn digest(input: &Data) -> InputDigest {
    InputDigest(DefinitionDigest::of(input.to_string().as_bytes()))
}
