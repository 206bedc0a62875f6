//! [`DurableEngine`]: W2 over any execution store and any [`Invoker`].

mod call;
mod keeper;
mod live;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Component, Description, Error, ErrorKind, ExecutionId, IdSource, Invoker, Result,
};
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::core::EngineCore;
use super::{StartExecution, WorkflowEngine};
use crate::execution_store::{
    Epoch, ExecutionFilter, ExecutionHead, ExecutionPage, ExecutionStatus, InputDigest, OpenEpoch,
    WorkflowExecutionStore,
};
use crate::history::{HistoryPage, HistoryQuery};
use crate::program::{Beginning, Data, DefinitionDigest, EventKind, ExecutionIdentity, Signal};
use crate::registry::WorkflowRegistry;
use crate::scheduler::{Random, WorkflowScheduler};
use live::{Live, Message};

/// How long `wait` waits before it looks again at an execution that another engine runs.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The bounds of a [`DurableEngine`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Executions open at once.
    pub executions: usize,
    /// Tasks that run at once.
    pub tasks: usize,
    /// Requests that wait for the engine; over it, callers wait.
    pub inbox: usize,
    /// Bytes of one answer of a function.
    pub response_bytes: usize,
    /// Whether this is the store's only engine: then it takes over all executions at once.
    pub exclusive: bool,
    /// How long an engine may be silent before another takes over.
    pub lease: Duration,
    /// The seed of all randomness.
    pub seed: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            executions: 100_000,
            tasks: 10_000,
            inbox: 1024,
            response_bytes: 6 << 20,
            exclusive: true,
            lease: Duration::from_secs(15),
            seed: 0,
        }
    }
}

/// What a [`DurableEngine`] is made of.
pub struct EngineParts {
    /// W1.
    pub registry: Arc<dyn WorkflowRegistry>,
    /// W4.
    pub executions: Arc<dyn WorkflowExecutionStore>,
    /// W3.
    pub scheduler: Box<dyn WorkflowScheduler>,
    /// Who runs the tasks.
    pub invoker: Arc<dyn Invoker>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: IdSource,
    /// Where decisions go.
    pub decisions: DecisionLog,
}

impl fmt::Debug for EngineParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineParts").finish_non_exhaustive()
    }
}

struct Shared {
    registry: Arc<dyn WorkflowRegistry>,
    executions: Arc<dyn WorkflowExecutionStore>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    epoch: Epoch,
    inbox: mpsc::Sender<Message>,
}

/// W2, event-sourced: one loop owns all executions; a turn drains what came, steps the programs,
/// asks the scheduler, submits one append for each execution that changed, and calls its tasks
/// when the append is stored. Dropping it stops it as a crash would.
pub struct DurableEngine {
    shared: Arc<Shared>,
    tasks: Vec<tokio::task::AbortHandle>,
}

impl fmt::Debug for DurableEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = self.shared.epoch;
        f.debug_struct("DurableEngine")
            .field("epoch", &epoch)
            .finish_non_exhaustive()
    }
}

impl Drop for DurableEngine {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl DurableEngine {
    /// Opens an epoch and begins; [`recover`](Self::recover) then takes over what is open. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// Those of opening an epoch.
    pub async fn open(parts: EngineParts, options: EngineOptions) -> Result<Self> {
        let request = OpenEpoch {
            exclusive: options.exclusive,
        };
        let epoch = parts.executions.open_epoch(request).await?.epoch;
        let (sender, inbox) = mpsc::channel(options.inbox.max(1));
        let shared = Arc::new(Shared {
            registry: parts.registry,
            executions: parts.executions,
            clock: parts.clock,
            ids: parts.ids,
            epoch,
            inbox: sender,
        });
        let random = Random::new(options.seed);
        let ids = shared.ids.clone();
        let core = EngineCore::new(parts.scheduler, random, ids, options.tasks);
        let live = Live::new(&shared, core, parts.invoker, parts.decisions, options);
        let run = tokio::spawn(live.run(inbox)).abort_handle();
        let keep = keeper::keep(Arc::downgrade(&shared), shared.clock.clone(), options);
        let keep = tokio::spawn(keep).abort_handle();
        let tasks = vec![run, keep];
        Ok(Self { shared, tasks })
    }

    /// Takes over every open execution that no live engine has, and goes on with it; answers how
    /// many.
    ///
    /// # Errors
    /// Those of the store; an execution whose definition does not compile any more is left and
    /// reported to the log.
    pub async fn recover(&self) -> Result<usize> {
        self.shared.recover().await
    }

    /// Takes no more requests and starts no more tasks, waits until those that run have ended, at
    /// most for `deadline`, and hands the executions over to whoever recovers them.
    ///
    /// # Errors
    /// `DeadlineExceeded` if tasks were still running: their futures were dropped, and they run
    /// again, with the same idempotency keys, after recovery.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let deadline = self.shared.clock.now() + deadline;
        let ask = |reply| Message::Shutdown { deadline, reply };
        match self.shared.ask(ask).await {
            // It was shut down before.
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            other => other,
        }
    }
}

fn closed() -> Error {
    let message = "the engine is shut down, or another one took over";
    Error::unavailable("ask workflow engine", message)
}

impl Shared {
    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T>>) -> Message,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inbox.send(message(reply)).await;
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    async fn recover(&self) -> Result<usize> {
        let live: Vec<Epoch> = self
            .executions
            .epochs()
            .await?
            .iter()
            .map(|s| s.epoch)
            .collect();
        let mut filter = ExecutionFilter::new(ExecutionStatus::Running);
        let mut count = 0;
        loop {
            let page = self.executions.list(filter.clone()).await?;
            for head in page.executions {
                if live.contains(&head.epoch) {
                    continue;
                }
                match self.adopt(head.id).await {
                    Ok(()) => count += 1,
                    Err(error) => tracing::error!(execution = %head.id, %error, "not recovered"),
                }
            }
            filter.after = page.next;
            if page.next.is_none() {
                return Ok(count);
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

    async fn begin(&self, request: &StartExecution) -> Result<ExecutionHead> {
        let compiled = self.registry.get(&request.workflow).await?;
        let workflow = request.workflow.at(compiled.info.version);
        let id = self.ids.next();
        let mut head = ExecutionHead::new(id, request.name.clone(), workflow, self.epoch);
        let now = self.clock.wall();
        (head.started, head.updated) = (now, now);
        head.digest = compiled.program.digest();
        head.input = digest(&request.input);
        let execution = ExecutionIdentity {
            id,
            name: request.name.clone(),
            workflow: head.workflow.clone(),
        };
        let beginning = Beginning::new(now, 0, execution, request.input.clone());
        self.ask(|reply| Message::Start {
            head: Box::new(head),
            program: compiled.program.clone(),
            beginning,
            reply,
        })
        .await
    }

    async fn tell(&self, execution: ExecutionId, kind: EventKind) -> Result<()> {
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

#[async_trait]
impl WorkflowEngine for DurableEngine {
    async fn start(&self, request: StartExecution) -> Result<ExecutionHead> {
        if let Some(head) = self.shared.same(&request).await? {
            return Ok(head);
        }
        match self.shared.begin(&request).boxed().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                // Somebody else took the name meanwhile.
                self.shared.same(&request).await?.ok_or(error)
            }
            other => other,
        }
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
        loop {
            let head = self.shared.executions.head(execution).await?;
            if head.status().is_ended() {
                return Ok(head);
            }
            let ask = |reply| Message::Wait { execution, reply };
            match self.shared.ask(ask).await {
                Ok(head) => return Ok(head),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            // It ended just now, or another engine has it: the store will tell.
            let head = self.shared.executions.head(execution).await?;
            if head.status().is_ended() {
                return Ok(head);
            }
            let clock = &self.shared.clock;
            clock.sleep_until(clock.now() + LOOK_AGAIN).await;
        }
    }

    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
        self.shared.executions.list(filter).await
    }

    fn describe(&self) -> Description {
        Description::new("DurableEngine").provides(Component::W2)
    }
}
