//! [`SlotRouter`]: the default router.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::{
    AliasName, Clock, Component, Description, Error, FunctionRef, InstanceId, Invocation, Invoker,
    Monotonic, PrewarmHint, Qualifier, Response, Result, RevisionNumber, SeededRandom,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use hashbrown::HashMap;
use tracing::{Instrument, field};

use super::demand::Listeners;
use super::drain;
use super::meters::Unrouted;
use super::places::Places;
use super::pool::{Pool, Shared};
use super::routes::Routes;
use super::snapshot::Snapshot;
use super::{AddInstance, FunctionRouter};
use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::registry::{Alias, FunctionId, FunctionRecord, MetadataStore};

pub(super) const INVOKE: &str = "invoke";

/// The bounds of a [`SlotRouter`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SlotRouterOptions {
    /// Invocations that may wait for one revision. When so many do, a tenant that has fewer than
    /// another gets a place from that one.
    pub queue: usize,
    /// Invocations that may wait in all; those of one tenant at most four fifths of it.
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

/// The default router: a slot machine per revision ([`Slots`](super::slots::Slots)) behind a short
/// lock, and a copy of the registry that a watch keeps fresh.
///
/// A prewarm hint counts as demand until so many slots are free. An instance that answers
/// `Unavailable` with `Retry::Safe` is removed, and the invocation tries another, three at most.
pub struct SlotRouter {
    metadata: Arc<dyn MetadataStore>,
    pub(super) shared: Arc<Shared>,
    routes: Arc<Routes>,
    _snapshot: Snapshot,
    owners: RwLock<HashMap<InstanceId, Arc<Pool>>>,
    random: Mutex<SeededRandom>,
    pub(super) longest_wait: Duration,
    pub(super) unrouted: Unrouted,
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
            places: Places::new(options.total),
            queue_bound: options.queue,
            retry_after: options.retry_after,
            draining: AtomicBool::new(false),
        });
        let routes = Arc::new(Routes::new(shared.clone()));
        let metadata = parts.metadata;
        let snapshot = Snapshot::start(metadata.clone(), parts.clock, routes.clone()).await?;
        Ok(Self {
            metadata,
            shared,
            routes,
            _snapshot: snapshot,
            owners: RwLock::default(),
            random: Mutex::new(SeededRandom::new(options.seed)),
            longest_wait: options.longest_wait,
            unrouted: Unrouted::new(),
        })
    }

    /// Runs an invocation, within a span if anybody records it.
    fn traced(&self, invocation: Invocation) -> BoxFuture<'_, Result<Response>> {
        let span = tracing::info_span!(
            "invoke",
            function = %invocation.function,
            invocation = %invocation.id,
            trace_id = field::Empty,
            parent_id = field::Empty,
        );
        if span.is_disabled() {
            return Box::pin(self.route(invocation));
        }
        let trace = invocation.trace;
        if trace.is_present() {
            span.record(
                "trace_id",
                field::display(format_args!("{:032x}", trace.trace_id)),
            );
            span.record(
                "parent_id",
                field::display(format_args!("{:016x}", trace.parent_id)),
            );
        }
        Box::pin(self.route(invocation).instrument(span))
    }

    /// The pool of the newest revision of a function, if it was called before.
    pub(super) fn latest(&self, function: &FunctionRef) -> Option<Arc<Pool>> {
        self.routes.latest(function)
    }

    /// Which revision a reference means, and its pool.
    pub(super) async fn resolve(&self, function: &FunctionRef) -> Result<Arc<Pool>> {
        let id = FunctionId {
            namespace: function.namespace.clone(),
            name: function.name.clone(),
        };
        let known = self.routes.record(&id);
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
        let id = RevisionId {
            function: id,
            number,
        };
        if let Some(pool) = self.routes.pool(&id) {
            return Ok(pool);
        }
        if record.latest.number == number {
            return Ok(self.routes.pool_or_new(&record.latest));
        }
        let revision = self.metadata.revision(&id.function, number).await?;
        Ok(self.routes.pool_or_new(&revision))
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

    fn hint(&self, hint: &PrewarmHint) {
        let id = FunctionId {
            namespace: hint.function.namespace.clone(),
            name: hint.function.name.clone(),
        };
        let Some(record) = self.routes.record(&id) else {
            return;
        };
        let Some(number) = self.choose(&record, &hint.function.qualifier) else {
            return;
        };
        let id = RevisionId {
            function: id,
            number,
        };
        // An older revision that has never been called is not worth a look into the registry.
        let pool = match record.latest.number == number {
            true => Some(self.routes.pool_or_new(&record.latest)),
            false => self.routes.pool(&id),
        };
        if let Some(pool) = pool {
            pool.hint(hint.concurrency);
        }
    }
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

#[async_trait]
impl FunctionRouter for SlotRouter {
    fn invoke<'a, 'f>(&'a self, invocation: Invocation) -> BoxFuture<'f, Result<Response>>
    where
        'a: 'f,
        Self: 'f,
    {
        self.traced(invocation)
    }

    fn prewarm(&self, hint: PrewarmHint) {
        self.hint(&hint);
    }

    fn add(&self, add: AddInstance) {
        loop {
            let pool = self.routes.pool_or_new(&add.revision);
            let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
            owners.insert(add.instance.id(), pool.clone());
            drop(owners);
            if pool.add(&add) {
                return;
            }
        }
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
        let clock = self.shared.clock.clone();
        self.shared.listeners.listen(clock, || self.routes.pools())
    }

    fn refuse(&self, revision: &RevisionId, error: Error) {
        if let Some(pool) = self.routes.pool(revision) {
            pool.refuse(&error);
        }
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.shared.draining.store(true, Ordering::Release);
        drain::drain(&self.shared, || self.routes.pools(), deadline).await
    }

    fn describe(&self) -> Description {
        Description::new("SlotRouter").provides(Component::F5)
    }
}

#[async_trait]
impl Invoker for SlotRouter {
    fn invoke<'a, 'f>(&'a self, invocation: Invocation) -> BoxFuture<'f, Result<Response>>
    where
        'a: 'f,
        Self: 'f,
    {
        self.traced(invocation)
    }

    fn prewarm(&self, hint: PrewarmHint) {
        self.hint(&hint);
    }

    fn describe(&self) -> Description {
        FunctionRouter::describe(self)
    }
}
