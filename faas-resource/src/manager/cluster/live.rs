//! The half that acts: it carries out the core's actions in tasks, and feeds what comes of them
//! back. There is no loop to poll: whoever brings news drives the core at once.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faas_core::{Clock, Error, Monotonic, NodeName, Result, SandboxId};
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};
use tokio::task::JoinSet;

use super::core::{Action, Core, Start, Stop};
use super::names::{self, NamingJob};
use crate::agent::{EnsureSandbox, NodeEvent, SandboxPhase, SandboxStatus};
use crate::hook::{Hooks, Prepared, Reach, SandboxHook};
use crate::workload::{StartTimes, WorkloadEvent, WorkloadSpec};
use crate::{NamingService, NodeAgent};

/// The first wait between attempts at what must succeed in the end; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// The scheduler may ask to be woken as often as it likes, but not more often than this.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

pub(super) struct Live {
    core: Mutex<Core>,
    agents: BTreeMap<NodeName, Arc<dyn NodeAgent>>,
    pub(super) hooks: Hooks,
    pub(super) clock: Arc<dyn Clock>,
    events: broadcast::Sender<WorkloadEvent>,
    /// `None` once it is closed.
    tasks: Mutex<Option<JoinSet<()>>>,
    starts: Semaphore,
    names: mpsc::UnboundedSender<NamingJob>,
    /// Told when there may be another time to wake at.
    pub(super) timer: Notify,
    /// Told when a sandbox is gone.
    pub(super) freed: Notify,
}

/// How much the live half does at once, and how many events a watcher may fall behind.
pub(super) struct Bounds {
    pub(super) starts: usize,
    pub(super) events: usize,
}

impl Live {
    pub(super) fn spawn(
        core: Core,
        agents: BTreeMap<NodeName, Arc<dyn NodeAgent>>,
        hooks: Hooks,
        clock: Arc<dyn Clock>,
        naming: Option<Arc<dyn NamingService>>,
        bounds: &Bounds,
    ) -> Arc<Self> {
        let (names, jobs) = mpsc::unbounded_channel();
        let live = Arc::new(Self {
            core: Mutex::new(core),
            agents,
            hooks,
            clock: clock.clone(),
            events: broadcast::Sender::new(bounds.events),
            tasks: Mutex::new(Some(JoinSet::new())),
            starts: Semaphore::new(bounds.starts),
            names,
            timer: Notify::new(),
            freed: Notify::new(),
        });
        live.task(names::serve(naming, clock, jobs));
        live.task(live.clone().wake());
        live
    }

    /// Opens the nodes, adopts what runs on them, and from then on listens to them. Answers when
    /// every node that can be reached has been heard.
    pub(super) async fn adopt(self: &Arc<Self>) {
        // Each is watched before it is listed, so nothing falls between.
        let heard = self.agents.iter().map(|(node, agent)| {
            let (live, events) = (self.clone(), agent.watch());
            let (node, agent) = (node.clone(), agent.clone());
            async move {
                let listed = live.list(&node, &agent).await;
                if let Err(error) = &listed {
                    tracing::warn!(%node, %error, "a node does not answer; trying again");
                }
                live.task(live.clone().listen(node, agent, events, listed.is_ok()));
            }
        });
        futures::future::join_all(heard).await;
    }

    async fn list(self: &Arc<Self>, node: &NodeName, agent: &Arc<dyn NodeAgent>) -> Result<()> {
        let expected = self.read(|core| core.running_on(node));
        let listed = agent.list().await?;
        let info = agent.node();
        self.drive(|core, now| {
            core.node(info, true);
            core.listed(node, &expected, listed, now);
        });
        Ok(())
    }

    async fn listen(
        self: Arc<Self>,
        node: NodeName,
        agent: Arc<dyn NodeAgent>,
        mut events: futures::stream::BoxStream<'static, NodeEvent>,
        listed: bool,
    ) {
        if !listed {
            self.insist(|| self.list(&node, &agent)).await;
        }
        while let Some(event) = events.next().await {
            match event {
                NodeEvent::Resync => self.insist(|| self.list(&node, &agent)).await,
                NodeEvent::Node(info) => self.drive(|core, _| core.node(*info, true)),
                NodeEvent::Removed(id) => {
                    let cause = crate::agent::ExitCause::Unknown;
                    self.drive(|core, now| core.exited(id, cause, now));
                }
                NodeEvent::Sandbox(status) => {
                    if let SandboxPhase::Exited(cause) = status.phase {
                        self.drive(|core, now| core.exited(status.id, cause, now));
                    }
                }
            }
        }
        tracing::warn!(%node, "the events of a node have ended; it takes no more sandboxes");
        self.drive(|core, _| core.node(agent.node(), false));
    }

    /// Attempts something until it succeeds.
    async fn insist<F, Fut>(&self, mut attempt: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let mut wait = FIRST_RETRY;
        while let Err(error) = attempt().await {
            tracing::warn!(%error, ?wait, "trying again");
            self.clock.sleep_until(self.clock.now() + wait).await;
            wait = (wait * 2).min(LONGEST_RETRY);
        }
    }

    /// Wakes the core when it wants to be.
    async fn wake(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let wake = self.read(|core| core.wake_at(now));
            let told = self.timer.notified();
            match wake {
                None => told.await,
                Some(at) => {
                    let sleep = self.clock.sleep_until(at.max(now + SHORTEST_SLEEP));
                    tokio::select! {
                        () = told => continue,
                        () = sleep => self.drive(|core, _| core.wake_waiting()),
                    }
                }
            }
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings news to the core, and does at once what it makes of them.
    pub(super) fn drive<T>(self: &Arc<Self>, news: impl FnOnce(&mut Core, Monotonic) -> T) -> T {
        let now = self.clock.now();
        let mut core = self.lock();
        let answer = news(&mut core, now);
        let needs = |hook: &faas_core::HookName| self.hooks.get(hook).map(|hook| hook.needs());
        core.reconcile(now, &|hook| needs(hook).unwrap_or_default());
        // Still under the lock: the watchers hear in the order in which it happened.
        for action in std::mem::take(&mut core.actions) {
            self.act(action);
        }
        drop(core);
        self.timer.notify_one();
        answer
    }

    fn act(self: &Arc<Self>, action: Action) {
        match action {
            Action::Tell(event) => {
                // An error means that nobody watches.
                let _ = self.events.send(event);
            }
            Action::Start(start) => self.task(self.clone().start(start)),
            Action::Stop(stop) => self.task(self.clone().stop(stop)),
            Action::Resume(status, node, spec) => {
                self.task(self.clone().resume(status, node, spec));
            }
            Action::Bind(node, sandbox, endpoint) => {
                let _ = self.names.send(NamingJob::Bind(node, sandbox, endpoint));
            }
            Action::Unbind(node, sandbox) => {
                let _ = self.names.send(NamingJob::Unbind(node, sandbox));
            }
        }
    }

    async fn start(self: Arc<Self>, start: Start) {
        let mut times = StartTimes {
            place: start.place,
            ..StartTimes::default()
        };
        let Ok(_permit) = self.starts.acquire().await else {
            return;
        };
        let attempt = AssertUnwindSafe(self.attempt(&start, &mut times)).catch_unwind();
        let result = attempt.await.unwrap_or_else(|_| {
            Err(Error::internal(
                "start sandbox",
                "its agent or hook panicked",
            ))
        });
        self.drive(|core, now| core.started(start.sandbox, result, times, now));
    }

    async fn attempt(&self, start: &Start, times: &mut StartTimes) -> Result<SandboxStatus> {
        let agent = self.agent(&start.node)?;
        let begin = self.clock.now();
        let hook = self.hook(&start.spec)?;
        let mut prepared = Prepared::default();
        if let Some(hook) = &hook {
            let reach = reach(agent, &**hook, start.sandbox).await?;
            prepared = hook.prepare(start.sandbox, reach).await?;
        }
        let middle = self.clock.now();
        times.prepare = middle.since(begin);
        let spec = Arc::new(start.spec.sandbox.clone());
        let mut request = EnsureSandbox::running(start.sandbox, start.spec.id, spec);
        request.prepared = prepared;
        let status = agent.ensure(request).await;
        times.start = self.clock.now().since(middle);
        status
    }

    async fn resume(
        self: Arc<Self>,
        status: SandboxStatus,
        node: NodeName,
        spec: Arc<WorkloadSpec>,
    ) {
        let resumed = async {
            if let Some(hook) = self.hook(&spec)? {
                let reach = reach(self.agent(&node)?, &*hook, status.id).await?;
                hook.resume(status.id, reach, &status.cookie).await?;
            }
            Ok(())
        };
        let result = AssertUnwindSafe(resumed).catch_unwind().await;
        let result = result.unwrap_or_else(|_| {
            Err(Error::internal(
                "resume sandbox",
                "its agent or hook panicked",
            ))
        });
        self.drive(|core, now| core.resumed(status, result, now));
    }

    async fn stop(self: Arc<Self>, stop: Stop) {
        let attempt = || async {
            let stopped = AssertUnwindSafe(self.agent(&stop.node)?.stop(stop.sandbox, stop.grace));
            let panicked = |_| Err(Error::internal("stop sandbox", "its agent panicked"));
            stopped.catch_unwind().await.unwrap_or_else(panicked)
        };
        self.insist(attempt).await;
        if let Some(hook) = stop.hook.as_ref().and_then(|hook| self.hooks.get(hook)) {
            let released = AssertUnwindSafe(hook.release(stop.sandbox, &stop.end)).catch_unwind();
            if released.await.is_err() {
                tracing::error!(sandbox = %stop.sandbox, "its hook panicked when released");
            }
        }
        self.drive(|core, _| core.stopped(stop.sandbox));
        self.freed.notify_waiters();
    }

    fn agent(&self, node: &NodeName) -> Result<&Arc<dyn NodeAgent>> {
        let agent = self.agents.get(node);
        agent.ok_or_else(|| Error::not_found("find node", format!("there is no node {node}")))
    }

    fn hook(&self, spec: &WorkloadSpec) -> Result<Option<Arc<dyn SandboxHook>>> {
        let Some(name) = &spec.sandbox.hook else {
            return Ok(None);
        };
        let hook = self.hooks.get(name).cloned();
        hook.map(Some)
            .ok_or_else(|| Error::unsupported("find hook", format!("hook {name} is not offered")))
    }

    pub(super) fn watch(&self) -> broadcast::Receiver<WorkloadEvent> {
        self.events.subscribe()
    }

    /// Runs a task until it ends or the manager does.
    fn task(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = tasks.as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Ends all tasks, and starts no more.
    pub(super) fn close(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = tasks.take();
        // Dropped without the lock: a task that is dropped may want it.
        drop(tasks);
        drop(taken);
    }
}

async fn reach(
    agent: &Arc<dyn NodeAgent>,
    hook: &dyn SandboxHook,
    sandbox: SandboxId,
) -> Result<Option<Reach>> {
    let needs = hook.needs();
    for kind in &needs {
        if let Some(reach) = agent.reach(sandbox, *kind).await? {
            return Ok(Some(reach));
        }
    }
    if needs.is_empty() {
        return Ok(None);
    }
    let message = format!("the node offers none of {needs:?}, which its hook needs");
    Err(Error::unsupported("prepare sandbox", message))
}
