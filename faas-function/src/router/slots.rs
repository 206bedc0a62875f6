//! [`Slots`]: who gets which slot of one revision's instances, as a plain state machine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use faas_core::{InstanceId, Monotonic, Namespace, StartKind};
use hashbrown::HashMap;

/// Names one waiting invocation of one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A slot that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken<M> {
    /// Of which instance.
    pub instance: InstanceId,
    /// What the caller knows of the instance.
    pub member: M,
    /// What the invocation is that uses it.
    pub start: StartKind,
}

/// What became of a request for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<W, M> {
    /// It has one.
    Granted(Taken<M>),
    /// It waits.
    Queued(Ticket),
    /// It waits in place of another tenant's newest, which waits no longer.
    Displaced(Ticket, W),
    /// The queue is full.
    Full,
}

/// A slot that went to one that waited.
#[derive(Debug)]
pub struct HandOver<W, M> {
    /// Which slot.
    pub taken: Taken<M>,
    /// Who waited.
    pub waiter: W,
}

#[derive(Debug)]
struct Seat<M> {
    /// `None` once it was removed.
    member: Option<M>,
    concurrency: u32,
    used: u32,
    /// What the first invocation is; `None` once it has served.
    first: Option<StartKind>,
    idle_since: Monotonic,
    /// Which entry of the stack is valid.
    stamp: u64,
}

impl<M: Clone> Seat<M> {
    /// Slots that are free.
    fn room(&self) -> u32 {
        match self.member {
            Some(_) => self.concurrency.saturating_sub(self.used),
            None => 0,
        }
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// A slot, if there is room.
    fn take(&mut self, instance: InstanceId, waited: bool) -> Option<Taken<M>> {
        if !self.has_room() {
            return None;
        }
        let member = self.member.clone()?;
        self.used += 1;
        let start = match self.first.take() {
            // Cold is what waited for the start; what came later found it started.
            Some(StartKind::Cold) if !waited => StartKind::Prewarmed,
            Some(first) => first,
            None => StartKind::Warm,
        };
        Some(Taken {
            instance,
            member,
            start,
        })
    }
}

#[derive(Debug)]
struct Waiting<W> {
    deadline: Option<Monotonic>,
    waiter: W,
}

/// The slots and the queue of one revision.
///
/// A pick is the instance that was used last and has room, so that the others can go: amortised
/// O(1), by a stack whose outdated entries are skipped when they come up. Waiting invocations are
/// served in turn by tenant, and within a tenant as they came; those whose deadline has passed are
/// passed over. When the queue is full, a tenant that has less of it gets its place from the one that
/// has most, which loses its newest: so nobody is kept out by the length of another's queue. `W` is
/// what the caller remembers of a waiting invocation, `M` what it knows of an instance.
#[derive(Debug)]
pub struct Slots<W, M> {
    seats: HashMap<InstanceId, Seat<M>>,
    stack: Vec<(InstanceId, u64)>,
    next_stamp: u64,
    tenants: HashMap<Namespace, BTreeMap<Ticket, Waiting<W>>>,
    turn: VecDeque<Namespace>,
    next_ticket: u64,
    queued: usize,
    bound: usize,
    running: u32,
    /// Instances that take invocations.
    ready: usize,
    /// Slots that are free.
    free: u32,
    /// The integral of `running` over time, up to `at`.
    busy: Duration,
    at: Monotonic,
}

impl<W, M: Clone> Slots<W, M> {
    /// No instances, and a queue for at most `bound` invocations.
    pub fn new(bound: usize, now: Monotonic) -> Self {
        Self {
            seats: HashMap::new(),
            stack: Vec::new(),
            next_stamp: 0,
            tenants: HashMap::new(),
            turn: VecDeque::new(),
            next_ticket: 0,
            queued: 0,
            bound,
            running: 0,
            ready: 0,
            free: 0,
            busy: Duration::ZERO,
            at: now,
        }
    }

    /// Takes a free slot, if there is one. (Nobody is overtaken: a slot that is free while some
    /// wait is one that all of them are too late for.)
    pub fn take(&mut self, now: Monotonic) -> Option<Taken<M>> {
        self.pick(false, now)
    }

    /// Takes a free slot, or waits for one, if need be in the place of another.
    pub fn ask(
        &mut self,
        tenant: &Namespace,
        deadline: Option<Monotonic>,
        waiter: W,
        now: Monotonic,
    ) -> Asked<W, M> {
        if let Some(taken) = self.take(now) {
            return Asked::Granted(taken);
        }
        let mut displaced = None;
        if self.queued >= self.bound {
            displaced = self.displace(tenant);
            if displaced.is_none() {
                return Asked::Full;
            }
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queued += 1;
        let queue = self.tenants.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.turn.push_back(tenant.clone());
        }
        queue.insert(ticket, Waiting { deadline, waiter });
        match displaced {
            Some(waiter) => Asked::Displaced(ticket, waiter),
            None => Asked::Queued(ticket),
        }
    }

    /// Takes the newest of the tenant whose queue is the longest, if it stays at least as long as
    /// that of `tenant` becomes.
    fn displace(&mut self, tenant: &Namespace) -> Option<W> {
        let own = self.tenants.get(tenant).map_or(0, BTreeMap::len);
        // Most who find the queue full have filled it themselves: they cost no look at the others.
        if 2 * own + 2 > self.queued {
            return None;
        }
        let others = self.tenants.iter();
        let (longest, queue) = others.max_by_key(|(name, queue)| (queue.len(), *name))?;
        if queue.len() < own + 2 {
            return None;
        }
        let (longest, newest) = (longest.clone(), *queue.last_key_value()?.0);
        self.leave(&longest, newest)
    }

    /// Leaves the queue; `None` if it no longer waits.
    pub fn leave(&mut self, tenant: &Namespace, ticket: Ticket) -> Option<W> {
        let queue = self.tenants.get_mut(tenant)?;
        let left = queue.remove(&ticket)?;
        self.queued -= 1;
        if queue.is_empty() {
            self.tenants.remove(tenant);
            self.turn.retain(|other| other != tenant);
        }
        Some(left.waiter)
    }

    /// All that wait leave.
    pub fn clear_queue(&mut self) -> Vec<W> {
        self.turn.clear();
        self.queued = 0;
        let queues = std::mem::take(&mut self.tenants);
        let waiting = queues.into_values().flat_map(BTreeMap::into_values);
        waiting.map(|left| left.waiter).collect()
    }

    /// An instance takes invocations, as many at once as `concurrency` says. One that was removed
    /// and still works keeps the slots that are in use.
    pub fn add(
        &mut self,
        instance: InstanceId,
        member: M,
        concurrency: u32,
        first: StartKind,
        now: Monotonic,
    ) -> Vec<HandOver<W, M>> {
        let seat = self.seats.entry(instance).or_insert(Seat {
            member: None,
            concurrency,
            used: 0,
            first: Some(first),
            idle_since: now,
            stamp: 0,
        });
        let room = seat.room();
        self.ready += usize::from(seat.member.is_none());
        seat.concurrency = concurrency;
        seat.member = Some(member);
        self.free = self.free - room + seat.room();
        // What is on the stack already has its place there by when it was used last.
        if room == 0 {
            self.lift(instance);
        }
        self.hand_over(now)
    }

    /// An instance takes no more; what was known of it, if it was there.
    pub fn remove(&mut self, instance: InstanceId) -> Option<M> {
        let seat = self.seats.get_mut(&instance)?;
        let room = seat.room();
        let member = seat.member.take()?;
        self.ready -= 1;
        self.free -= room;
        if seat.used == 0 {
            self.seats.remove(&instance);
        }
        Some(member)
    }

    /// A slot of that instance is free again.
    pub fn release(&mut self, instance: InstanceId, now: Monotonic) -> Option<HandOver<W, M>> {
        let seat = self.seats.get_mut(&instance)?;
        if seat.used == 0 {
            return None;
        }
        let room = seat.room();
        seat.used -= 1;
        self.free += seat.room() - room;
        let (idle, removed) = (seat.used == 0, seat.member.is_none());
        if idle {
            seat.idle_since = now;
        }
        self.pass(now);
        self.running -= 1;
        if removed {
            if idle {
                self.seats.remove(&instance);
            }
            return None;
        }
        self.lift(instance);
        self.hand_over(now).pop()
    }

    /// Time passes: as many as ran until now were busy.
    fn pass(&mut self, now: Monotonic) {
        self.busy = self.busy(now);
        self.at = self.at.max(now);
    }

    /// How long all that ran together have been busy until now.
    pub fn busy(&self, now: Monotonic) -> Duration {
        let passed = now.since(self.at).saturating_mul(self.running);
        self.busy.saturating_add(passed)
    }

    /// Invocations that wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Invocations that run.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Slots that are free.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Instances that take invocations.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Instances without work and since when, the longest idle first: the stack has them in that
    /// order.
    pub fn idle(&self) -> Vec<(InstanceId, Monotonic)> {
        let idle = self.stack.iter().filter_map(|(id, stamp)| {
            let seat = self.seats.get(id).filter(|seat| seat.stamp == *stamp)?;
            (seat.member.is_some() && seat.used == 0).then_some((*id, seat.idle_since))
        });
        idle.collect()
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.queued == 0
    }

    /// Puts an instance on top of the stack.
    fn lift(&mut self, instance: InstanceId) {
        if self.stack.len() > 2 * self.seats.len() + 16 {
            let seats = &self.seats;
            self.stack
                .retain(|(id, stamp)| seats.get(id).is_some_and(|seat| seat.stamp == *stamp));
        }
        if let Some(seat) = self.seats.get_mut(&instance) {
            self.next_stamp += 1;
            seat.stamp = self.next_stamp;
            self.stack.push((instance, seat.stamp));
        }
    }

    fn pick(&mut self, waited: bool, now: Monotonic) -> Option<Taken<M>> {
        while let Some((instance, stamp)) = self.stack.last().copied() {
            let seat = self.seats.get_mut(&instance);
            let Some(seat) = seat.filter(|seat| seat.stamp == stamp) else {
                self.stack.pop();
                continue;
            };
            let taken = seat.take(instance, waited);
            if !seat.has_room() {
                self.stack.pop();
            }
            if taken.is_some() {
                self.pass(now);
                self.running += 1;
                self.free -= 1;
                return taken;
            }
        }
        None
    }

    fn hand_over(&mut self, now: Monotonic) -> Vec<HandOver<W, M>> {
        let mut handed = Vec::new();
        while let Some((tenant, ticket)) = self.next_waiting(now) {
            let Some(taken) = self.pick(true, now) else {
                break;
            };
            if let Some(waiter) = self.serve(&tenant, ticket) {
                handed.push(HandOver { taken, waiter });
            }
        }
        handed
    }

    /// The first of the tenant whose turn it is and that has one whose deadline has not passed. The
    /// late ones stay for their own timers to fetch, so that each is answered once.
    fn next_waiting(&self, now: Monotonic) -> Option<(Namespace, Ticket)> {
        self.turn.iter().find_map(|tenant| {
            let mut queue = self.tenants.get(tenant)?.iter();
            let (ticket, _) = queue.find(|(_, w)| w.deadline.is_none_or(|at| at > now))?;
            Some((tenant.clone(), *ticket))
        })
    }

    /// Takes one out of the queue, and sends its tenant to the end of the turn.
    fn serve(&mut self, tenant: &Namespace, ticket: Ticket) -> Option<W> {
        // The first, unless those before it are all too late.
        match self.turn.front() == Some(tenant) {
            true => drop(self.turn.pop_front()),
            false => self.turn.retain(|other| other != tenant),
        }
        let queue = self.tenants.get_mut(tenant)?;
        let served = queue.remove(&ticket)?;
        self.queued -= 1;
        if queue.is_empty() {
            self.tenants.remove(tenant);
        } else {
            self.turn.push_back(tenant.clone());
        }
        Some(served.waiter)
    }
}

#[cfg(test)]
mod tests;
