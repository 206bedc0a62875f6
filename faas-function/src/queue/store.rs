//! [`StoreQueue`]: the queue over any store.

mod reading;
pub(super) mod writing;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::encoding::decode;
use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::store::{Batch, Precondition, Store};
use faas_core::{
    Clock, Description, Digest, Error, ErrorKind, IdSource, Invocation, InvocationId, Invoker,
    Monotonic, Result, SeededRandom,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::core::{Bounds, Core, Waiting};
use super::item::{self, BELL, Dead, Item, Letter, SPACE};
use super::{
    Destination, InvocationQueue, LetterPage, LetterQuery, Message, Payloads, QueueId,
    QueueSettingsSource, Queued, WorkflowStarter, live, reasons,
};

/// What a [`StoreQueue`] works with.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoreQueueParts {
    /// Where requests lie.
    pub store: Arc<dyn Store>,
    /// What runs them.
    pub invoker: Arc<dyn Invoker>,
    /// How they are run.
    pub settings: Arc<dyn QueueSettingsSource>,
    /// What starts workflows that are destinations; without it they fail.
    pub workflows: Option<Arc<dyn WorkflowStarter>>,
    /// Where payloads lie that are large; in the store, all of them, without it.
    pub payloads: Option<Payloads>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids of what is handed on.
    pub ids: IdSource,
    /// Where decisions are recorded.
    pub decisions: DecisionLog,
}

impl StoreQueueParts {
    /// Without workflows.
    pub fn new(
        store: Arc<dyn Store>,
        invoker: Arc<dyn Invoker>,
        settings: Arc<dyn QueueSettingsSource>,
        clock: Arc<dyn Clock>,
        ids: IdSource,
        decisions: DecisionLog,
    ) -> Self {
        Self {
            store,
            invoker,
            settings,
            workflows: None,
            payloads: None,
            clock,
            ids,
            decisions,
        }
    }
}

impl fmt::Debug for StoreQueueParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = &self.store;
        f.debug_struct("StoreQueueParts")
            .field("store", store)
            .finish_non_exhaustive()
    }
}

/// Bounds of a [`StoreQueue`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreQueueOptions {
    /// Requests, dead letters and messages that are kept.
    pub capacity: usize,
    /// Requests of all functions that run at once.
    pub concurrency: usize,
    /// Bytes of a response that is handed on, at most.
    pub response_limit: usize,
    /// Whether the store has no other queue: then it takes over from an earlier one at once.
    pub exclusive: bool,
    /// How long the owner of a shared store may be silent.
    pub lease: Duration,
    /// What the jitter begins with.
    pub seed: u64,
}

impl Default for StoreQueueOptions {
    /// 100,000 kept, 1,000 at once, responses of 6 MiB, the store's only queue; a lease of 10 s.
    fn default() -> Self {
        Self {
            capacity: 100_000,
            concurrency: 1000,
            response_limit: 6 << 20,
            exclusive: true,
            lease: Duration::from_secs(10),
            seed: 0,
        }
    }
}

/// The queue over any store, and any invoker.
///
/// A request is one key, and its payload another; the write that ends it removes both and puts what
/// is handed on, so that nothing is lost or handed on twice between two writes. What a request is
/// and when it is due is kept in memory, too, a few hundred bytes each.
///
/// Of several queues over one store one owns the requests and runs them. The others take requests
/// and ring for it; one of them takes over when it is silent.
#[derive(Debug)]
pub struct StoreQueue {
    shared: Arc<Shared>,
    live: JoinHandle<()>,
}

impl Drop for StoreQueue {
    fn drop(&mut self) {
        self.live.abort();
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parts: StoreQueueParts,
    pub(super) options: StoreQueueOptions,
    core: Mutex<Core>,
    random: Mutex<SeededRandom>,
    /// What a queue that is not the owner knows of how much is kept, and since when.
    estimate: Mutex<Option<(Monotonic, usize)>>,
    /// Something can start, or ended.
    pub(super) changed: Notify,
    /// The last running request has ended.
    pub(super) idle: Notify,
    owner: AtomicBool,
    draining: AtomicBool,
    /// Payloads in the object store that may be needed no more.
    loose: Mutex<Vec<Digest>>,
    /// What is stored must be looked through again.
    pub(super) rescan: AtomicBool,
}

impl StoreQueue {
    /// Starts to run what the store holds. It must be called within a tokio runtime.
    pub fn start(parts: StoreQueueParts, options: StoreQueueOptions) -> Self {
        let bounds = Bounds {
            capacity: options.capacity,
            concurrency: options.concurrency.max(1),
        };
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(bounds)),
            random: Mutex::new(SeededRandom::new(options.seed)),
            estimate: Mutex::new(None),
            changed: Notify::new(),
            idle: Notify::new(),
            owner: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            loose: Mutex::default(),
            rescan: AtomicBool::new(false),
            parts,
            options,
        });
        let live = tokio::spawn(live::run(shared.clone()));
        Self { shared, live }
    }
}

impl Shared {
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn loose(&self) -> MutexGuard<'_, Vec<Digest>> {
        self.loose.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source of chance for one decision.
    pub(super) fn chance(&self) -> SeededRandom {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        SeededRandom::new(random.next_u64())
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(super) fn now(&self) -> Monotonic {
        self.parts.clock.now()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn is_owner(&self) -> bool {
        self.owner.load(Ordering::Acquire)
    }

    pub(super) fn own(&self, owner: bool) {
        self.owner.store(owner, Ordering::Release);
    }

    pub(super) fn explain(&self, id: InvocationId, reason: Reason) {
        let class = DecisionClass::Queueing;
        let log = &self.parts.decisions;
        log.record(class, vec![id.into()], None, vec![reason]);
    }

    pub(super) fn waiting(&self, id: InvocationId, item: &Item) -> Waiting {
        let pause = item.pause(self.parts.clock.wall());
        Waiting {
            id,
            lane: item.lane(),
            concurrency: item.settings.concurrency,
            due: self.now() + pause,
        }
    }

    /// Has a stored request run: by this queue if it is the owner, else by the one that is.
    pub(super) fn arrived(&self, id: InvocationId, item: &Item) {
        let waiting = self.waiting(id, item);
        let now = self.now();
        if self.is_owner() {
            self.core().add(waiting, now);
        }
        self.changed.notify_one();
    }

    /// Adds what wakes the owner, if that is another queue.
    fn ring(&self, batch: Batch, id: InvocationId) -> Batch {
        if self.is_owner() || self.options.exclusive {
            return batch;
        }
        let key = faas_core::store::Key::new("rung");
        batch.put(BELL, key, id.to_string(), Precondition::Any)
    }
}

#[async_trait]
impl InvocationQueue for StoreQueue {
    async fn submit(&self, invocation: Invocation) -> Result<InvocationId> {
        let shared = self.shared.clone();
        if shared.is_draining() {
            let message = "the queue is drained: it takes no more requests";
            return Err(Error::unavailable("submit", message));
        }
        let settings = &shared.parts.settings;
        let settings = settings.settings(&invocation.function).await?;
        shared.reserve().await?;
        // A task of its own: who drops the future must not tear the request.
        let stored = tokio::spawn(async move { shared.take(invocation, settings).await });
        stored.await.map_err(|error| {
            let message = format!("the request may have been stored: {error}");
            Error::internal("submit", message).with_retry(faas_core::Retry::Ambiguous)
        })?
    }

    async fn find(&self, id: InvocationId) -> Result<Queued> {
        self.shared.find(id).await
    }

    async fn dead_letters(&self, query: LetterQuery) -> Result<LetterPage> {
        self.shared.dead_letters(query).await
    }

    async fn redrive(&self, id: InvocationId) -> Result<()> {
        let shared = self.shared.clone();
        shared.redrive(id).await
    }

    async fn discard(&self, id: InvocationId) -> Result<()> {
        let gone = || Error::not_found("discard", format!("there is no dead letter {id}"));
        let entry = self.shared.store().get(&SPACE, &item::letter(id)).await?;
        let Dead { item, .. } = decode(&entry.ok_or_else(gone)?.value)?;
        let batch = Batch::new().delete(SPACE, item::letter(id), Precondition::Present);
        let batch = writing::free(batch, id, &item.place);
        match self.shared.store().commit(batch).await {
            Ok(_) => {
                self.shared.core().release(1);
                self.shared.freed(&item.place);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Err(gone()),
            Err(error) => Err(error),
        }
    }

    async fn messages(&self, queue: &QueueId, limit: usize) -> Result<Vec<Message>> {
        self.shared.messages(queue, limit).await
    }

    async fn acknowledge(&self, queue: &QueueId, id: InvocationId) -> Result<()> {
        let key = item::message(queue, id);
        let Some(entry) = self.shared.store().get(&SPACE, &key).await? else {
            return Ok(());
        };
        let letter: Letter = decode(&entry.value)?;
        let batch = Batch::new().delete(SPACE, key, Precondition::Present);
        let batch = writing::free(batch, id, &letter.place);
        match self.shared.store().commit(batch).await {
            Ok(_) => {
                self.shared.core().release(1);
                self.shared.freed(&letter.place);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.changed.notify_one();
        let idle = async {
            loop {
                let idle = self.shared.idle.notified();
                if self.live.is_finished() || self.shared.core().running() == 0 {
                    return;
                }
                idle.await;
            }
        };
        let late = self.shared.parts.clock.sleep_until(deadline);
        let drained = tokio::select! {
            biased;
            () = idle => Ok(()),
            () = late => {
                let running = self.shared.core().running();
                let message = format!("{running} asynchronous invocations still ran: they are run again");
                Err(Error::deadline_exceeded("drain queue", message))
            }
        };
        self.live.abort();
        drained
    }

    fn describe(&self) -> Description {
        Description::new(format!("StoreQueue over {}", self.shared.store().name()))
    }
}

/// What a request's destination gets to know, beside the payload.
pub(super) fn provenance(
    id: InvocationId,
    source: &Destination,
    error: Option<&str>,
) -> faas_core::Attributes {
    let mut attributes = faas_core::Attributes::new();
    attributes.append("faas-source-invocation", id.to_string());
    attributes.append("faas-source", source.to_string());
    let outcome = if error.is_some() {
        "failure"
    } else {
        "success"
    };
    attributes.append("faas-outcome", outcome);
    if let Some(error) = error {
        attributes.append("faas-error", error);
    }
    attributes
}

/// Why a new request waits.
pub(super) fn taken(item: &Item) -> Reason {
    reasons::TAKEN.with("concurrency", item.settings.concurrency)
}
