//! The half that acts: it carries out the core's actions in tasks, and feeds what comes of them
//! back. There is no loop to poll: whoever brings news drives the core at once.

mod bounded;
mod follow;
mod moves;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faas_core::{Clock, Error, HookName, Monotonic, NodeName, Result, SandboxId};
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::task::JoinSet;

use super::action::Action;
use super::core::Core;
use super::names::Names;
use crate::agent::ExitCause;
use crate::hook::{Hooks, ReachKind, SandboxHook};
use crate::spec::SandboxSpec;
use crate::workload::WorkloadEvent;
use crate::{NamingService, NodeAgent};

/// The scheduler may ask to be woken as often as it likes, but not more often than this.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// A node, and whether it has been silent for too long.
struct Node {
    agent: Arc<dyn NodeAgent>,
    lost: watch::Sender<bool>,
}

pub(super) struct Live {
    core: Mutex<Core>,
    nodes: BTreeMap<NodeName, Node>,
    pub(super) hooks: Hooks,
    pub(super) clock: Arc<dyn Clock>,
    bounds: Bounds,
    events: broadcast::Sender<WorkloadEvent>,
    /// `None` once it is closed.
    tasks: Mutex<Option<JoinSet<()>>>,
    starts: Semaphore,
    names: Arc<Names>,
    /// Told when there may be another time to wake at.
    timer: Notify,
    /// Told when a sandbox is gone.
    pub(super) freed: Notify,
}

/// What the live half may do at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How many sandboxes are prepared and started at once.
    pub(crate) starts: usize,
    /// How many events a watcher may fall behind.
    pub(crate) events: usize,
    /// How long one start may take.
    pub(crate) start: Duration,
    /// How long a node may be silent.
    pub(crate) silence: Duration,
}

impl Live {
    pub(super) fn spawn(
        core: Core,
        agents: BTreeMap<NodeName, Arc<dyn NodeAgent>>,
        hooks: Hooks,
        clock: Arc<dyn Clock>,
        naming: Option<Arc<dyn NamingService>>,
        bounds: Bounds,
    ) -> Arc<Self> {
        let watched = |(name, agent)| {
            let lost = watch::Sender::new(false);
            (name, Node { agent, lost })
        };
        let names = Arc::new(Names::default());
        let live = Arc::new(Self {
            core: Mutex::new(core),
            nodes: agents.into_iter().map(watched).collect(),
            hooks,
            clock: clock.clone(),
            bounds,
            events: broadcast::Sender::new(bounds.events),
            tasks: Mutex::new(Some(JoinSet::new())),
            starts: Semaphore::new(bounds.starts),
            names: names.clone(),
            timer: Notify::new(),
            freed: Notify::new(),
        });
        live.task(names.serve(naming, clock));
        live.task(live.clone().wake());
        live
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

    /// What a hook needs.
    pub(super) fn needs(&self, hook: &HookName) -> Vec<ReachKind> {
        let hook = self.hooks.get(hook);
        hook.map(|hook| hook.needs()).unwrap_or_default()
    }

    /// Brings news to the core, and does at once what it makes of them.
    pub(super) fn drive<T>(self: &Arc<Self>, news: impl FnOnce(&mut Core, Monotonic) -> T) -> T {
        let now = self.clock.now();
        let mut core = self.lock();
        let answer = news(&mut core, now);
        core.reconcile(now, &|hook| self.needs(hook));
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
            Action::Move(to) => self.task(self.clone().bring(to)),
            Action::Resume(status, node, template) => {
                self.task(self.clone().resume(status, node, template));
            }
            Action::Stop(stop) => self.task(self.clone().stop(stop)),
            Action::Release(hook, sandbox) => {
                self.task(self.clone().release_lost(hook, sandbox));
            }
            Action::Name(node, sandbox, endpoint) => self.names.name(node, sandbox, endpoint),
            Action::Sweep(node, kept) => self.names.sweep(node, kept),
        }
    }

    fn node(&self, node: &NodeName) -> Result<&Node> {
        let found = self.nodes.get(node);
        found.ok_or_else(|| Error::not_found("find node", format!("there is no node {node}")))
    }

    fn hook(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn SandboxHook>>> {
        let Some(name) = &spec.hook else {
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
    pub(super) fn task(&self, task: impl Future<Output = ()> + Send + 'static) {
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

    async fn release_lost(self: Arc<Self>, hook: HookName, sandbox: SandboxId) {
        if let Some(hook) = self.hooks.get(&hook) {
            self.release(&**hook, sandbox, &ExitCause::NodeLost).await;
        }
    }
}
