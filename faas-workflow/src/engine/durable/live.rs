//! The loop that owns the core: drain → step → decide → one append → call.

mod appends;
mod calls;
mod requests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::explain::{DecisionClass, DecisionLog, Reason};
use faas_core::{
    Clock, Error, ErrorKind, ExecutionId, FunctionError, IdSource, Invocation, InvocationId,
    Invoker, Monotonic, Payload, PrewarmHint, Result,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::shared::{Shared, closed};
use super::{EngineOptions, call};
use crate::engine::core::{Due, EngineCore, ExecutionCore, Launch, Moment, Step};
use crate::execution_store::{
    EngineEvent, Epoch, ExecutionHead, StoredExecution, TransitionNumber, WorkflowExecutionStore,
};
use crate::program::{
    Data, Ending, EventKind, Program, ProgramEvent, TaskError, TaskNumber, TaskRetry, TaskTarget,
};

/// How many requests one turn takes at most.
const DRAINED: usize = 1024;
type Reply<T> = oneshot::Sender<Result<T>>;

/// What the loop is asked.
pub(super) enum Message {
    Start {
        head: Box<ExecutionHead>,
        program: Arc<dyn Program>,
        input: Data,
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
    successor: Option<ExecutionId>,
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
        let timer = self.core.next_due().map(|at| {
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

    fn fire(&mut self) {
        let wall = self.clock.wall();
        for id in self.core.due(wall) {
            let due = self.core.execution(id).map(|core| core.due(wall));
            for due in due.unwrap_or_default() {
                self.due(id, due);
            }
        }
    }

    fn due(&mut self, id: ExecutionId, due: Due) {
        match due {
            Due::Timer(timer) => self.event(id, EventKind::TimerFired { timer }),
            Due::Timeout(task) => {
                let message = "the task took longer than its timeout";
                let result = Err(TaskError::new(FunctionError::TIMEOUT, message));
                self.event(id, EventKind::TaskEnded { task, result });
                self.abort(id, task);
            }
        }
    }

    fn turn(&mut self) {
        let moment = Moment {
            now: self.clock.now(),
            wall: self.clock.wall(),
        };
        let turn = self.core.turn(moment, self.epoch, self.closing.is_none());
        self.wake_at = turn.wake_at;
        for prewarm in turn.prewarms {
            let mut hint = PrewarmHint::new(prewarm.function, prewarm.at);
            hint.concurrency = prewarm.concurrency;
            self.invoker.prewarm(hint);
        }
        turn.steps.into_iter().for_each(|step| self.fly(step));
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
            && let Err(error) = self.store.epochs().void(self.epoch).await
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
