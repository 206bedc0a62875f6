//! An invocation's way through the [`SlotRouter`].

use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::{DecisionClass, Reason, Subject};
use faas_core::{
    DecisionId, Error, ErrorKind, FunctionRef, InstanceId, Invocation, Monotonic, Outcome, Phase,
    Response, Result, Retry, StartKind, Trailer,
};

use super::FunctionRouter;
use super::grant::{Answer, Grant, Member, Waiter};
use super::meters::{End, Tally};
use super::pool::{Admission, Pool};
use super::slot_router::{INVOKE, SlotRouter};

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
const DISPLACED: Reason = Reason::new(
    "queue.displaced",
    "the queue was full, and its tenant had the most places: it gave way to another tenant's",
)
.helped_by("try again later, or raise the bounds of the router's queues");
const FULL: Reason = Reason::new(
    "queue.full",
    "{queued} wait for {function}: the queue is full",
)
.helped_by("try again later, or raise the bounds of the router's queues");
const DEAD: Reason = Reason::new("queue.dead_instance", "its instance was gone: {why}");

/// One attempt to run an invocation, from its slot on.
struct Attempt {
    member: Arc<Member>,
    start: StartKind,
    route: Duration,
    queue: Duration,
    granted: Monotonic,
    /// Whether it is counted, or goes on elsewhere.
    settled: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.member.meters.dropped(self.start);
        }
    }
}

impl Attempt {
    /// Completes the trailer, and counts the invocation.
    fn end(&mut self, trailer: &mut Trailer, now: impl FnOnce() -> Monotonic) {
        let timeline = &mut trailer.timeline;
        if timeline[Phase::Run].is_zero() {
            timeline[Phase::Run] = now().since(self.granted);
        }
        if self.start == StartKind::Cold {
            for (phase, time) in self.member.started().phases() {
                timeline[phase] = time;
            }
        }
        timeline[Phase::Route] = self.route;
        timeline[Phase::Queue] = self.queue;
        let took = timeline.total();
        let end = match &trailer.outcome {
            Outcome::Success => End::Success,
            Outcome::Failure(_) => End::Failure,
        };
        self.settle(end, took);
    }

    /// It failed with an error of the platform.
    fn fail(&mut self, now: Monotonic) {
        let took = now.since(self.granted);
        let took = self.route.saturating_add(self.queue).saturating_add(took);
        self.settle(End::Error, took);
    }

    fn settle(&mut self, end: End, took: Duration) {
        if !std::mem::replace(&mut self.settled, true) {
            self.member.meters.ended(self.start, end, took);
        }
    }
}

impl SlotRouter {
    fn now(&self) -> Monotonic {
        self.shared.clock.now()
    }

    /// Runs an invocation.
    ///
    /// All of them pay for the size of this future, so what only some need is boxed. A slot that is
    /// free at once is held from the moment of arrival: what the route took then, some tens of
    /// nanoseconds, counts as run.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would hold its argument twice"
    )]
    pub(super) fn route(
        &self,
        mut invocation: Invocation,
    ) -> impl Future<Output = Result<Response>> + Send {
        async move {
            let arrived = self.now();
            let (mut now, mut failures) = (arrived, 0);
            loop {
                let pool = match self.latest(&invocation.function) {
                    Some(pool) => pool,
                    None => {
                        let pool = Box::pin(self.find(&invocation.function)).await?;
                        now = self.now();
                        pool
                    }
                };
                let (grant, waited) = match self.admit(pool, &invocation, now)? {
                    Admission::Granted(grant) => (grant, Duration::ZERO),
                    Admission::Queued(waiter) => {
                        let granted = Box::pin(self.wait(waiter, &invocation)).await?;
                        now = self.now();
                        granted
                    }
                    _ => continue,
                };
                let (member, permit, start) = grant.into_parts();
                let mut attempt = Attempt {
                    member,
                    start,
                    route: now.since(arrived).saturating_sub(waited),
                    queue: waited,
                    granted: now,
                    settled: false,
                };
                // Kept for another instance: that this one is dead is known when it has it.
                let kept = invocation.clone();
                let instance = attempt.member.instance();
                match instance.invoke(invocation, permit.since(now)).await {
                    Ok(response) => return Ok(self.account(response, attempt)),
                    Err(error) => {
                        now = self.now();
                        failures += 1;
                        let dead = self.is_dead(&kept, instance.id(), &error);
                        if !dead || failures >= ATTEMPTS {
                            attempt.fail(now);
                            return Err(error);
                        }
                        attempt.settled = true;
                        invocation = kept;
                    }
                }
            }
        }
    }

    /// As [`resolve`](Self::resolve); what is no function is counted.
    async fn find(&self, function: &FunctionRef) -> Result<Arc<Pool>> {
        let tally = Tally::new(|end| self.unrouted.ended(end));
        let found = self.resolve(function).await;
        match &found {
            Ok(_) => tally.goes_on(),
            Err(_) => tally.fails(),
        }
        found
    }

    /// A slot or a place in the queue; anything else means that there is another pool.
    fn admit(&self, pool: Arc<Pool>, invocation: &Invocation, now: Monotonic) -> Result<Admission> {
        let refused = |pool: &Pool, error| {
            pool.meters.unserved(End::Error);
            Err(error)
        };
        if let Err(error) = at_the_door(&pool, invocation, now) {
            return refused(&pool, error);
        }
        match pool.admit(invocation.tenant(), invocation.deadline, now) {
            Admission::Full { pool, queued } => {
                refused(&pool, self.full(&pool, invocation, queued))
            }
            Admission::Refused(pool, error) => refused(&pool, error),
            other => Ok(other),
        }
    }

    /// Completes the response as it ends, and counts the invocation.
    fn account(&self, mut response: Response, mut attempt: Attempt) -> Response {
        response.start = attempt.start;
        response.instance = Some(attempt.member.instance().id());
        if let Some(trailer) = response.body.trailer_mut() {
            attempt.end(trailer, || self.now());
            return response;
        }
        let clock = self.shared.clock.clone();
        response.body = response.body.map_end(move |end| match end {
            Ok(trailer) => attempt.end(trailer, || clock.now()),
            Err(_) => attempt.fail(clock.now()),
        });
        response
    }

    /// Whether the instance turned out to be dead: then it gets no more.
    fn is_dead(&self, invocation: &Invocation, instance: InstanceId, error: &Error) -> bool {
        let dead = error.kind() == ErrorKind::Unavailable && error.retry() == Retry::Safe;
        if dead {
            self.remove(instance);
            let why = DEAD.with("why", error.to_string());
            self.decide(invocation, instance, None, why);
        }
        dead
    }

    /// Records what became of an invocation; `touched` is the instance that it got, or the workload
    /// that it waits for.
    fn decide(
        &self,
        invocation: &Invocation,
        touched: impl Into<Subject>,
        cause: Option<DecisionId>,
        reason: Reason,
    ) -> DecisionId {
        let subjects = vec![invocation.id.into(), touched.into()];
        let log = &self.shared.decisions;
        log.record(DecisionClass::Queueing, subjects, cause, vec![reason])
    }

    fn full(&self, pool: &Pool, invocation: &Invocation, queued: usize) -> Error {
        let function = pool.id().function.to_string();
        let reason = FULL
            .with("queued", queued)
            .with("function", function.as_str());
        self.decide(invocation, pool.workload(), None, reason);
        Error::exhausted(INVOKE, format!("the queue of {function} is full"))
            .with_retry_after(self.shared.retry_after)
    }

    async fn wait(&self, mut waiter: Waiter, invocation: &Invocation) -> Result<(Grant, Duration)> {
        let since = self.now();
        let pool = waiter.pool.clone();
        let tally = Tally::new(|end| pool.meters.unserved(end));
        let id = pool.id();
        let reason = WAITS
            .with("function", id.function.to_string())
            .with("revision", id.number.0)
            .with("queued", pool.queued());
        let waits = self.decide(invocation, pool.workload(), None, reason);
        // Whoever has said no deadline has one all the same.
        let longest = since + self.longest_wait;
        let until = invocation.deadline.map_or(longest, |at| at.min(longest));
        let answer = tokio::select! {
            biased;
            answer = waiter.answer() => Some(answer),
            () = self.shared.clock.sleep_until(until) => None,
        };
        drop(waiter);
        let waited = self.now().since(since);
        pool.meters.waited.record(waited.as_secs_f64());
        let (why, error) = match answer {
            Some(Answer::Granted(grant)) => {
                tally.goes_on();
                return Ok((self.handed_over(invocation, grant, waits, waited), waited));
            }
            Some(Answer::Displaced(error)) => (DISPLACED, error),
            Some(Answer::Refused(error)) => (REFUSED.with("why", error.to_string()), error),
            None => {
                let error = self.unserved(invocation, until < longest);
                (LATE.with("waited", waited), error)
            }
        };
        tally.fails();
        self.decide(invocation, pool.workload(), Some(waits), why);
        Err(error)
    }

    /// It has waited, and has its slot.
    fn handed_over(
        &self,
        invocation: &Invocation,
        grant: Grant,
        waits: DecisionId,
        waited: Duration,
    ) -> Grant {
        let reason = HANDED_OVER.with("waited", waited);
        self.decide(
            invocation,
            grant.permit.instance(),
            grant.caused_by().or(Some(waits)),
            reason,
        );
        grant
    }

    /// Why one that has waited is not served.
    fn unserved(&self, invocation: &Invocation, deadline: bool) -> Error {
        if deadline {
            return late(invocation, "while it waited for a slot");
        }
        let (id, longest) = (invocation.id, self.longest_wait);
        let message = format!("no slot was free for {id} within {longest:?}");
        Error::exhausted(INVOKE, message).with_retry_after(self.shared.retry_after)
    }
}

/// Whether it may come in at all.
fn at_the_door(pool: &Pool, invocation: &Invocation, now: Monotonic) -> Result<()> {
    if invocation.deadline.is_some_and(|at| at <= now) {
        return Err(late(invocation, "before it was routed"));
    }
    let (size, limit) = (invocation.payload.len() as u64, pool.request_limit());
    if size <= limit {
        return Ok(());
    }
    let function = &invocation.function;
    let message = format!("the payload for {function} has {size} bytes, {limit} at most");
    Err(Error::invalid(INVOKE, message))
}

fn late(invocation: &Invocation, when: &str) -> Error {
    let message = format!("the deadline of {} passed {when}", invocation.id);
    Error::deadline_exceeded(INVOKE, message).with_retry(Retry::Safe)
}
