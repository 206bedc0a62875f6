//! Which request runs next: a state machine without I/O, clock or lock.
//!
//! Requests wait in lanes, one a function, each with a concurrency of its own; lanes take turns, so
//! that a long one starves no other.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, InvocationId, Monotonic, Result};

/// What a [`Core`] may hold and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests, dead letters and messages that are kept.
    pub capacity: usize,
    /// Requests of all functions that run at once.
    pub concurrency: usize,
}

/// A request, as far as its turn goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which request.
    pub id: InvocationId,
    /// What its concurrency is counted for.
    pub lane: Arc<str>,
    /// How many of the lane may run at once.
    pub concurrency: u32,
    /// Not before this.
    pub due: Monotonic,
}

#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<InvocationId>,
    running: usize,
    /// All of it, running or not.
    members: usize,
    concurrency: usize,
    /// Whether it stands in the turn.
    turns: bool,
}

#[derive(Debug)]
enum State {
    Ready,
    Due(Monotonic),
    Running,
}

#[derive(Debug)]
struct Place {
    lane: Arc<str>,
    state: State,
}

/// The requests that wait and run, and how much is kept.
#[derive(Debug)]
pub struct Core {
    bounds: Bounds,
    kept: usize,
    running: usize,
    places: HashMap<InvocationId, Place>,
    lanes: HashMap<Arc<str>, Lane>,
    turn: VecDeque<Arc<str>>,
    due: BTreeSet<(Monotonic, InvocationId)>,
}

impl Core {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            kept: 0,
            running: 0,
            places: HashMap::new(),
            lanes: HashMap::new(),
            turn: VecDeque::new(),
            due: BTreeSet::new(),
        }
    }

    /// Forgets the requests; what is kept stays counted.
    pub fn clear(&mut self) {
        let kept = self.kept;
        *self = Self::new(self.bounds);
        self.kept = kept;
    }

    /// Makes room for one more thing to keep; [`release`](Self::release) gives it back.
    ///
    /// # Errors
    /// `Exhausted` over the capacity.
    pub fn reserve(&mut self) -> Result<()> {
        if self.kept >= self.bounds.capacity {
            let message = format!(
                "{} requests, dead letters and messages are kept, which is the bound",
                self.kept
            );
            return Err(
                Error::exhausted("submit", message).with_retry_after(Duration::from_secs(1))
            );
        }
        self.kept += 1;
        Ok(())
    }

    /// Counts what is kept already, over the capacity or not.
    pub fn keep(&mut self, things: usize) {
        self.kept += things;
    }

    /// So many things are kept no more.
    pub fn release(&mut self, things: usize) {
        self.kept = self.kept.saturating_sub(things);
    }

    /// How many things are kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// How many requests run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether it knows a request.
    pub fn knows(&self, id: InvocationId) -> bool {
        self.places.contains_key(&id)
    }

    /// Adds a request, which somebody made room for; one that it knows stays as it is, and answers
    /// `false`.
    pub fn add(&mut self, waiting: Waiting, now: Monotonic) -> bool {
        let Waiting {
            id,
            lane,
            concurrency,
            due,
        } = waiting;
        if self.knows(id) {
            return false;
        }
        let members = self.lanes.entry(lane.clone()).or_default();
        members.concurrency = concurrency as usize;
        members.members += 1;
        let state = State::Ready;
        self.places.insert(id, Place { lane, state });
        self.wait(id, due, now);
        true
    }

    /// A request that ran waits until `due`.
    pub fn again(&mut self, id: InvocationId, due: Monotonic, now: Monotonic) {
        if self.stop(id) {
            self.wait(id, due, now);
        }
    }

    /// A request has ended.
    pub fn end(&mut self, id: InvocationId) {
        self.stop(id);
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        if let State::Due(at) = place.state {
            self.due.remove(&(at, id));
        }
        let Some(lane) = self.lanes.get_mut(&place.lane) else {
            return;
        };
        if matches!(place.state, State::Ready) {
            lane.ready.retain(|ready| *ready != id);
        }
        lane.members -= 1;
        // A lane without requests would be kept for ever.
        if lane.members == 0 {
            self.lanes.remove(&place.lane);
        }
    }

    /// Takes a request out of those that run, if it does.
    fn stop(&mut self, id: InvocationId) -> bool {
        let Some(place) = self.places.get_mut(&id) else {
            return false;
        };
        if !matches!(place.state, State::Running) {
            return false;
        }
        place.state = State::Ready;
        self.running -= 1;
        let name = place.lane.clone();
        if let Some(lane) = self.lanes.get_mut(&name) {
            lane.running -= 1;
        }
        self.take_turn(&name);
        true
    }

    fn wait(&mut self, id: InvocationId, due: Monotonic, now: Monotonic) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        if due > now {
            place.state = State::Due(due);
            self.due.insert((due, id));
            return;
        }
        place.state = State::Ready;
        let name = place.lane.clone();
        if let Some(lane) = self.lanes.get_mut(&name) {
            lane.ready.push_back(id);
        }
        self.take_turn(&name);
    }

    /// Stands a lane in the turn if something of it may run.
    fn take_turn(&mut self, name: &Arc<str>) {
        let Some(lane) = self.lanes.get_mut(name) else {
            return;
        };
        if !lane.turns && !lane.ready.is_empty() && lane.running < lane.concurrency {
            lane.turns = true;
            self.turn.push_back(name.clone());
        }
    }

    /// The requests that start to run now.
    pub fn start(&mut self, now: Monotonic) -> Vec<InvocationId> {
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            self.wait(id, now, now);
        }
        let mut started = Vec::new();
        while self.running < self.bounds.concurrency
            && let Some(name) = self.turn.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&name) else {
                continue;
            };
            lane.turns = false;
            if lane.running < lane.concurrency
                && let Some(id) = lane.ready.pop_front()
            {
                lane.running += 1;
                self.running += 1;
                if let Some(place) = self.places.get_mut(&id) {
                    place.state = State::Running;
                }
                started.push(id);
            }
            self.take_turn(&name);
        }
        started
    }

    /// When to ask again, if nothing happens before.
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
