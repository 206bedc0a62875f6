//! The loop that owns the core: drain → step → decide → one append → call.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::{
    Clock, Error, ErrorKind, ExecutionId, IdSource, Invocation, InvocationId, Invoker, Monotonic,
    Payload, PrewarmHint, Result,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::{EngineOptions, Shared, call, closed};
use crate::engine::core::{EngineCore, ExecutionCore, Launch, Moment, Step};
use crate::execution_store::model::EngineEvent;
use crate::execution_store::{
    Epoch, ExecutionHead, StoredExecution, TransitionNumber, WorkflowExecutionStore,
};
use crate::program::{
    Beginning, Data, Ending, EventKind, Program, ProgramEvent, TaskError, TaskNumber, TaskTarget,
};

/// How many requests one turn takes at most.
const DRAINED: usize = 1024;
/// How long an execution rests whose append failed, before it is loaded again.
const REST: Duration = Duration::from_millis(100);

const RESUMED: Reason = Reason::new(
    "task.resumed",
    "it ran when its engine stopped, and has no recorded result: called again with the same key",
);

type Reply<T> = oneshot::Sender<Result<T>>;

/// What the loop is asked.
pub(super) enum Message {
    Start {
        head: Box<ExecutionHead>,
        program: Arc<dyn Program>,
        beginning: Beginning,
        reply: Reply<ExecutionHead>,
    },
    Event {
        execution: ExecutionId,
        kind: EventKind,
        reply: Reply<()>,
    },
    Wait {
        execution: ExecutionId,
        reply: Reply<ExecutionHead>,
    },
    Adopt {
        stored: Box<StoredExecution>,
        program: Arc<dyn Program>,
        abort: Option<TaskError>,
        reply: Option<Reply<()>>,
    },
    Shutdown {
        deadline: Monotonic,
        reply: Reply<()>,
    },
}

/// Who learns that an append is stored.
enum Waiting {
    Started(Reply<ExecutionHead>),
    Told(Reply<()>),
}

/// An append under way.
struct Flight {
    head: ExecutionHead,
    generation: u64,
    launches: Vec<Launch>,
    cancels: Vec<TaskNumber>,
    waiting: Vec<Waiting>,
}

struct CallEnd {
    execution: ExecutionId,
    task: TaskNumber,
    result: Result<Data, TaskError>,
}

type Reloaded = (ExecutionId, Result<Option<Message>>, Option<TaskError>);

pub(super) struct Live {
    core: EngineCore,
    shared: Weak<Shared>,
    store: Arc<dyn WorkflowExecutionStore>,
    invoker: Arc<dyn Invoker>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    decisions: DecisionLog,
    epoch: Epoch,
    options: EngineOptions,
    calls: JoinSet<CallEnd>,
    aborts: HashMap<(ExecutionId, TaskNumber), AbortHandle>,
    flights: FuturesUnordered<BoxFuture<'static, (Flight, Result<()>)>>,
    reloads: FuturesUnordered<BoxFuture<'static, Reloaded>>,
    waiting: HashMap<ExecutionId, Vec<Waiting>>,
    waiters: HashMap<ExecutionId, Vec<Reply<ExecutionHead>>>,
    /// Executions whose last append is under way, or that are being loaded again.
    away: HashSet<ExecutionId>,
    generations: HashMap<ExecutionId, u64>,
    generation: u64,
    wake_at: Option<Monotonic>,
    closing: Option<(Monotonic, Vec<Reply<()>>)>,
    lost: bool,
}

impl Live {
    pub(super) fn new(
        shared: &Arc<Shared>,
        core: EngineCore,
        invoker: Arc<dyn Invoker>,
        decisions: DecisionLog,
        options: EngineOptions,
    ) -> Self {
        Self {
            core,
            shared: Arc::downgrade(shared),
            store: shared.executions.clone(),
            invoker,
            clock: shared.clock.clone(),
            ids: shared.ids.clone(),
            decisions,
            epoch: shared.epoch,
            options,
            calls: JoinSet::new(),
            aborts: HashMap::new(),
            flights: FuturesUnordered::new(),
            reloads: FuturesUnordered::new(),
            waiting: HashMap::new(),
            waiters: HashMap::new(),
            away: HashSet::new(),
            generations: HashMap::new(),
            generation: 0,
            wake_at: None,
            closing: None,
            lost: false,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        while !self.lost && !self.is_closed() {
            let wake = self.wake();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.message(message),
                    None => return,
                },
                Some(end) = self.calls.join_next(), if !self.calls.is_empty() => {
                    self.call_end(end);
                }
                Some((flight, result)) = self.flights.next(), if !self.flights.is_empty() => {
                    self.landed(flight, result);
                }
                Some(reloaded) = self.reloads.next(), if !self.reloads.is_empty() => {
                    self.reloaded(reloaded);
                }
                () = wake => {}
            }
            self.drain(&mut inbox);
            self.fire();
            self.turn();
        }
        self.stop().await;
    }

    /// Ends when there is something to do that nobody reports.
    fn wake(&self) -> BoxFuture<'static, ()> {
        let timer = self.core.next_timer().map(|at| {
            let wait = at.duration_since(self.clock.wall());
            // One millisecond more, so that wall time is not short of the timer by rounding.
            let wait = Duration::try_from(wait)
                .map_or(Duration::ZERO, |wait| wait + Duration::from_millis(1));
            self.clock.now() + wait
        });
        let closing = self.closing.as_ref().map(|(deadline, _)| *deadline);
        match [timer, closing, self.wake_at].into_iter().flatten().min() {
            Some(at) => self.clock.sleep_until(at),
            None => futures::future::pending().boxed(),
        }
    }

    fn drain(&mut self, inbox: &mut mpsc::Receiver<Message>) {
        for _ in 0..DRAINED {
            let Ok(message) = inbox.try_recv() else {
                break;
            };
            self.message(message);
        }
        while let Some(end) = self.calls.try_join_next() {
            self.call_end(end);
        }
        while let Some(Some((flight, result))) = self.flights.next().now_or_never() {
            self.landed(flight, result);
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Shutdown { deadline, reply } => {
                let (at, replies) = self.closing.get_or_insert((deadline, Vec::new()));
                *at = deadline.min(*at);
                replies.push(reply);
            }
            Message::Start { reply, .. } if self.closing.is_some() => {
                let _ = reply.send(Err(closed()));
            }
            Message::Start {
                head,
                program,
                beginning,
                reply,
            } => self.begin(*head, program, beginning, reply),
            Message::Event {
                execution,
                kind,
                reply,
            } => self.told(execution, kind, reply),
            Message::Wait { execution, reply } => {
                if self.core.execution(execution).is_some() || self.away.contains(&execution) {
                    let waiters = self.waiters.entry(execution).or_default();
                    waiters.retain(|waiter| !waiter.is_closed());
                    waiters.push(reply);
                } else {
                    let _ = reply.send(Err(Error::not_found("wait", "it is not open here")));
                }
            }
            Message::Adopt {
                stored,
                program,
                abort,
                reply,
            } => self.adopt(*stored, program, abort, reply),
        }
    }

    fn begin(
        &mut self,
        head: ExecutionHead,
        program: Arc<dyn Program>,
        mut beginning: Beginning,
        reply: Reply<ExecutionHead>,
    ) {
        if self.core.len() >= self.options.executions {
            let message = format!("{} executions are open", self.core.len());
            let full = Error::exhausted("start execution", message);
            let _ = reply.send(Err(full.with_retry_after(Duration::from_secs(1))));
            return;
        }
        let id = head.id;
        beginning.entropy = self.core.entropy();
        match ExecutionCore::begin(head, program, beginning) {
            Ok(core) => {
                self.insert(core);
                self.waiting
                    .entry(id)
                    .or_default()
                    .push(Waiting::Started(reply));
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn insert(&mut self, core: ExecutionCore) {
        let id = core.head().id;
        self.generation += 1;
        self.generations.insert(id, self.generation);
        self.away.remove(&id);
        self.core.insert(core, self.clock.now());
    }

    fn adopt(
        &mut self,
        stored: StoredExecution,
        program: Arc<dyn Program>,
        abort: Option<TaskError>,
        reply: Option<Reply<()>>,
    ) {
        let id = stored.head.id;
        if self.core.execution(id).is_some() || stored.head.status().is_ended() {
            self.away.remove(&id);
            self.ended(&stored.head);
            reply.map(|reply| reply.send(Ok(())));
            return;
        }
        match ExecutionCore::restore(stored, program) {
            Ok(core) => {
                self.insert(core);
                let at = self.clock.wall();
                self.apply(id, EngineEvent::Adopted { at });
                if let Some(error) = abort {
                    self.event(id, EventKind::Aborted(error));
                }
                let waiting = reply.map(Waiting::Told);
                self.waiting.entry(id).or_default().extend(waiting);
            }
            Err(error) => {
                tracing::error!(execution = %id, %error, "an execution cannot go on");
                reply.map(|reply| reply.send(Err(error)));
            }
        }
    }

    fn told(&mut self, id: ExecutionId, kind: EventKind, reply: Reply<()>) {
        let open = self.core.execution(id);
        // What ended in this very turn takes nothing more, though its end is not stored yet.
        let ended = open.is_some_and(|core| core.head().ending.is_some());
        if open.is_none() || ended {
            let missing = match ended || self.away.contains(&id) {
                true => Error::conflict("signal execution", "it has just ended"),
                false => Error::not_found("signal execution", "it is not open here"),
            };
            let _ = reply.send(Err(missing));
            return;
        }
        self.event(id, kind);
        self.waiting
            .entry(id)
            .or_default()
            .push(Waiting::Told(reply));
    }

    fn event(&mut self, id: ExecutionId, kind: EventKind) {
        let event = ProgramEvent {
            at: self.clock.wall(),
            entropy: self.core.entropy(),
            kind,
        };
        self.apply(id, EngineEvent::Program(event));
    }

    fn apply(&mut self, id: ExecutionId, event: EngineEvent) {
        if let Err(error) = self.core.apply(id, event, self.clock.now()) {
            tracing::error!(execution = %id, %error, "an event could not be applied");
            self.reload(id, None);
        }
    }

    fn call_end(&mut self, end: Result<CallEnd, tokio::task::JoinError>) {
        let Ok(CallEnd {
            execution,
            task,
            result,
        }) = end
        else {
            return; // It was aborted: nobody wants its answer.
        };
        self.aborts.remove(&(execution, task));
        let open = self.core.execution(execution);
        if open.is_some_and(|core| core.is_running(task)) {
            self.event(execution, EventKind::TaskEnded { task, result });
        }
    }

    fn fire(&mut self) {
        let wall = self.clock.wall();
        for id in self.core.due(wall) {
            let due = self.core.execution(id).map(|core| core.due(wall));
            for timer in due.unwrap_or_default() {
                self.event(id, EventKind::TimerFired { timer });
            }
        }
    }

    fn turn(&mut self) {
        let moment = Moment {
            now: self.clock.now(),
            wall: self.clock.wall(),
        };
        let turn = match self.core.turn(moment, self.epoch, self.closing.is_none()) {
            Ok(turn) => turn,
            Err(error) => {
                tracing::error!(%error, "a turn could not be stored");
                self.lost = true;
                return;
            }
        };
        self.wake_at = turn.wake_at;
        for prewarm in turn.prewarms {
            let mut hint = PrewarmHint::new(prewarm.function, prewarm.at);
            hint.concurrency = prewarm.concurrency;
            self.invoker.prewarm(hint);
        }
        turn.steps.into_iter().for_each(|step| self.fly(step));
    }

    fn fly(&mut self, step: Step) {
        let head = step.append.head.clone();
        let id = head.id;
        if head.status().is_ended() {
            self.away.insert(id);
        }
        let flight = Flight {
            generation: self.generations.get(&id).copied().unwrap_or_default(),
            launches: step.launches,
            cancels: step.cancels,
            waiting: self.waiting.remove(&id).unwrap_or_default(),
            head,
        };
        let stored = self.store.append(step.append);
        self.flights
            .push(stored.map(|result| (flight, result)).boxed());
    }

    fn landed(&mut self, flight: Flight, result: Result<()>) {
        if let Err(error) = result {
            return self.crashed(flight, error);
        }
        let id = flight.head.id;
        for task in flight.cancels {
            self.abort(id, task);
        }
        for waiting in flight.waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Ok(flight.head.clone()))),
                Waiting::Told(reply) => drop(reply.send(Ok(()))),
            }
        }
        for launch in flight.launches {
            self.launch(launch);
        }
        self.ended(&flight.head);
    }

    fn ended(&mut self, head: &ExecutionHead) {
        if !head.status().is_ended() {
            return;
        }
        self.away.remove(&head.id);
        self.generations.remove(&head.id);
        let workflow = head.workflow.name.to_string();
        let outcome = head.status().label();
        metrics::counter!(faas_core::telemetry::EXECUTIONS, "workflow" => workflow, "outcome" => outcome)
            .increment(1);
        if let Some(Ending::Failed(error)) = &head.ending {
            tracing::info!(execution = %head.id, %error, "an execution failed");
        }
        for waiter in self.waiters.remove(&head.id).into_iter().flatten() {
            let _ = waiter.send(Ok(head.clone()));
        }
    }

    /// An append failed: what is in memory is not what is stored.
    fn crashed(&mut self, flight: Flight, error: Error) {
        let id = flight.head.id;
        tracing::warn!(execution = %id, %error, "an append failed");
        for waiting in flight.waiting {
            match waiting {
                Waiting::Started(reply) => drop(reply.send(Err(error.clone()))),
                Waiting::Told(reply) => drop(reply.send(Err(error.clone()))),
            }
        }
        if error.kind() == ErrorKind::PermissionDenied {
            self.lost = true;
            return;
        }
        if self.generations.get(&id) != Some(&flight.generation) {
            return; // It has been loaded again since.
        }
        let first = flight.head.transition == TransitionNumber(1);
        if first && error.retry() != faas_core::Retry::Ambiguous {
            self.forget(id);
            self.away.remove(&id);
            return;
        }
        let too_large = error.kind() == ErrorKind::InvalidArgument;
        let abort = too_large.then(|| TaskError::new("Platform.LimitExceeded", error.to_string()));
        self.reload(id, abort);
    }

    fn forget(&mut self, id: ExecutionId) {
        self.generations.remove(&id);
        for task in self.core.remove(id) {
            self.abort(id, task);
        }
    }

    fn reload(&mut self, id: ExecutionId, abort: Option<TaskError>) {
        self.forget(id);
        self.away.insert(id);
        let (shared, epoch) = (self.shared.clone(), self.epoch);
        let rest = self.clock.sleep_until(self.clock.now() + REST);
        let reload = async move {
            rest.await;
            let Some(shared) = shared.upgrade() else {
                return (id, Ok(None), None);
            };
            (id, load(&shared, id, epoch, abort.clone()).await, abort)
        };
        self.reloads.push(reload.boxed());
    }

    fn reloaded(&mut self, (id, result, abort): Reloaded) {
        match result {
            Ok(Some(message)) => self.message(message),
            Ok(None) => {
                self.away.remove(&id);
                self.waiters.remove(&id);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.away.remove(&id);
                self.waiters.remove(&id);
            }
            Err(error) => {
                tracing::warn!(execution = %id, %error, "an execution was not loaded again");
                self.reload(id, abort);
            }
        }
    }

    fn abort(&mut self, id: ExecutionId, task: TaskNumber) {
        if let Some(handle) = self.aborts.remove(&(id, task)) {
            handle.abort();
        }
    }

    /// Calls a task whose start is stored, unless it is no longer wanted.
    fn launch(&mut self, launch: Launch) {
        let (id, task) = (launch.execution, launch.request.task);
        let open = self.core.execution(id);
        if !open.is_some_and(|core| core.is_running(task)) {
            return;
        }
        let invocation_id: InvocationId = self.ids.next();
        let subjects = vec![id.into(), launch.id.into(), invocation_id.into()];
        let reasons = match launch.reasons.is_empty() {
            true => vec![RESUMED],
            false => launch.reasons,
        };
        self.decisions
            .record(DecisionClass::Task, subjects, None, reasons);
        let TaskTarget::Function(function) = launch.request.target;
        let payload = match Payload::json(&*launch.request.input) {
            Ok(payload) => payload,
            Err(error) => {
                return self.event(
                    id,
                    EventKind::TaskEnded {
                        task,
                        result: Err((&error).into()),
                    },
                );
            }
        };
        let mut invocation = Invocation::new(invocation_id, function, payload);
        invocation.deadline = launch
            .request
            .timeout
            .map(|timeout| self.clock.now() + timeout);
        invocation.idempotency_key = Some(format!("{id}/{}", launch.request.call).into());
        invocation.caller.identity = Some(format!("execution/{id}").into());
        let (invoker, clock) = (self.invoker.clone(), self.clock.clone());
        let limit = self.options.response_bytes;
        let handle = self.calls.spawn(async move {
            let called = call::call(invoker, clock, invocation, limit);
            // A panic is the invoker's defect; the task must end all the same.
            let caught = std::panic::AssertUnwindSafe(called).catch_unwind().await;
            let panicked = |_| Err(TaskError::new("Platform.Internal", "the invoker panicked"));
            let result = caught.unwrap_or_else(panicked);
            CallEnd {
                execution: id,
                task,
                result,
            }
        });
        self.aborts.insert((id, task), handle);
    }

    fn is_closed(&self) -> bool {
        self.closing.as_ref().is_some_and(|(deadline, _)| {
            let idle = self.calls.is_empty() && self.flights.is_empty();
            idle || self.clock.now() >= *deadline
        })
    }

    async fn stop(mut self) {
        let left = self.calls.len();
        self.calls.shutdown().await;
        while let Some((flight, result)) = self.flights.next().await {
            // Nothing is launched any more; who waits learns what came of it.
            let flight = Flight {
                launches: Vec::new(),
                ..flight
            };
            self.landed(flight, result);
        }
        if !self.lost
            && let Err(error) = self.store.void_epoch(self.epoch).await
        {
            tracing::warn!(%error, "the epoch was not given up");
        }
        let late = || {
            Error::deadline_exceeded(
                "shut down engine",
                format!("{left} tasks were still running"),
            )
        };
        for reply in self.closing.into_iter().flat_map(|(_, replies)| replies) {
            let _ = reply.send(if left == 0 { Ok(()) } else { Err(late()) });
        }
    }
}

/// What there is to adopt; nothing if another live engine has the execution.
async fn load(
    shared: &Shared,
    id: ExecutionId,
    epoch: Epoch,
    abort: Option<TaskError>,
) -> Result<Option<Message>> {
    let stored = shared.executions.load(id).await?;
    let live = shared.executions.epochs().await?;
    let theirs = stored.head.epoch != epoch && live.iter().any(|s| s.epoch == stored.head.epoch);
    if theirs && !stored.head.status().is_ended() {
        return Ok(None);
    }
    let program = shared
        .registry
        .get(&stored.head.workflow)
        .await?
        .program
        .clone();
    Ok(Some(Message::Adopt {
        stored: Box::new(stored),
        program,
        abort,
        reply: None,
    }))
}
