//! [`Pool`]: the instances and the queue of one revision.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use faas_core::explain::DecisionLog;
use faas_core::telemetry::{
    INSTANCES, INVOCATION_SECONDS, INVOCATIONS, QUEUE_DEPTH, QUEUE_SECONDS,
};
use faas_core::{
    Clock, DecisionId, Error, InstanceId, Monotonic, Namespace, Outcome, Result, StartKind,
    Timeline,
};
use metrics::{Counter, Gauge, Histogram};
use tokio::sync::oneshot;

use super::AddInstance;
use super::demand::Listeners;
use super::slots::{Asked, HandOver, Slots, Taken, Ticket};
use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::instance::{FunctionInstance, Permit, SlotOwner};
use crate::registry::FunctionRevision;

/// What all pools of a router share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) decisions: DecisionLog,
    pub(super) listeners: Listeners,
    pub(super) queued: AtomicUsize,
    pub(super) total_bound: usize,
    pub(super) queue_bound: usize,
    /// Whether new invocations are refused. It is read under a pool's lock, so that whoever sets
    /// it and then looks at the pool sees all that it will ever run.
    pub(super) draining: AtomicBool,
}

/// A slot, and what to do it with.
pub(super) struct Grant {
    pub(super) instance: Arc<dyn FunctionInstance>,
    pub(super) permit: Permit,
    pub(super) start: StartKind,
    /// Where the time of the instance's start went, if the invocation waited for it.
    pub(super) started: Timeline,
    /// The scaling decision that the instance was started for, likewise.
    pub(super) caused_by: Option<DecisionId>,
}

/// What became of a request for a slot.
pub(super) enum Admission {
    Granted(Grant),
    Queued(Waiter),
    Full { queued: usize },
    Draining,
}

/// Answers one that waits.
type Sender = oneshot::Sender<Result<Grant>>;

struct Member {
    instance: Arc<dyn FunctionInstance>,
    timeline: Timeline,
    caused_by: Option<DecisionId>,
}

struct State {
    slots: Slots<Sender>,
    members: HashMap<InstanceId, Member>,
    /// Slots that a hint asks for, until there are so many free ones.
    hinted: u32,
}

/// The instances and the queue of one revision.
pub(super) struct Pool {
    number: u64,
    revision: Arc<FunctionRevision>,
    shared: Arc<Shared>,
    state: Mutex<State>,
    pub(super) meters: Meters,
    /// For the permits, which own the pool that they belong to.
    this: Weak<Self>,
}

impl Pool {
    pub(super) fn new(
        number: u64,
        revision: Arc<FunctionRevision>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let state = State {
            slots: Slots::new(shared.queue_bound),
            members: HashMap::new(),
            hinted: 0,
        };
        Arc::new_cyclic(|this| Self {
            number,
            meters: Meters::new(&revision),
            revision,
            shared,
            state: Mutex::new(state),
            this: this.clone(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn id(&self) -> RevisionId {
        self.revision.id()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Demand and supply as they are now.
    pub(super) fn load(&self) -> RevisionLoad {
        let config = &self.revision.config;
        let mut load = RevisionLoad::idle(
            config.concurrency,
            config.min_instances,
            config.max_instances,
            config.resources.clone(),
        );
        let state = self.state();
        load.running = state.slots.running();
        load.queued = u32::try_from(state.slots.queued()).unwrap_or(u32::MAX);
        load.queued = load.queued.max(state.hinted);
        load.ready = u32::try_from(state.slots.ready()).unwrap_or(u32::MAX);
        load.idle = state.slots.idle();
        load
    }

    /// Takes a slot, or waits for one.
    pub(super) fn admit(&self, tenant: &Namespace, deadline: Option<Monotonic>) -> Admission {
        let admission = self.try_admit(tenant, deadline);
        self.changed();
        admission
    }

    fn try_admit(&self, tenant: &Namespace, deadline: Option<Monotonic>) -> Admission {
        let mut state = self.state();
        if self.shared.draining.load(Ordering::Acquire) {
            return Admission::Draining;
        }
        if let Some(taken) = state.slots.take() {
            return match self.grant(&state, taken) {
                Some(grant) => Admission::Granted(grant),
                None => Admission::Full { queued: 0 },
            };
        }
        let queued = self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        if queued < self.shared.total_bound
            && let Asked::Queued(ticket) = state.slots.ask(tenant, deadline, sender)
            && let Some(pool) = self.this.upgrade()
        {
            self.meters.depth.increment(1.0);
            let tenant = tenant.clone();
            return Admission::Queued(Waiter {
                pool,
                tenant,
                ticket,
                receiver,
            });
        }
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        Admission::Full {
            queued: state.slots.queued(),
        }
    }

    fn grant(&self, state: &State, taken: Taken) -> Option<Grant> {
        let owner = self.this.upgrade()?;
        let member = state.members.get(&taken.instance)?;
        let waited_for = taken.start == StartKind::Cold;
        Some(Grant {
            instance: member.instance.clone(),
            permit: Permit::new(owner, taken.instance),
            start: taken.start,
            started: if waited_for {
                member.timeline
            } else {
                Timeline::default()
            },
            caused_by: member.caused_by.filter(|_| waited_for),
        })
    }

    /// Pairs what was handed over with what it is done with, to be sent without the lock: a grant
    /// whose receiver is gone frees its slot, which locks again.
    fn pair(
        &self,
        state: &State,
        handed: impl IntoIterator<Item = HandOver<Sender>>,
    ) -> Vec<(Sender, Grant)> {
        let pairs = handed
            .into_iter()
            .filter_map(|hand| Some((hand.waiter, self.grant(state, hand.taken)?)));
        pairs.collect()
    }

    fn send(&self, pairs: Vec<(Sender, Grant)>) {
        for (waiter, grant) in pairs {
            self.left_queue(1);
            // An error is a grant to one that is gone; dropping it frees the slot.
            drop(waiter.send(Ok(grant)));
        }
    }

    fn left_queue(&self, count: usize) {
        self.shared.queued.fetch_sub(count, Ordering::Relaxed);
        self.meters.depth.decrement(count as f64);
    }

    /// An instance takes invocations.
    pub(super) fn add(&self, add: AddInstance) {
        let id = add.instance.id();
        let limit = add.revision.config.concurrency;
        let mut state = self.state();
        let member = Member {
            instance: add.instance,
            timeline: add.timeline,
            caused_by: add.caused_by,
        };
        state.members.insert(id, member);
        let now = self.shared.clock.now();
        let handed = state.slots.add(id, limit, add.start, now);
        if state.slots.free() >= state.hinted {
            state.hinted = 0;
        }
        let pairs = self.pair(&state, handed);
        self.meters.instances.set(state.slots.ready() as f64);
        drop(state);
        self.send(pairs);
        self.changed();
    }

    /// An instance takes no more; whether it was there.
    pub(super) fn remove(&self, instance: InstanceId) -> bool {
        let mut state = self.state();
        let was_there = state.slots.remove(instance);
        let member = state.members.remove(&instance);
        self.meters.instances.set(state.slots.ready() as f64);
        drop(state);
        // Without the lock: what an instance does when it is dropped is its own.
        drop(member);
        self.changed();
        was_there
    }

    /// That so many slots will be needed.
    pub(super) fn hint(&self, slots: u32) {
        let mut state = self.state();
        if state.slots.free() < slots {
            state.hinted = state.hinted.max(slots);
        }
        drop(state);
        self.changed();
    }

    /// Invocations that wait, and those that run.
    pub(super) fn unfinished(&self) -> (usize, u32) {
        let state = self.state();
        (state.slots.queued(), state.slots.running())
    }

    /// Nothing will come: who waits is told why.
    pub(super) fn refuse(&self, error: &Error) {
        let mut state = self.state();
        state.hinted = 0;
        let waiters = state.slots.clear_queue();
        drop(state);
        self.left_queue(waiters.len());
        for waiter in waiters {
            // An error is one that is gone.
            drop(waiter.send(Err(error.clone())));
        }
        self.changed();
    }

    /// Whether the revision has neither instances nor demand.
    pub(super) fn is_empty(&self) -> bool {
        self.state().slots.is_empty()
    }

    fn changed(&self) {
        if let Some(pool) = self.this.upgrade() {
            self.shared.listeners.changed(&pool);
        }
    }
}

impl SlotOwner for Pool {
    fn released(&self, instance: InstanceId) {
        let mut state = self.state();
        let now = self.shared.clock.now();
        let handed = state.slots.release(instance, now);
        let pairs = self.pair(&state, handed);
        drop(state);
        self.send(pairs);
        self.changed();
    }
}

/// A place in a queue; dropping it leaves the queue, or frees a slot that was just granted.
pub(super) struct Waiter {
    pool: Arc<Pool>,
    tenant: Namespace,
    ticket: Ticket,
    receiver: oneshot::Receiver<Result<Grant>>,
}

impl Waiter {
    /// The slot, or why there will be none.
    pub(super) async fn granted(&mut self) -> Result<Grant> {
        let lost = |_| Error::internal("invoke", "its place in the queue was lost");
        (&mut self.receiver).await.map_err(lost)?
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let left = self.pool.state().slots.leave(&self.tenant, self.ticket);
        if left.is_some() {
            self.pool.left_queue(1);
            self.pool.changed();
        }
    }
}

/// Handles of the metrics of one function, made once.
pub(super) struct Meters {
    ended: [[Counter; 3]; 3],
    seconds: [Histogram; 3],
    pub(super) waited: Histogram,
    depth: Gauge,
    instances: Gauge,
}

const STARTS: [StartKind; 3] = [StartKind::Cold, StartKind::Warm, StartKind::Prewarmed];

impl Meters {
    fn new(revision: &FunctionRevision) -> Self {
        let namespace = revision.function.namespace.to_string();
        let function = revision.function.name.to_string();
        let labels = [("namespace", namespace), ("function", function)];
        let ended = STARTS.map(|start| {
            ["success", "failure", "error"].map(|outcome| {
                let start = start.to_string();
                let [namespace, function] = labels.clone();
                let labels = [
                    namespace,
                    function,
                    ("start", start),
                    ("outcome", outcome.into()),
                ];
                metrics::counter!(INVOCATIONS, &labels)
            })
        });
        let seconds = STARTS.map(|start| {
            let [namespace, function] = labels.clone();
            let labels = [namespace, function, ("start", start.to_string())];
            metrics::histogram!(INVOCATION_SECONDS, &labels)
        });
        Self {
            ended,
            seconds,
            waited: metrics::histogram!(QUEUE_SECONDS, &labels),
            depth: metrics::gauge!(QUEUE_DEPTH, &labels),
            instances: metrics::gauge!(INSTANCES, &labels),
        }
    }

    /// An invocation ended; `None` is an error of the platform.
    pub(super) fn ended(
        &self,
        start: StartKind,
        outcome: Option<&Outcome>,
        took: std::time::Duration,
    ) {
        let kind = match start {
            StartKind::Cold => 0,
            StartKind::Warm => 1,
            StartKind::Prewarmed => 2,
        };
        let how = match outcome {
            Some(Outcome::Success) => 0,
            Some(_) => 1,
            None => 2,
        };
        self.ended[kind][how].increment(1);
        self.seconds[kind].record(took.as_secs_f64());
    }
}
