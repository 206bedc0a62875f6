//! [`DurableEngine`]: W2 over any execution store and any [`Invoker`].

mod call;
mod child;
mod engine;
mod keeper;
mod live;
mod mail;
mod outside;
mod shared;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::policy::SeededRandom;
use faas_core::{Clock, ErrorKind, IdSource, Invoker, Result};
use tokio::sync::{Semaphore, mpsc};

use super::core::EngineCore;
use super::resource::TaskResources;
use crate::execution_store::{OpenEpoch, WorkflowExecutionStore};
use crate::registry::WorkflowRegistry;
use crate::scheduler::WorkflowScheduler;
use live::{Live, Message, Tools};
use shared::Shared;

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
    /// How deep executions may nest that run as tasks of others.
    pub depth: u32,
    /// Whether this is the store's only engine: then it takes over all executions at once.
    pub exclusive: bool,
    /// How long an engine may be silent before another takes over.
    pub lease: Duration,
    /// Callers that wait for an end at once; over it `wait` answers `Exhausted`.
    pub waiters: usize,
    /// The seed of all randomness: that of jitter, and of the secrets in task tokens. Drawn from the
    /// operating system if `None`.
    pub seed: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            executions: 100_000,
            tasks: 10_000,
            inbox: 1024,
            response_bytes: 6 << 20,
            depth: 16,
            exclusive: true,
            lease: Duration::from_secs(15),
            waiters: 100_000,
            seed: None,
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
    /// Who runs the tasks that are functions.
    pub invoker: Arc<dyn Invoker>,
    /// Who runs those that name a resource, if anybody does.
    pub resources: Option<Arc<dyn TaskResources>>,
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
        let epoch = parts.executions.epochs().open(request).await?.epoch;
        let (sender, inbox) = mpsc::channel(options.inbox.max(1));
        let drawn = || RandomState::new().hash_one(epoch.0);
        let random = SeededRandom::new(options.seed.unwrap_or_else(drawn));
        let core = EngineCore::new(parts.scheduler, random, parts.ids.clone(), options.tasks);
        let tools = Tools {
            store: parts.executions.clone(),
            invoker: parts.invoker,
            resources: parts.resources,
            clock: parts.clock.clone(),
            ids: parts.ids.clone(),
            decisions: parts.decisions,
        };
        let shared = Arc::new(Shared {
            registry: parts.registry,
            executions: parts.executions,
            clock: parts.clock,
            ids: parts.ids,
            epoch,
            inbox: sender,
            waiters: Semaphore::new(options.waiters.min(Semaphore::MAX_PERMITS)),
            children: Mutex::default(),
            exclusive: options.exclusive,
            lease: options.lease,
        });
        let live = Live::new(Arc::downgrade(&shared), core, tools, epoch, options);
        let run = tokio::spawn(live.run(inbox)).abort_handle();
        let keep = keeper::keep(Arc::downgrade(&shared), shared.clock.clone(), options);
        let keep = tokio::spawn(keep).abort_handle();
        let mut tasks = vec![run, keep];
        if !options.exclusive {
            let (store, clock) = (shared.executions.clone(), shared.clock.clone());
            let listen = mail::listen(Arc::downgrade(&shared), store, clock);
            tasks.push(tokio::spawn(listen).abort_handle());
        }
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
