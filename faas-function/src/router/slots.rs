//! [`Slots`]: who gets which slot of one revision's instances, as a plain state machine.

use std::collections::{BTreeMap, HashMap, VecDeque};

use faas_core::{InstanceId, Monotonic, Namespace, StartKind};

/// Names one waiting invocation of one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A slot that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Of which instance.
    pub instance: InstanceId,
    /// What the invocation is that uses it.
    pub start: StartKind,
}

/// What became of a request for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It has one.
    Granted(Taken),
    /// It waits.
    Queued(Ticket),
    /// The queue is full.
    Full,
}

/// A slot that went to one that waited.
#[derive(Debug)]
pub struct HandOver<W> {
    /// Which slot.
    pub taken: Taken,
    /// Who waited.
    pub waiter: W,
}

#[derive(Debug)]
struct Seat {
    concurrency: u32,
    used: u32,
    /// What the first invocation is; `None` once it has served.
    first: Option<StartKind>,
    idle_since: Monotonic,
    /// Which entry of the stack is valid.
    stamp: u64,
    removed: bool,
}

impl Seat {
    fn has_room(&self) -> bool {
        !self.removed && self.used < self.concurrency
    }

    fn take(&mut self, instance: InstanceId, waited: bool) -> Taken {
        self.used += 1;
        let start = match self.first.take() {
            // Cold is what waited for the start; what came later found it started.
            Some(StartKind::Cold) if !waited => StartKind::Prewarmed,
            Some(first) => first,
            None => StartKind::Warm,
        };
        Taken { instance, start }
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
/// passed over. `W` is what the caller remembers of a waiting invocation.
#[derive(Debug)]
pub struct Slots<W> {
    seats: HashMap<InstanceId, Seat>,
    stack: Vec<(InstanceId, u64)>,
    next_stamp: u64,
    tenants: HashMap<Namespace, BTreeMap<Ticket, Waiting<W>>>,
    turn: VecDeque<Namespace>,
    next_ticket: u64,
    queued: usize,
    bound: usize,
}

impl<W> Slots<W> {
    /// No instances, and a queue for at most `bound` invocations.
    pub fn new(bound: usize) -> Self {
        Self {
            seats: HashMap::new(),
            stack: Vec::new(),
            next_stamp: 0,
            tenants: HashMap::new(),
            turn: VecDeque::new(),
            next_ticket: 0,
            queued: 0,
            bound,
        }
    }

    /// Takes a free slot, if there is one. (Nobody is overtaken: a slot that is free while some
    /// wait is one that all of them are too late for.)
    pub fn take(&mut self) -> Option<Taken> {
        self.pick(false)
    }

    /// Takes a free slot, or waits for one.
    pub fn ask(&mut self, tenant: &Namespace, deadline: Option<Monotonic>, waiter: W) -> Asked {
        if let Some(taken) = self.take() {
            return Asked::Granted(taken);
        }
        if self.queued >= self.bound {
            return Asked::Full;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queued += 1;
        let queue = self.tenants.entry(tenant.clone()).or_default();
        if queue.is_empty() {
            self.turn.push_back(tenant.clone());
        }
        queue.insert(ticket, Waiting { deadline, waiter });
        Asked::Queued(ticket)
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
        concurrency: u32,
        first: StartKind,
        now: Monotonic,
    ) -> Vec<HandOver<W>> {
        let seat = self.seats.entry(instance).or_insert(Seat {
            concurrency,
            used: 0,
            first: Some(first),
            idle_since: now,
            stamp: 0,
            removed: false,
        });
        seat.concurrency = concurrency;
        seat.removed = false;
        self.lift(instance);
        self.hand_over(now)
    }

    /// An instance takes no more; whether it was there.
    pub fn remove(&mut self, instance: InstanceId) -> bool {
        let Some(seat) = self.seats.get_mut(&instance) else {
            return false;
        };
        let was_there = !seat.removed;
        seat.removed = true;
        if seat.used == 0 {
            self.seats.remove(&instance);
        }
        was_there
    }

    /// A slot of that instance is free again.
    pub fn release(&mut self, instance: InstanceId, now: Monotonic) -> Option<HandOver<W>> {
        let seat = self.seats.get_mut(&instance)?;
        seat.used = seat.used.saturating_sub(1);
        if seat.used == 0 {
            seat.idle_since = now;
        }
        if seat.removed {
            if seat.used == 0 {
                self.seats.remove(&instance);
            }
            return None;
        }
        self.lift(instance);
        self.hand_over(now).pop()
    }

    /// Invocations that wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Invocations that run.
    pub fn running(&self) -> u32 {
        self.seats.values().map(|seat| seat.used).sum()
    }

    /// Slots that are free.
    pub fn free(&self) -> u32 {
        let live = self.seats.values().filter(|seat| seat.has_room());
        live.map(|seat| seat.concurrency - seat.used).sum()
    }

    /// Instances that take invocations.
    pub fn ready(&self) -> usize {
        self.seats.values().filter(|seat| !seat.removed).count()
    }

    /// Instances without work and since when, the longest idle first.
    pub fn idle(&self) -> Vec<(InstanceId, Monotonic)> {
        let free = self.seats.iter().filter(|(_, s)| !s.removed && s.used == 0);
        let mut idle: Vec<_> = free.map(|(id, seat)| (*id, seat.idle_since)).collect();
        idle.sort_by_key(|(id, since)| (*since, *id));
        idle
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

    fn pick(&mut self, waited: bool) -> Option<Taken> {
        while let Some((instance, stamp)) = self.stack.last().copied() {
            match self.seats.get_mut(&instance) {
                Some(seat) if seat.stamp == stamp && seat.has_room() => {
                    let taken = seat.take(instance, waited);
                    if !seat.has_room() {
                        self.stack.pop();
                    }
                    return Some(taken);
                }
                _ => drop(self.stack.pop()),
            }
        }
        None
    }

    fn hand_over(&mut self, now: Monotonic) -> Vec<HandOver<W>> {
        let mut handed = Vec::new();
        while let Some((tenant, ticket)) = self.next_waiting(now) {
            let Some(taken) = self.pick(true) else { break };
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
        self.turn.retain(|other| other != tenant);
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
