//! What one sandbox and its instance say to each other: the queue, what runs, what has answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use faas_core::{ContentType, Error, FunctionError, Result};
use http::HeaderMap;
use tokio::sync::{Notify, mpsc, watch};

use super::flight::{Flight, Head, Job, Verdict};
use crate::lifecycle::Lifecycle;
use crate::sandbox_end::SandboxEnd;

/// How far the runtime is.
#[derive(Debug, Clone)]
enum Stage {
    Starting,
    Ready,
    Ended(SandboxEnd),
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    flights: HashMap<String, Flight>,
    /// Answered, but the runtime has not asked for more: their slots are not free yet.
    answered: VecDeque<String>,
    /// How many requests for the next invocation wait.
    pollers: usize,
    concurrency: usize,
    lifecycle: Option<Arc<Lifecycle>>,
}

/// One sandbox's Runtime API.
#[derive(Debug)]
pub(super) struct Api {
    state: Mutex<State>,
    work: Notify,
    stage: watch::Sender<Stage>,
}

impl Api {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            work: Notify::new(),
            stage: watch::Sender::new(Stage::Starting),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // No panic can leave the state half changed.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends when the runtime first asks for an invocation.
    pub(super) async fn ready(&self) -> Result<(), SandboxEnd> {
        match self.reach(|stage| !matches!(stage, Stage::Starting)).await {
            Stage::Ended(end) => Err(end),
            Stage::Starting | Stage::Ready => Ok(()),
        }
    }

    /// Ends with the sandbox.
    pub(super) async fn ended(&self) -> SandboxEnd {
        match self.reach(|stage| matches!(stage, Stage::Ended(_))).await {
            Stage::Ended(end) => end,
            Stage::Starting | Stage::Ready => SandboxEnd::unreachable("its listener is closed"),
        }
    }

    async fn reach(&self, wanted: impl FnMut(&Stage) -> bool) -> Stage {
        let mut stage = self.stage.subscribe();
        let reached = stage.wait_for(wanted).await.map(|stage| stage.clone());
        // The sender is ours and lives.
        reached.unwrap_or_else(|_| Stage::Ended(SandboxEnd::unreachable("its listener is closed")))
    }

    /// An instance takes the runtime over.
    pub(super) fn attach(&self, lifecycle: Arc<Lifecycle>, concurrency: u32) {
        self.with(|state| {
            state.lifecycle = Some(lifecycle);
            state.concurrency = concurrency as usize;
        });
        // The sandbox may have ended in between.
        let stage = self.stage.borrow().clone();
        if let Stage::Ended(end) = stage {
            self.end(&end);
        }
    }

    /// Queues an invocation; the sandbox may be gone, which its reply then says.
    pub(super) fn submit(&self, mut job: Job) -> Result<()> {
        let id = job.id.clone();
        let known = self.with(|state| {
            // Asked under the lock that `end` empties the queue under.
            if let Stage::Ended(end) = &*self.stage.borrow() {
                job.flight.undelivered(end.clone());
                return false;
            }
            let queued = state.queue.iter().any(|other| other.id == job.id);
            let known = queued || state.flights.contains_key(&job.id);
            if !known {
                state.queue.push_back(job);
            }
            known
        });
        self.work.notify_one();
        match known {
            true => {
                let message = format!("invocation {id} runs here already");
                Err(Error::conflict("invoke", message))
            }
            false => Ok(()),
        }
    }

    /// Nobody waits for it any longer. Whether the runtime has it: then it runs on.
    pub(super) fn abandon(&self, id: &str) -> bool {
        let (job, delivered) = self.with(|state| {
            let place = state.queue.iter().position(|job| job.id == id);
            let job = place.and_then(|place| state.queue.remove(place));
            (job, state.flights.contains_key(id))
        });
        // Outside the lock: it frees the slot, which tells the router.
        drop(job);
        delivered
    }

    /// Frees the slot of an invocation whose instance has been given up.
    pub(super) fn forget(&self, id: &str) {
        drop(self.with(|state| {
            state.answered.retain(|other| other != id);
            state.flights.remove(id)
        }));
    }

    /// The runtime asks for the next invocation: it is ready, and idle.
    pub(super) async fn next(&self) -> Delivery {
        let freed = self.with(State::ask);
        drop(freed);
        let _polling = Polling(self);
        self.stage.send_if_modified(|stage| {
            let first = matches!(stage, Stage::Starting);
            if first {
                *stage = Stage::Ready;
            }
            first
        });
        loop {
            let work = self.work.notified();
            if let Some((delivery, more)) = self.with(State::take) {
                if more {
                    // Of two wake-ups that nobody slept through only one is remembered.
                    self.work.notify_one();
                }
                return delivery;
            }
            work.await;
        }
    }

    /// The runtime begins to answer: the right to do so, once, if it was asked.
    pub(super) fn claim(self: &Arc<Self>, id: &str) -> Option<Claim> {
        let limit = self.with(|state| {
            let flight = state.flights.get_mut(id).filter(|flight| !flight.claimed)?;
            flight.claimed = true;
            Some(flight.limit)
        })?;
        Some(Claim {
            api: self.clone(),
            id: id.to_owned(),
            limit,
            settled: false,
        })
    }

    fn flight<T>(&self, id: &str, act: impl FnOnce(&mut Flight) -> T) -> Option<T> {
        self.with(|state| state.flights.get_mut(id).map(act))
    }

    /// The runtime has answered; whether anybody still knew of the invocation.
    fn settle(&self, id: &str, answer: impl FnOnce(&mut Flight)) -> bool {
        let settled = self.with(|state| {
            answer(state.flights.get_mut(id)?);
            match state.has_excess() {
                // Its loop asks for more already.
                true => Some(state.flights.remove(id)),
                false => {
                    state.answered.push_back(id.to_owned());
                    Some(None)
                }
            }
        });
        settled.is_some()
    }

    /// The runtime cannot start, or is gone: everything that waits for it ends.
    pub(super) fn end(&self, end: &SandboxEnd) {
        let (queue, flights, lifecycle) = self.with(|state| {
            self.stage.send_if_modified(|stage| {
                let first = !matches!(stage, Stage::Ended(_));
                if first {
                    *stage = Stage::Ended(end.clone());
                }
                first
            });
            state.answered.clear();
            let flights = std::mem::take(&mut state.flights);
            (
                std::mem::take(&mut state.queue),
                flights,
                state.lifecycle.clone(),
            )
        });
        // First this, so that no slot that returns is used again.
        if let Some(lifecycle) = lifecycle {
            lifecycle.fail(end.why());
        }
        for mut job in queue {
            job.flight.undelivered(end.clone());
        }
        for mut flight in flights.into_values() {
            flight.end(Verdict::Gone(end.clone()));
        }
    }
}

/// The right to answer one invocation; dropped before the end, the answer is cut short.
pub(super) struct Claim {
    api: Arc<Api>,
    id: String,
    pub(super) limit: u64,
    settled: bool,
}

impl Claim {
    pub(super) fn whole(mut self, content_type: ContentType, bytes: Bytes) -> bool {
        self.settled = true;
        self.api
            .settle(&self.id, |flight| flight.whole(content_type, bytes))
    }

    pub(super) fn stream(&self, head: Head) -> Option<mpsc::Sender<Bytes>> {
        self.api.flight(&self.id, |flight| flight.stream(head))?
    }

    pub(super) fn end(mut self, verdict: Verdict) -> bool {
        self.settled = true;
        self.api.settle(&self.id, |flight| flight.end(verdict))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            let verdict = Verdict::CutShort("its connection was closed".to_owned());
            self.api.settle(&self.id, |flight| flight.end(verdict));
        }
    }
}

/// What the runtime is told to do.
pub(super) struct Delivery {
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl State {
    /// One more request waits; the slot that it shows to be idle, if any.
    fn ask(&mut self) -> Option<Flight> {
        self.pollers += 1;
        if let Some(id) = self.answered.pop_front() {
            return self.flights.remove(&id);
        }
        let unanswered = self.flights.iter().find(|(_, flight)| !flight.claimed);
        // Its loop has dropped it, and will never answer it.
        let lost = unanswered.filter(|_| self.has_excess());
        let lost = lost.map(|(id, _)| id.clone())?;
        let mut flight = self.flights.remove(&lost)?;
        let message = "the runtime asked for the next invocation without answering this one";
        let error = FunctionError::new(FunctionError::PROTOCOL, message);
        flight.end(Verdict::Failed(error));
        Some(flight)
    }

    /// Whether there are more loops of the runtime than slots: then one of those that ask has left
    /// an invocation behind.
    fn has_excess(&self) -> bool {
        self.pollers + self.flights.len() > self.concurrency.max(1)
    }

    /// The next invocation, and whether there are more.
    fn take(&mut self) -> Option<(Delivery, bool)> {
        let job = self.queue.pop_front()?;
        self.flights.insert(job.id, job.flight);
        let (headers, payload) = (job.headers, job.payload);
        Some((Delivery { headers, payload }, !self.queue.is_empty()))
    }
}

/// A request for the next invocation that waits.
struct Polling<'a>(&'a Api);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.pollers -= 1);
    }
}
