//! [`SlotRouter`]: the default router.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::{DecisionClass, DecisionLog, Reason, Subject};
use faas_core::{
    AliasName, Clock, Component, DecisionId, Description, Error, ErrorKind, FunctionRef,
    InstanceId, Invocation, Invoker, Monotonic, Phase, PrewarmHint, Qualifier, Response, Result,
    Retry, RevisionNumber, SeededRandom,
};
use futures::stream::BoxStream;

use super::demand::Listeners;
use super::drain;
use super::pool::{Admission, Grant, Pool, Shared, Waiter};
use super::snapshot::{OnDeleted, Snapshot};
use super::{AddInstance, FunctionRouter};
use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::registry::{Alias, FunctionId, FunctionRecord, FunctionRevision, MetadataStore};

const INVOKE: &str = "invoke";
/// How many instances one invocation is tried on, if they turn out to be dead.
const ATTEMPTS: usize = 3;

const WAITS: Reason = Reason::new(
    "queue.no_slot",
    "no slot of {function} revision {revision} is free; {queued} wait",
)
.helped_by("raise max_instances or concurrency, or keep instances with min_instances");
const HANDED_OVER: Reason = Reason::new("queue.handed_over", "got a slot after {waited}");
const LATE: Reason = Reason::new(
    "queue.deadline",
    "its time was over after {waited} in the queue",
);
const REFUSED: Reason = Reason::new("queue.refused", "no instance can be had: {why}");
const FULL: Reason = Reason::new(
    "queue.full",
    "{queued} wait for {function}: the queue is full",
)
.helped_by("try again later, or raise the bounds of the router's queues");
const DEAD: Reason = Reason::new("queue.dead_instance", "its instance was gone: {why}");

/// The bounds of a [`SlotRouter`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SlotRouterOptions {
    /// Invocations that may wait for one revision.
    pub queue: usize,
    /// Invocations that may wait in all.
    pub total: usize,
    /// How long one waits that has no deadline, or a later one.
    pub longest_wait: Duration,
    /// When one that was refused may come again.
    pub retry_after: Duration,
    /// Of the split of aliases.
    pub seed: u64,
}

impl Default for SlotRouterOptions {
    /// 1,000 for one revision, 10,000 in all, five minutes, and a second.
    fn default() -> Self {
        Self {
            queue: 1_000,
            total: 10_000,
            longest_wait: Duration::from_secs(300),
            retry_after: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// What a [`SlotRouter`] is made of.
#[derive(Clone)]
pub struct SlotRouterParts {
    /// Where functions and aliases are registered.
    pub metadata: Arc<dyn MetadataStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where it says why an invocation waited or was refused.
    pub decisions: DecisionLog,
}

impl std::fmt::Debug for SlotRouterParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotRouterParts").finish_non_exhaustive()
    }
}

type Pools = Arc<RwLock<HashMap<RevisionId, Arc<Pool>>>>;

/// The default router: a slot machine per revision ([`Slots`](super::slots::Slots)) behind a short
/// lock, and a copy of the registry that a watch keeps fresh.
///
/// A prewarm hint counts as demand until so many slots are free. An instance that answers
/// `Unavailable` with `Retry::Safe` is removed, and the invocation tries another, three at most.
pub struct SlotRouter {
    metadata: Arc<dyn MetadataStore>,
    shared: Arc<Shared>,
    snapshot: Snapshot,
    pools: Pools,
    owners: RwLock<HashMap<InstanceId, Arc<Pool>>>,
    numbers: AtomicU64,
    random: Mutex<SeededRandom>,
    longest_wait: Duration,
    retry_after: Duration,
}

impl std::fmt::Debug for SlotRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotRouter").finish_non_exhaustive()
    }
}

impl SlotRouter {
    /// Reads the registry, and follows it until the router is dropped.
    ///
    /// # Errors
    /// Those of the registry's `list`.
    pub async fn start(parts: SlotRouterParts, options: SlotRouterOptions) -> Result<Self> {
        let shared = Arc::new(Shared {
            clock: parts.clock.clone(),
            decisions: parts.decisions,
            listeners: Listeners::default(),
            queued: AtomicUsize::new(0),
            total_bound: options.total,
            queue_bound: options.queue,
            draining: AtomicBool::new(false),
        });
        let pools = Pools::default();
        let snapshot =
            Snapshot::start(parts.metadata.clone(), parts.clock, abandon(pools.clone())).await?;
        Ok(Self {
            metadata: parts.metadata,
            shared,
            snapshot,
            pools,
            owners: RwLock::default(),
            numbers: AtomicU64::new(0),
            random: Mutex::new(SeededRandom::new(options.seed)),
            longest_wait: options.longest_wait,
            retry_after: options.retry_after,
        })
    }

    fn now(&self) -> Monotonic {
        self.shared.clock.now()
    }

    /// Which revision a reference means, and its pool.
    async fn resolve(&self, function: &FunctionRef) -> Result<Arc<Pool>> {
        let id = FunctionId {
            namespace: function.namespace.clone(),
            name: function.name.clone(),
        };
        let known = self.snapshot.get(&id);
        let choice = known.and_then(|r| Some((self.choose(&r, &function.qualifier)?, r)));
        let (number, record) = match choice {
            Some(found) => found,
            // The watch may be behind a change whose maker calls at once: only now is the
            // registry asked.
            None => {
                let record = self.metadata.get(&id).await?;
                let chosen = self.choose(&record, &function.qualifier);
                let unknown = || Error::not_found(INVOKE, format!("{function} does not exist"));
                (chosen.ok_or_else(unknown)?, record)
            }
        };
        self.pool_of(id, number, &record).await
    }

    fn choose(&self, record: &FunctionRecord, qualifier: &Qualifier) -> Option<RevisionNumber> {
        match qualifier {
            Qualifier::Latest => Some(record.latest.number),
            Qualifier::Revision(number) => Some(*number),
            Qualifier::Alias(alias) => self.split(record, alias),
        }
    }

    fn split(&self, record: &FunctionRecord, name: &AliasName) -> Option<RevisionNumber> {
        let alias = record.aliases.get(name)?;
        if alias.weights.len() == 1 {
            return alias.weights.keys().next().copied();
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        weighted(alias, &mut random)
    }

    async fn pool_of(
        &self,
        function: FunctionId,
        number: RevisionNumber,
        record: &FunctionRecord,
    ) -> Result<Arc<Pool>> {
        let id = RevisionId { function, number };
        if let Some(pool) = self.pool(&id) {
            return Ok(pool);
        }
        let revision = if record.latest.number == number {
            record.latest.clone()
        } else {
            self.metadata.revision(&id.function, number).await?
        };
        Ok(self.make_pool(id, revision))
    }

    fn pool(&self, id: &RevisionId) -> Option<Arc<Pool>> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.get(id).cloned()
    }

    fn make_pool(&self, id: RevisionId, revision: Arc<FunctionRevision>) -> Arc<Pool> {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(id).or_insert_with(|| {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            Pool::new(number, revision, self.shared.clone())
        });
        pool.clone()
    }

    /// A slot, at once or after a wait.
    async fn admit(&self, pool: &Arc<Pool>, invocation: &Invocation) -> Result<(Grant, Duration)> {
        let deadline = invocation.deadline;
        if deadline.is_some_and(|at| at <= self.now()) {
            return Err(late(invocation, "before it was routed"));
        }
        match pool.admit(invocation.tenant(), deadline) {
            Admission::Granted(grant) => Ok((grant, Duration::ZERO)),
            Admission::Queued(waiter) => self.wait(pool, waiter, invocation).await,
            Admission::Full { queued } => Err(self.refuse(pool, invocation, queued)),
            Admission::Draining => Err(drain::refusal()),
        }
    }

    fn decide(
        &self,
        invocation: &Invocation,
        instance: Option<InstanceId>,
        cause: Option<DecisionId>,
        reason: Reason,
    ) -> DecisionId {
        let mut subjects = vec![invocation.id.into()];
        subjects.extend(instance.map(Subject::from));
        let log = &self.shared.decisions;
        log.record(DecisionClass::Queueing, subjects, cause, vec![reason])
    }

    fn refuse(&self, pool: &Pool, invocation: &Invocation, queued: usize) -> Error {
        let function = pool.id().function.to_string();
        let reason = FULL
            .with("queued", queued)
            .with("function", function.as_str());
        self.decide(invocation, None, None, reason);
        Error::exhausted(INVOKE, format!("the queue of {function} is full"))
            .with_retry_after(self.retry_after)
    }

    async fn wait(
        &self,
        pool: &Arc<Pool>,
        mut waiter: Waiter,
        invocation: &Invocation,
    ) -> Result<(Grant, Duration)> {
        let since = self.now();
        let (id, load) = (pool.id(), pool.load());
        let reason = WAITS
            .with("function", id.function.to_string())
            .with("revision", id.number.0)
            .with("queued", load.queued);
        let waits = self.decide(invocation, None, None, reason);
        // Whoever has said no deadline has one all the same.
        let longest = since + self.longest_wait;
        let until = invocation.deadline.map_or(longest, |at| at.min(longest));
        let granted = tokio::select! {
            biased;
            granted = waiter.granted() => granted,
            () = self.shared.clock.sleep_until(until) => {
                drop(waiter);
                let waited = self.now().since(since);
                self.decide(invocation, None, Some(waits), LATE.with("waited", waited));
                return Err(self.unserved(invocation, until < longest));
            }
        };
        let waited = self.now().since(since);
        pool.meters.waited.record(waited.as_secs_f64());
        let grant = match granted {
            Ok(grant) => grant,
            Err(error) => {
                let why = REFUSED.with("why", error.to_string());
                self.decide(invocation, None, Some(waits), why);
                return Err(error);
            }
        };
        let reason = HANDED_OVER.with("waited", waited);
        self.decide(
            invocation,
            Some(grant.permit.instance()),
            grant.caused_by.or(Some(waits)),
            reason,
        );
        Ok((grant, waited))
    }

    /// Why one that has waited is not served.
    fn unserved(&self, invocation: &Invocation, deadline: bool) -> Error {
        if deadline {
            return late(invocation, "while it waited for a slot");
        }
        let (id, longest) = (invocation.id, self.longest_wait);
        let message = format!("no slot was free for {id} within {longest:?}");
        Error::exhausted(INVOKE, message).with_retry_after(self.retry_after)
    }

    /// Runs it on one instance, which is removed if it turns out to be dead.
    async fn attempt(
        &self,
        pool: &Arc<Pool>,
        (grant, waited): (Grant, Duration),
        invocation: Invocation,
        arrived: Monotonic,
    ) -> Result<Response> {
        let granted = self.now();
        let id = grant.permit.instance();
        let (start, mut timeline) = (grant.start, grant.started);
        let result = grant
            .instance
            .invoke(invocation.clone(), grant.permit)
            .await;
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let took = self.now().since(arrived);
                pool.meters.ended(start, None, took);
                if is_dead(&error) {
                    self.remove(id);
                    let why = DEAD.with("why", error.to_string());
                    self.decide(&invocation, Some(id), None, why);
                }
                return Err(error);
            }
        };
        timeline[Phase::Route] = granted.since(arrived).saturating_sub(waited);
        timeline[Phase::Queue] = waited;
        let (pool, clock) = (pool.clone(), self.shared.clock.clone());
        let mut response = response.with_start(start);
        response.body = response.body.map_trailer(move |trailer| {
            let ended = clock.now();
            let run = trailer.timeline[Phase::Run];
            for (phase, time) in timeline.phases() {
                trailer.timeline[phase] = time;
            }
            if run.is_zero() {
                trailer.timeline[Phase::Run] = ended.since(granted);
            }
            let took = ended.since(arrived);
            pool.meters.ended(start, Some(&trailer.outcome), took);
        });
        Ok(response)
    }

    async fn route(&self, invocation: Invocation) -> Result<Response> {
        let arrived = self.now();
        let pool = self.resolve(&invocation.function).await?;
        let mut attempt = 1;
        loop {
            // Who is refused a slot is not to ask for another.
            let slot = self.admit(&pool, &invocation).await?;
            match self.attempt(&pool, slot, invocation.clone(), arrived).await {
                Err(error) if is_dead(&error) && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        pools.values().cloned().collect()
    }

    fn hint(&self, hint: &PrewarmHint) {
        let id = FunctionId {
            namespace: hint.function.namespace.clone(),
            name: hint.function.name.clone(),
        };
        let Some(record) = self.snapshot.get(&id) else {
            return;
        };
        let Some(number) = self.choose(&record, &hint.function.qualifier) else {
            return;
        };
        let id = RevisionId {
            function: id,
            number,
        };
        let latest = (record.latest.number == number).then(|| record.latest.clone());
        // An older revision that has never been called is not worth a look into the registry.
        let made = || latest.map(|revision| self.make_pool(id.clone(), revision));
        if let Some(pool) = self.pool(&id).or_else(made) {
            pool.hint(hint.concurrency);
        }
    }
}

/// Tells those that wait for a function that it is gone, and forgets what is empty of it.
fn abandon(pools: Pools) -> OnDeleted {
    Box::new(move |function| {
        let mut pools = pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|id, pool| {
            if id.function == *function {
                let gone = format!("{function} was deleted");
                pool.refuse(&Error::not_found(INVOKE, gone));
            }
            id.function != *function || !pool.is_empty()
        });
    })
}

fn weighted(alias: &Alias, random: &mut SeededRandom) -> Option<RevisionNumber> {
    let total = alias.weights.values().map(|w| u64::from(*w)).sum();
    let mut point = random.below(total);
    let mut shares = alias.weights.iter().filter(|(_, weight)| **weight > 0);
    shares.find_map(|(number, weight)| {
        let weight = u64::from(*weight);
        if point < weight {
            return Some(*number);
        }
        point -= weight;
        None
    })
}

fn is_dead(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.retry() == Retry::Safe
}

fn late(invocation: &Invocation, when: &str) -> Error {
    let message = format!("the deadline of {} passed {when}", invocation.id);
    Error::deadline_exceeded(INVOKE, message).with_retry(Retry::Safe)
}

#[async_trait]
impl FunctionRouter for SlotRouter {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        self.route(invocation).await
    }

    fn prewarm(&self, hint: PrewarmHint) {
        self.hint(&hint);
    }

    fn add(&self, add: AddInstance) {
        let revision = add.revision.clone();
        let id = revision.id();
        let pool = self.make_pool(id, revision);
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.insert(add.instance.id(), pool.clone());
        drop(owners);
        pool.add(add);
    }

    fn remove(&self, instance: InstanceId) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        let pool = owners.remove(&instance);
        drop(owners);
        if let Some(pool) = pool {
            pool.remove(instance);
        }
    }

    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        self.shared.listeners.listen(|| self.pools())
    }

    fn refuse(&self, revision: &RevisionId, error: Error) {
        if let Some(pool) = self.pool(revision) {
            pool.refuse(&error);
        }
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.shared.draining.store(true, Ordering::Release);
        drain::drain(&self.shared, || self.pools(), deadline).await
    }

    fn describe(&self) -> Description {
        Description::new("SlotRouter").provides(Component::F5)
    }
}

#[async_trait]
impl Invoker for SlotRouter {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        self.route(invocation).await
    }

    fn prewarm(&self, hint: PrewarmHint) {
        self.hint(&hint);
    }

    fn describe(&self) -> Description {
        FunctionRouter::describe(self)
    }
}
