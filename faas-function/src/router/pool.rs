//! [`Pool`]: the instances and the queue of one revision.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, DecisionId, Error, InstanceId, Monotonic, Namespace, Result, StartKind, Timeline,
    WorkloadId,
};
use tokio::sync::oneshot;

use super::AddInstance;
use super::demand::Listeners;
use super::meters::Meters;
use super::slots::{Asked, HandOver, Slots, Taken, Ticket};
use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::deployer::plan::workload_id;
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

/// An instance, and how it came to be.
pub(super) struct Member {
    instance: Arc<dyn FunctionInstance>,
    pub(super) meters: Arc<Meters>,
    timeline: Timeline,
    caused_by: Option<DecisionId>,
}

impl Member {
    pub(super) fn instance(&self) -> &dyn FunctionInstance {
        &*self.instance
    }

    /// Where the time of its start went.
    pub(super) fn started(&self) -> &Timeline {
        &self.timeline
    }
}

/// A slot, and what to do with it.
pub(super) struct Grant {
    member: Arc<Member>,
    pub(super) permit: Permit,
    start: StartKind,
}

impl Grant {
    /// The instance, the right to its slot, and what the invocation is.
    pub(super) fn into_parts(self) -> (Arc<Member>, Permit, StartKind) {
        (self.member, self.permit, self.start)
    }

    /// The scaling decision that the instance was started for, if the invocation waited for it.
    pub(super) fn caused_by(&self) -> Option<DecisionId> {
        let waited_for = self.start == StartKind::Cold;
        self.member.caused_by.filter(|_| waited_for)
    }
}

/// What became of a request for a slot.
pub(super) enum Admission {
    Granted(Grant),
    Queued(Waiter),
    Full {
        pool: Arc<Pool>,
        queued: usize,
    },
    Draining,
    /// Nothing will ever run here; without an error, another pool has taken its place.
    Closed(Option<Error>),
}

/// Answers one that waits.
type Sender = oneshot::Sender<Result<Grant>>;
type Receiver = oneshot::Receiver<Result<Grant>>;
type Pairs = Vec<(Sender, Grant)>;

struct State {
    slots: Slots<Sender, Arc<Member>>,
    /// Slots that a hint asks for, until there are so many free ones.
    hinted: u32,
    /// Takes no more: why.
    closed: Option<Option<Error>>,
}

/// The instances and the queue of one revision.
pub(super) struct Pool {
    number: u64,
    revision: Arc<FunctionRevision>,
    workload: WorkloadId,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Whether somebody is to be told soon already that something runs or has ended.
    stirred: AtomicBool,
    pub(super) meters: Arc<Meters>,
    /// For what is told of it, and for permits, which own the pool that they belong to.
    this: Weak<Self>,
}

impl Pool {
    pub(super) fn new(
        number: u64,
        revision: Arc<FunctionRevision>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let state = State {
            slots: Slots::new(shared.queue_bound, shared.clock.now()),
            hinted: 0,
            closed: None,
        };
        Arc::new_cyclic(|this| Self {
            number,
            meters: Arc::new(Meters::new(&revision)),
            workload: workload_id(&revision.id()),
            revision,
            shared,
            state: Mutex::new(state),
            stirred: AtomicBool::new(false),
            this: this.clone(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn id(&self) -> RevisionId {
        self.revision.id()
    }

    /// Bytes of a payload at most.
    pub(super) fn request_limit(&self) -> u64 {
        self.revision.config.request_limit
    }

    /// What its instances are replicas of, for whoever asks why there are none.
    pub(super) fn workload(&self) -> WorkloadId {
        self.workload
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Demand and supply as they are now, to be told: what changes from now on is told anew.
    pub(super) fn report(&self) -> RevisionLoad {
        // Before the state is read: a change after that finds the flag lowered.
        self.stirred.store(false, Ordering::Release);
        self.load()
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
        load.busy = Some(state.slots.busy(self.shared.clock.now()));
        load.queued = u32::try_from(state.slots.queued()).unwrap_or(u32::MAX);
        load.queued = load.queued.max(state.hinted);
        load.ready = u32::try_from(state.slots.ready()).unwrap_or(u32::MAX);
        load.idle = state.slots.idle();
        load
    }

    /// Takes a slot, or waits for one.
    pub(super) fn admit(
        self: Arc<Self>,
        tenant: &Namespace,
        deadline: Option<Monotonic>,
        now: Monotonic,
    ) -> Admission {
        let mut state = self.state();
        if let Some(why) = &state.closed {
            return Admission::Closed(why.clone());
        }
        if self.shared.draining.load(Ordering::Acquire) {
            return Admission::Draining;
        }
        if let Some(taken) = state.slots.take(now) {
            drop(state);
            self.stir();
            return Admission::Granted(self.grant(taken));
        }
        let asked = self.queue(&mut state, tenant, deadline, now);
        let queued = state.slots.queued();
        drop(state);
        self.changed();
        match asked {
            Some((ticket, receiver)) => Admission::Queued(Waiter {
                pool: self,
                tenant: tenant.clone(),
                ticket,
                receiver,
            }),
            None => Admission::Full { pool: self, queued },
        }
    }

    fn queue(
        &self,
        state: &mut State,
        tenant: &Namespace,
        deadline: Option<Monotonic>,
        now: Monotonic,
    ) -> Option<(Ticket, Receiver)> {
        let queued = self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        if queued < self.shared.total_bound
            && let Asked::Queued(ticket) = state.slots.ask(tenant, deadline, sender, now)
        {
            self.meters.depth.increment(1.0);
            return Some((ticket, receiver));
        }
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        None
    }

    fn grant(self: Arc<Self>, taken: Taken<Arc<Member>>) -> Grant {
        Grant {
            permit: Permit::new(self, taken.instance),
            member: taken.member,
            start: taken.start,
        }
    }

    /// Pairs what was handed over with who gets it, to be sent without the lock: a grant whose
    /// receiver is gone frees its slot, which locks again.
    fn pair(&self, handed: impl IntoIterator<Item = HandOver<Sender, Arc<Member>>>) -> Pairs {
        let handed = handed.into_iter();
        let Some(this) = self.this.upgrade() else {
            return Pairs::new();
        };
        let pairs = handed.map(|hand| (hand.waiter, this.clone().grant(hand.taken)));
        pairs.collect()
    }

    fn send(&self, pairs: Pairs) {
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

    /// An instance takes invocations; false if another pool has taken this one's place.
    pub(super) fn add(&self, add: &AddInstance) -> bool {
        let (id, limit) = (add.instance.id(), add.revision.config.concurrency);
        let member = Arc::new(Member {
            instance: add.instance.clone(),
            meters: self.meters.clone(),
            timeline: add.timeline,
            caused_by: add.caused_by,
        });
        let mut state = self.state();
        if matches!(state.closed, Some(None)) {
            return false;
        }
        let now = self.shared.clock.now();
        let handed = state.slots.add(id, member, limit, add.start, now);
        if state.slots.free() >= state.hinted {
            state.hinted = 0;
        }
        let pairs = self.pair(handed);
        self.meters.instances.set(state.slots.ready() as f64);
        drop(state);
        self.send(pairs);
        self.changed();
        true
    }

    /// An instance takes no more.
    pub(super) fn remove(&self, instance: InstanceId) {
        let mut state = self.state();
        let member = state.slots.remove(instance);
        self.meters.instances.set(state.slots.ready() as f64);
        drop(state);
        // Without the lock: what an instance does when it is dropped is its own.
        drop(member);
        self.changed();
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
        let waiters = clear(&mut self.state());
        self.dismiss(waiters, error);
    }

    /// As [`refuse`](Self::refuse), and whoever comes from now on is told the same.
    pub(super) fn close(&self, error: &Error) {
        let mut state = self.state();
        state.closed = Some(Some(error.clone()));
        let waiters = clear(&mut state);
        drop(state);
        self.dismiss(waiters, error);
    }

    /// Closes it if it has neither instances nor work, without an error: whoever comes all the same
    /// looks for another one. Whether it is closed.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.state();
        let idle = state.slots.is_empty() && state.hinted == 0;
        if idle && state.closed.is_none() {
            state.closed = Some(None);
        }
        state.closed.is_some()
    }

    fn dismiss(&self, waiters: Vec<Sender>, error: &Error) {
        self.left_queue(waiters.len());
        for waiter in waiters {
            // An error is one that is gone.
            drop(waiter.send(Err(error.clone())));
        }
        self.changed();
    }

    /// What runs has changed.
    fn stir(&self) {
        if self.shared.draining.load(Ordering::Relaxed) {
            return self.changed();
        }
        // Read first: most calls find it raised, and write nothing that other threads read.
        if !self.stirred.load(Ordering::Relaxed)
            && !self.stirred.swap(true, Ordering::AcqRel)
            && let Some(pool) = self.this.upgrade()
        {
            self.shared.listeners.stirred(&pool);
        }
    }

    fn changed(&self) {
        if let Some(pool) = self.this.upgrade() {
            self.shared.listeners.changed(&pool);
        }
    }
}

fn clear(state: &mut State) -> Vec<Sender> {
    state.hinted = 0;
    state.slots.clear_queue()
}

impl SlotOwner for Pool {
    fn released(&self, instance: InstanceId) {
        let now = self.shared.clock.now();
        let mut state = self.state();
        let handed = state.slots.release(instance, now);
        drop(state);
        match handed {
            Some(handed) => {
                let pairs = self.pair([handed]);
                self.send(pairs);
                self.changed();
            }
            None => self.stir(),
        }
    }
}

/// A place in a queue; dropping it leaves the queue, or frees a slot that was just granted.
pub(super) struct Waiter {
    pub(super) pool: Arc<Pool>,
    tenant: Namespace,
    ticket: Ticket,
    receiver: Receiver,
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
