//! What one sandbox and its instance say to each other: the queue, what runs, what has answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use faas_core::{ContentType, Error, FunctionError, Result};
use http::HeaderMap;
use tokio::sync::{Notify, oneshot, watch};

use crate::lifecycle::{Busy, Lifecycle};
use crate::sandbox_end::SandboxEnd;

/// What came of an invocation.
#[derive(Debug)]
pub(super) enum Answer {
    Whole(ContentType, Bytes),
    Failed(FunctionError),
    /// The sandbox is gone; whether it had the request.
    Gone(SandboxEnd, bool),
}

/// The slot of an invocation; whoever waits on the other end of `watched` learns of its end.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) _busy: Busy,
    pub(super) _watched: oneshot::Sender<()>,
}

/// An invocation on its way to the runtime.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) flight: Flight,
}

/// An invocation that the runtime has.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) _slot: Slot,
    pub(super) reply: Option<oneshot::Sender<Answer>>,
    /// Bytes of the answer at most.
    pub(super) limit: u64,
}

impl Flight {
    fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            // Nobody may wait any longer: Lambda cannot cancel, so that is no fault.
            let _ = reply.send(answer);
        }
    }
}

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
    pub(super) async fn ready(&self) -> Result<()> {
        let mut stage = self.stage.subscribe();
        let known = stage
            .wait_for(|stage| !matches!(stage, Stage::Starting))
            .await;
        match known.map(|stage| stage.clone()) {
            Ok(Stage::Ready) => Ok(()),
            Ok(Stage::Ended(end)) => Err(Error::unavailable("connect", end.why().to_owned())),
            _ => Err(Error::unavailable("connect", "the listener is closed")),
        }
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
                job.flight.answer(Answer::Gone(end.clone(), false));
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
            true => Err(Error::conflict(
                "invoke",
                format!("invocation {id} runs here already"),
            )),
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

    /// How much the answer to that invocation may be; none if the runtime does not have it.
    pub(super) fn limit(&self, id: &str) -> Option<u64> {
        self.with(|state| {
            let flight = state.flights.get(id)?;
            flight.reply.is_some().then_some(flight.limit)
        })
    }

    /// The runtime has answered; whether it had been asked.
    pub(super) fn answer(&self, id: &str, answer: Answer) -> bool {
        self.with(|state| {
            let flight = state
                .flights
                .get_mut(id)
                .filter(|flight| flight.reply.is_some());
            let Some(flight) = flight else { return false };
            flight.answer(answer);
            state.answered.push_back(id.to_owned());
            true
        })
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
            job.flight.answer(Answer::Gone(end.clone(), false));
        }
        for mut flight in flights.into_values() {
            flight.answer(Answer::Gone(end.clone(), true));
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
        // More loops than slots: one has dropped what it had, and will never answer it.
        let excess = self.pollers + self.flights.len() > self.concurrency.max(1);
        let lost = self.flights.keys().next().filter(|_| excess).cloned()?;
        let mut flight = self.flights.remove(&lost)?;
        let message = "the runtime asked for the next invocation without answering this one";
        let error = FunctionError::new(FunctionError::PROTOCOL, message);
        flight.answer(Answer::Failed(error));
        Some(flight)
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
