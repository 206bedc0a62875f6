//! [`Pool`]: the instances and the queue of one revision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{Clock, Error, InstanceId, Monotonic, Namespace, WorkloadId};

use super::AddInstance;
use super::demand::Listeners;
use super::drain;
use super::grant::{Answer, Grant, Member, Receiver, Sender, Waiter};
use super::meters::Meters;
use super::places::Places;
use super::slots::{Asked, HandOver, Slots, Taken, Ticket};
use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::deployer::plan::workload_id;
use crate::instance::{Permit, SlotOwner};
use crate::registry::FunctionRevision;

/// What all pools of a router share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) decisions: DecisionLog,
    pub(super) listeners: Listeners,
    pub(super) places: Arc<Places>,
    pub(super) queue_bound: usize,
    /// When one that was refused may come again.
    pub(super) retry_after: Duration,
    /// Whether new invocations are refused. It is read under a pool's lock, so that whoever sets
    /// it and then looks at the pool sees all that it will ever run.
    pub(super) draining: AtomicBool,
}

/// What became of a request for a slot.
pub(super) enum Admission {
    Granted(Grant),
    Queued(Waiter),
    Full {
        pool: Arc<Pool>,
        queued: usize,
    },
    /// Nothing runs here any more: why.
    Refused(Arc<Pool>, Error),
    /// Another pool has taken its place.
    Elsewhere,
}

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

    /// Invocations that wait.
    pub(super) fn queued(&self) -> usize {
        self.state().slots.queued()
    }

    /// Takes a slot, or waits for one.
    pub(super) fn admit(
        self: Arc<Self>,
        tenant: &Namespace,
        deadline: Option<Monotonic>,
        now: Monotonic,
    ) -> Admission {
        let mut state = self.state();
        let refused = match &state.closed {
            Some(None) => return Admission::Elsewhere,
            Some(Some(why)) => Some(why.clone()),
            None => None,
        };
        let draining = || self.shared.draining.load(Ordering::Acquire);
        if let Some(why) = refused.or_else(|| draining().then(drain::refusal)) {
            drop(state);
            return Admission::Refused(self, why);
        }
        if let Some(taken) = state.slots.take(now) {
            drop(state);
            self.stir();
            return Admission::Granted(self.grant(taken));
        }
        let asked = self.queue(&mut state, tenant, deadline, now);
        let queued = state.slots.queued();
        drop(state);
        let Some((ticket, receiver, displaced)) = asked else {
            return Admission::Full { pool: self, queued };
        };
        if let Some(displaced) = displaced {
            displaced.send(Answer::Displaced(self.displaced()));
        }
        self.changed();
        Admission::Queued(Waiter::new(self, tenant.clone(), ticket, receiver))
    }

    /// A place in the queue, and who lost one for it.
    fn queue(
        &self,
        state: &mut State,
        tenant: &Namespace,
        deadline: Option<Monotonic>,
        now: Monotonic,
    ) -> Option<(Ticket, Receiver, Option<Sender>)> {
        let place = self.shared.places.take(tenant)?;
        let (sender, receiver) = Sender::new(place, self.meters.clone());
        match state.slots.ask(tenant, deadline, sender, now) {
            Asked::Queued(ticket) => Some((ticket, receiver, None)),
            Asked::Displaced(ticket, other) => Some((ticket, receiver, Some(other))),
            // No slot was free a moment ago, under the same lock.
            Asked::Full | Asked::Granted(_) => None,
        }
    }

    /// Why one loses its place.
    fn displaced(&self) -> Error {
        let function = &self.revision.function;
        let message = format!(
            "the queue of {function} is full, and its tenant has the most places: the newest gave \
             way to another tenant's"
        );
        Error::exhausted("invoke", message).with_retry_after(self.shared.retry_after)
    }

    /// One that waits leaves.
    pub(super) fn leave(&self, tenant: &Namespace, ticket: Ticket) {
        let left = self.state().slots.leave(tenant, ticket);
        if left.is_some() {
            drop(left);
            self.changed();
        }
    }

    fn grant(self: Arc<Self>, taken: Taken<Arc<Member>>) -> Grant {
        Grant::new(taken.member, Permit::new(self, taken.instance), taken.start)
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

    fn send(pairs: Pairs) {
        for (waiter, grant) in pairs {
            waiter.send(Answer::Granted(grant));
        }
    }

    /// An instance takes invocations; false if another pool has taken this one's place.
    pub(super) fn add(&self, add: &AddInstance) -> bool {
        let (id, limit) = (add.instance.id(), add.revision.config.concurrency);
        let member = Arc::new(Member::new(add, self.meters.clone()));
        let mut state = self.state();
        if matches!(state.closed, Some(None)) {
            return false;
        }
        let (now, ready) = (self.shared.clock.now(), state.slots.ready());
        let handed = state.slots.add(id, member, limit, add.start, now);
        if state.slots.free() >= state.hinted {
            state.hinted = 0;
        }
        let pairs = self.pair(handed);
        let more = state.slots.ready() - ready;
        drop(state);
        self.meters.instances.increment(more as f64);
        Self::send(pairs);
        self.changed();
        true
    }

    /// An instance takes no more.
    pub(super) fn remove(&self, instance: InstanceId) {
        let mut state = self.state();
        let member = state.slots.remove(instance);
        drop(state);
        if member.is_some() {
            // Of this pool alone: other revisions of the function have instances, too.
            self.meters.instances.decrement(1.0);
        }
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
        for waiter in waiters {
            waiter.send(Answer::Refused(error.clone()));
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
                Self::send(pairs);
                self.changed();
            }
            None => self.stir(),
        }
    }
}
