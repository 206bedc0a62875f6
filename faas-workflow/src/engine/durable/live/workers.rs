//! Work that workers pull: tasks that wait for a worker, and workers that wait for a task.

use super::*;

/// Whose tasks, for which resource.
pub(super) type Pool = (Namespace, ResourceName);

/// A task to hand out.
#[derive(Debug, Clone)]
pub(in crate::engine::durable) struct Offered {
    pool: Pool,
    execution: ExecutionId,
    task: TaskNumber,
}

/// Work on its way to a worker; if nobody takes it, it is handed out again.
#[derive(Debug)]
pub(in crate::engine::durable) struct Offer {
    work: Option<WorkerTask>,
    offered: Offered,
    undo: mpsc::UnboundedSender<Offered>,
}

impl Offer {
    /// The work; it is the caller's now.
    pub(in crate::engine::durable) fn take(mut self) -> Option<WorkerTask> {
        self.work.take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.work.is_some() {
            // An error means that the engine is gone: then the next one hands it out, or its
            // timeout ends it.
            let _ = self.undo.send(self.offered.clone());
        }
    }
}

struct Poller {
    worker: Option<String>,
    reply: Reply<Offer>,
}

/// What waits for what; at most one of the two queues of a pool holds anything.
pub(super) struct Workers {
    tasks: HashMap<Pool, VecDeque<Offered>>,
    pollers: HashMap<Pool, VecDeque<Poller>>,
    undo: mpsc::UnboundedSender<Offered>,
    /// Tasks that were said to be taken, but whose worker did not get them.
    unhanded: HashSet<(ExecutionId, TaskNumber)>,
}

impl Workers {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Offered>) {
        let (undo, undone) = mpsc::unbounded_channel();
        let workers = Self {
            tasks: HashMap::new(),
            pollers: HashMap::new(),
            undo,
            unhanded: HashSet::new(),
        };
        (workers, undone)
    }
}

impl Live {
    pub(super) fn offer(&mut self, pool: Pool, execution: ExecutionId, task: TaskNumber) {
        let offered = Offered {
            pool: pool.clone(),
            execution,
            task,
        };
        self.workers
            .tasks
            .entry(pool.clone())
            .or_default()
            .push_back(offered);
        self.hand_out(&pool);
    }

    pub(super) fn take_back(&mut self, offered: Offered) {
        let pool = offered.pool.clone();
        self.workers
            .tasks
            .entry(pool.clone())
            .or_default()
            .push_front(offered);
        self.hand_out(&pool);
    }

    pub(super) fn poll(&mut self, request: PollTask, reply: Reply<Offer>) {
        let pool = (request.namespace, request.resource);
        let poller = Poller {
            worker: request.worker,
            reply,
        };
        let pollers = self.workers.pollers.entry(pool.clone()).or_default();
        pollers.retain(|poller| !poller.reply.is_closed());
        pollers.push_back(poller);
        self.hand_out(&pool);
    }

    fn hand_out(&mut self, pool: &Pool) {
        while let Some((offered, poller)) = self.pair(pool) {
            let (id, task) = (offered.execution, offered.task);
            let running = self
                .core
                .execution(id)
                .and_then(|core| core.running_task(task));
            let Some(running) = running else {
                // It was cancelled while it waited; the worker goes on waiting.
                self.workers
                    .pollers
                    .entry(pool.clone())
                    .or_default()
                    .push_front(poller);
                continue;
            };
            let Some(work) = work(id, running) else {
                self.workers
                    .pollers
                    .entry(pool.clone())
                    .or_default()
                    .push_front(poller);
                let error = TaskError::new("Platform.InvalidArgument", "the task has no token");
                let result = Err(error.with_retry(TaskRetry::Never));
                self.event(id, EventKind::TaskEnded { task, result });
                continue;
            };
            let told = running.accepted;
            let undo = self.workers.undo.clone();
            let offer = Offer {
                work: Some(work),
                offered,
                undo,
            };
            if told {
                let _ = poller.reply.send(Ok(offer));
                continue;
            }
            let worker = poller.worker;
            let taken = EventKind::TaskStarted { task, worker };
            self.event_for(id, taken, Waiting::Taken(poller.reply, offer));
        }
        self.workers.tasks.retain(|_, tasks| !tasks.is_empty());
        self.workers
            .pollers
            .retain(|_, pollers| !pollers.is_empty());
    }

    fn pair(&mut self, pool: &Pool) -> Option<(Offered, Poller)> {
        let pollers = self.workers.pollers.get_mut(pool)?;
        pollers.retain(|poller| !poller.reply.is_closed());
        let tasks = self.workers.tasks.get_mut(pool)?;
        let (task, poller) = (tasks.pop_front()?, pollers.pop_front());
        match poller {
            Some(poller) => Some((task, poller)),
            None => {
                tasks.push_front(task);
                None
            }
        }
    }

    /// What was to be handed over was not stored, or may not have been.
    pub(super) fn not_handed(&mut self, offer: Offer) {
        let of = (offer.offered.execution, offer.offered.task);
        self.workers.unhanded.insert(of);
        drop(offer.take());
    }

    /// Hands out again what was stored as taken though its worker did not get it.
    pub(super) fn hand_out_again(&mut self, id: ExecutionId) {
        let Some(core) = self.core.execution(id) else {
            return;
        };
        let namespace = core.head().workflow.namespace.clone();
        let taken = core.running().filter(|running| running.accepted);
        let taken: Vec<_> = taken
            .filter_map(|running| match &running.request.target {
                TaskTarget::Resource { name, .. } => Some((running.request.task, name.clone())),
                _ => None,
            })
            .collect();
        for (task, name) in taken {
            if self.workers.unhanded.remove(&(id, task)) {
                self.offer((namespace.clone(), name), id, task);
            }
        }
        self.workers
            .unhanded
            .retain(|(execution, _)| *execution != id);
    }
}

fn work(id: ExecutionId, running: &RunningTask) -> Option<WorkerTask> {
    let request = &running.request;
    let key = format!("{id}/{}", request.key).into();
    let token = request.token.clone()?;
    Some(WorkerTask::new(token, request.input.clone(), key))
}
