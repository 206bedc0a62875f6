//! The loop that owns the core: drain → step → decide → one append → call.

mod appends;
mod calls;
mod letters;
mod requests;
mod tokens;
mod workers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::explain::{DecisionClass, DecisionLog, Reason, Subject};
use faas_core::{
    Clock, Error, ErrorKind, ExecutionId, FunctionRef, IdSource, Invocation, InvocationId, Invoker,
    Monotonic, Namespace, Payload, PrewarmHint, Result,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::EngineOptions;
use super::call::{self, Progress};
use super::child::Child;
use super::shared::{Refusal, Shared, closed};
use crate::engine::core::{Due, EngineCore, ExecutionCore, Launch, Moment, RunningTask, Step};
use crate::engine::external::{PollTask, WorkerTask};
use crate::engine::resource::{ResourceAnswer, ResourceCall, TaskResources};
use crate::execution_store::mailbox::{Content, Letter, LetterId, SentBack};
use crate::execution_store::{
    EngineEvent, Epoch, ExecutionHead, ExecutionName, Parent, StoredExecution, TransitionNumber,
    WorkflowExecutionStore,
};
use crate::program::{
    Completion, Data, Ending, EventKind, Program, ProgramEvent, Query, ResourceName, TaskError,
    TaskNumber, TaskRequest, TaskRetry, TaskTarget, TaskToken,
};
use crate::registry::Durability;
use letters::Taken;
use workers::Workers;

pub(super) use workers::Offer;

/// How many requests one turn takes at most.
const DRAINED: usize = 1024;
/// How many appends of one execution may be under way before it runs ahead no further.
const AHEAD: usize = 1024;
/// Why children are cancelled.
const PARENT_ENDED: &str = "the execution whose task it was wants it no more";

type Reply<T> = oneshot::Sender<Result<T, Refusal>>;
type Work = (Progress, Option<Duration>);

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
    Redrive {
        stored: Box<StoredExecution>,
        program: Arc<dyn Program>,
        reply: Reply<ExecutionHead>,
    },
    Complete {
        token: TaskToken,
        result: Result<Data, TaskError>,
        reply: Reply<()>,
    },
    Heartbeat {
        token: TaskToken,
        reply: Reply<()>,
    },
    Letter(Letter),
    Changed {
        execution: ExecutionId,
        after: TransitionNumber,
        reply: Reply<ExecutionHead>,
    },
    Poll {
        request: PollTask,
        reply: Reply<Offer>,
    },
    Query {
        execution: ExecutionId,
        query: Query,
        reply: Reply<Data>,
    },
    Shutdown {
        deadline: Monotonic,
        reply: Reply<()>,
    },
}

impl Message {
    /// A request of the engine's own, whose answer nobody waits for.
    fn cancel(execution: ExecutionId, cause: &str) -> Self {
        let cause = cause.to_owned();
        Self::Event {
            execution,
            kind: EventKind::CancelRequested { cause, error: None },
            reply: oneshot::channel().0,
        }
    }
}

/// Who learns that an append is stored.
enum Waiting {
    Started(Reply<ExecutionHead>),
    Told(Reply<()>),
    Asked(Reply<Data>, Data),
    Taken(Reply<Offer>, Offer),
    Letter(LetterId),
}

/// Why an execution is not in the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// Its last append is under way.
    Ending,
    /// So is it, and it goes on as that execution.
    Continuing(ExecutionId),
    /// It is being loaded again.
    Loading,
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
    progress: Progress,
    cold: Option<Duration>,
}

/// The appends of one execution that are under way.
#[derive(Default)]
struct UnderWay {
    count: usize,
    /// Who waits for the last of them.
    waiting: Vec<Waiting>,
}

type Reloaded = (ExecutionId, Result<Option<Message>>, Option<TaskError>);

/// What the loop works with.
pub(super) struct Tools {
    pub(super) store: Arc<dyn WorkflowExecutionStore>,
    pub(super) invoker: Arc<dyn Invoker>,
    pub(super) resources: Option<Arc<dyn TaskResources>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) decisions: DecisionLog,
}

pub(super) struct Live {
    core: EngineCore,
    shared: Weak<Shared>,
    store: Arc<dyn WorkflowExecutionStore>,
    invoker: Arc<dyn Invoker>,
    resources: Option<Arc<dyn TaskResources>>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    decisions: DecisionLog,
    epoch: Epoch,
    options: EngineOptions,
    workers: Workers,
    undone: mpsc::UnboundedReceiver<workers::Offered>,
    calls: JoinSet<CallEnd>,
    aborts: HashMap<(ExecutionId, TaskNumber), AbortHandle>,
    flights: FuturesUnordered<BoxFuture<'static, (Flight, Result<()>)>>,
    under_way: HashMap<ExecutionId, UnderWay>,
    reloads: FuturesUnordered<BoxFuture<'static, Reloaded>>,
    chores: FuturesUnordered<BoxFuture<'static, Vec<Message>>>,
    taken: Taken,
    waiting: HashMap<ExecutionId, Vec<Waiting>>,
    waiters: HashMap<ExecutionId, Vec<Reply<ExecutionHead>>>,
    /// Who waits for a transition behind that one.
    followers: HashMap<ExecutionId, Vec<(TransitionNumber, Reply<ExecutionHead>)>>,
    /// Executions that are not in the core, but will be told of.
    away: HashMap<ExecutionId, Away>,
    generations: HashMap<ExecutionId, u64>,
    generation: u64,
    wake_at: Option<Monotonic>,
    closing: Option<(Monotonic, Vec<Reply<()>>)>,
    lost: bool,
}

impl Live {
    pub(super) fn new(
        shared: Weak<Shared>,
        core: EngineCore,
        tools: Tools,
        epoch: Epoch,
        options: EngineOptions,
    ) -> Self {
        let (workers, undone) = Workers::new();
        Self {
            core,
            shared,
            store: tools.store,
            invoker: tools.invoker,
            resources: tools.resources,
            clock: tools.clock,
            ids: tools.ids,
            decisions: tools.decisions,
            epoch,
            options,
            workers,
            undone,
            calls: JoinSet::new(),
            aborts: HashMap::new(),
            flights: FuturesUnordered::new(),
            under_way: HashMap::new(),
            reloads: FuturesUnordered::new(),
            chores: FuturesUnordered::new(),
            taken: Taken::default(),
            waiting: HashMap::new(),
            waiters: HashMap::new(),
            followers: HashMap::new(),
            away: HashMap::new(),
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
                Some(messages) = self.chores.next(), if !self.chores.is_empty() => {
                    messages.into_iter().for_each(|message| self.message(message));
                }
                Some(offered) = self.undone.recv() => self.take_back(offered),
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

    /// An event that somebody learns the fate of.
    fn event_for(&mut self, id: ExecutionId, kind: EventKind, waiting: Waiting) {
        match self.try_event(id, kind) {
            Ok(()) => self.waiting.entry(id).or_default().push(waiting),
            Err(error) => self.disappoint(vec![waiting], &error),
        }
    }

    fn event(&mut self, id: ExecutionId, kind: EventKind) {
        // Its execution has been told of it.
        let _ = self.try_event(id, kind);
    }

    fn try_event(&mut self, id: ExecutionId, kind: EventKind) -> Result<()> {
        let event = ProgramEvent {
            at: self.clock.wall(),
            entropy: self.core.entropy(),
            kind,
        };
        self.apply(id, EngineEvent::Program(event))
    }

    /// What a program cannot bear ends its execution.
    fn apply(&mut self, id: ExecutionId, event: EngineEvent) -> Result<()> {
        let applied = self.core.apply(id, event, self.clock.now());
        if let Err(error) = &applied {
            tracing::error!(execution = %id, %error, "an event could not be applied");
            self.reload(id, Some(TaskError::from(error)));
        }
        applied
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
                let result = Err(call::late());
                self.event(id, EventKind::TaskEnded { task, result });
                self.stop_task(id, task);
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
            // Who waits for others (a child, a job) is no reason to wait.
            let idle = self.core.running() == 0 && self.flights.is_empty();
            idle || self.clock.now() >= *deadline
        })
    }

    async fn stop(mut self) {
        let left = self.core.running();
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
            let _ = reply.send(if left == 0 {
                Ok(())
            } else {
                Err(late().into())
            });
        }
    }
}
