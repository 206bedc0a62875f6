//! The table of sandboxes, which the node and the tasks that work on them share.

mod directories;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use faas_core::{Error, Resources, Result, SandboxId};
use faas_resource::SandboxSpec;
use faas_resource::agent::{
    AssignSandbox, EnsureSandbox, ExitCause, NodeEvent, NodeInfo, SandboxPhase, SandboxState,
    SandboxStatus, SandboxUsage,
};
use faas_resource::endpoint::Endpoint;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{broadcast, watch};

use crate::code_cache::{Code, CodeCache};
use crate::config::ProcessNodeBuilder;
use crate::error;
use crate::logs::Logs;
use crate::usage;
use crate::watchdog::Watchdog;

/// How many events a watcher may fall behind before it has to list again.
const EVENTS: usize = 1024;

/// What a child is started with.
pub(crate) type Environment = BTreeMap<String, String>;

/// What the tasks that work on one sandbox share, however long it stays in the table.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: SandboxId,
    pub(crate) logs: Arc<Logs>,
    /// One thing is done with it at a time, in the order in which it was asked for.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Why it never came to be.
    pub(crate) failed: OnceLock<Error>,
    stopping: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl Handle {
    /// Ends when it is to be stopped.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Ends when its processes have.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

struct Entry {
    handle: Arc<Handle>,
    status: SandboxStatus,
    spec: Arc<SandboxSpec>,
    takes: Resources,
    /// Keeps the code on disk, from when all is there until it has ended.
    code: Option<Arc<Code>>,
    /// What its command was started with, and where it is reached, once it was started.
    started: Option<(Environment, Endpoint)>,
    /// Its first process and process group, from its start until just before it is reaped: while
    /// it is here, the number cannot mean anything else.
    pid: Option<Pid>,
}

/// Where a sandbox stands for whoever has its turn.
pub(crate) struct Standing {
    pub(crate) state: SandboxState,
    pub(crate) spec: Arc<SandboxSpec>,
    /// Whether all is there that it needs to be started.
    pub(crate) code: Option<Arc<Code>>,
    pub(crate) status: SandboxStatus,
}

/// What the node and the tasks of its sandboxes share.
pub(crate) struct Shared {
    pub(crate) info: NodeInfo,
    pub(crate) config: ProcessNodeBuilder,
    pub(crate) watchdog: Watchdog,
    pub(crate) code: CodeCache,
    entries: Mutex<BTreeMap<SandboxId, Entry>>,
    events: broadcast::Sender<NodeEvent>,
}

impl Shared {
    pub(crate) fn new(info: NodeInfo, config: ProcessNodeBuilder, watchdog: Watchdog) -> Self {
        let directory = config.root.join("code");
        Self {
            info,
            code: CodeCache::new(directory, config.code_cache, config.source.clone()),
            config,
            watchdog,
            entries: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told under the lock, so that events come in the order of what happened.
    fn tell(&self, event: NodeEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    /// The sandbox that is asked for, which is entered if it is not there yet.
    pub(crate) fn enter(&self, request: &EnsureSandbox) -> Result<Arc<Handle>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&request.id) {
            return Ok(entry.handle.clone());
        }
        let takes = request.spec.resources.clone();
        let taken = entries
            .values()
            .fold(takes.clone(), |sum, entry| sum.plus(&entry.takes));
        if !self.info.capacity.covers(&taken) {
            let message = format!(
                "node {} has {}; with {takes} more, {taken} would be taken",
                self.info.name, self.info.capacity
            );
            return Err(Error::exhausted("ensure sandbox", message));
        }
        let phase = SandboxPhase::In(SandboxState::Created);
        let mut status = SandboxStatus::new(request.id, request.workload, request.digest, phase);
        status.cookie = request.prepared.cookie.clone();
        let logs = Logs::new(self.config.logs, self.config.clock.clone());
        let handle = Arc::new(Handle {
            id: request.id,
            logs: Arc::new(logs),
            turn: tokio::sync::Mutex::default(),
            failed: OnceLock::new(),
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        let entry = Entry {
            handle: handle.clone(),
            status,
            spec: request.spec.clone(),
            takes,
            code: None,
            started: None,
            pid: None,
        };
        entries.insert(request.id, entry);
        Ok(handle)
    }

    pub(crate) fn handle(&self, sandbox: SandboxId) -> Option<Arc<Handle>> {
        Some(self.lock().get(&sandbox)?.handle.clone())
    }

    /// Where a sandbox stands that can still be worked on.
    pub(crate) fn standing(&self, operation: &'static str, handle: &Handle) -> Result<Standing> {
        if let Some(error) = handle.failed.get() {
            return Err(error.clone());
        }
        let entries = self.lock();
        let stopped = || {
            let message = format!("sandbox {} was stopped meanwhile", handle.id);
            Error::cancelled(operation, message)
        };
        let entry = entries.get(&handle.id).ok_or_else(stopped)?;
        if *handle.stopping.borrow() {
            return Err(stopped());
        }
        match &entry.status.phase {
            SandboxPhase::Exited(cause) => {
                let message = format!("sandbox {} has {cause}; stop it first", handle.id);
                Err(Error::conflict(operation, message))
            }
            SandboxPhase::In(state) => Ok(Standing {
                state: *state,
                spec: entry.spec.clone(),
                code: entry.code.clone(),
                status: entry.status.clone(),
            }),
        }
    }

    /// All is there that it needs to be started.
    pub(crate) fn created(&self, sandbox: SandboxId, code: Arc<Code>) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&sandbox) {
            entry.code = Some(code);
            self.tell(NodeEvent::Sandbox(entry.status.clone()));
        }
    }

    /// It is another workload's, and another program, from now on.
    pub(crate) fn assigned(&self, request: &AssignSandbox, code: Arc<Code>) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&request.id) {
            (entry.code, entry.spec) = (Some(code), request.spec.clone());
            (entry.status.workload, entry.status.digest) = (request.workload, request.digest);
            self.tell(NodeEvent::Sandbox(entry.status.clone()));
        }
    }

    /// Registers a process that has just been started, under the lock that signals take.
    pub(crate) fn spawned(
        &self,
        sandbox: SandboxId,
        pid: Pid,
        environment: Environment,
        endpoint: Endpoint,
    ) -> Result<()> {
        let mut entries = self.lock();
        let entry = entries
            .get_mut(&sandbox)
            .ok_or_else(|| error::lost("start sandbox"))?;
        self.watchdog.add(pid).map_err(|error| {
            Error::unavailable("start sandbox", format!("no watchdog: {error}")).with_source(error)
        })?;
        entry.pid = Some(pid);
        entry.started = Some((environment, endpoint));
        self.enter_state(entry, SandboxState::Running);
        Ok(())
    }

    /// It is paused, or runs again, unless it has ended meanwhile.
    pub(crate) fn changed(&self, sandbox: SandboxId, state: SandboxState) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&sandbox)
            && matches!(entry.status.phase, SandboxPhase::In(_))
        {
            self.enter_state(entry, state);
        }
    }

    fn enter_state(&self, entry: &mut Entry, state: SandboxState) {
        entry.status.phase = SandboxPhase::In(state);
        let endpoint = entry.started.as_ref().map(|(_, endpoint)| endpoint.clone());
        entry.status.endpoint = endpoint.filter(|_| state == SandboxState::Running);
        self.tell(NodeEvent::Sandbox(entry.status.clone()));
    }

    /// The first process has ended and is not reaped yet: kills what is left of its group.
    pub(crate) fn ending(&self, sandbox: SandboxId, pid: Pid) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&sandbox) {
            entry.pid = None;
        }
        // It may be that nothing is left.
        let _ = kill_process_group(pid, Signal::KILL);
        self.watchdog.remove(pid);
    }

    /// All of it has ended.
    pub(crate) fn ended(&self, sandbox: SandboxId, cause: ExitCause) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&sandbox) {
            let stopped = *entry.handle.stopping.borrow();
            let cause = if stopped { ExitCause::Stopped } else { cause };
            self.exit(entry, cause);
        }
    }

    fn exit(&self, entry: &mut Entry, cause: ExitCause) {
        entry.status.phase = SandboxPhase::Exited(cause);
        entry.status.endpoint = None;
        entry.code = None;
        self.tell(NodeEvent::Sandbox(entry.status.clone()));
        entry.handle.ended.send_replace(true);
    }

    /// It never ran, and nothing of it is left.
    pub(crate) fn failed(&self, handle: &Handle, error: &Error) {
        // Set before it leaves the table: who waits for its turn finds the one or the other.
        let _ = handle.failed.set(error.clone());
        let mut entries = self.lock();
        if let Some(mut entry) = entries.remove(&handle.id) {
            self.exit(&mut entry, ExitCause::StartFailure(error.to_string()));
            self.tell(NodeEvent::Removed(handle.id));
        }
    }

    /// From here on its end counts as a stop, and what prepares its start is cut short.
    pub(crate) fn begin_stop(&self, sandbox: SandboxId) -> Option<Arc<Handle>> {
        let entries = self.lock();
        let handle = entries.get(&sandbox)?.handle.clone();
        handle.stopping.send_replace(true);
        Some(handle)
    }

    /// Signals its process group; answers whether it has one.
    pub(crate) fn signal(&self, sandbox: SandboxId, signal: Signal) -> Option<Pid> {
        let entries = self.lock();
        let pid = entries.get(&sandbox)?.pid?;
        // It may have ended just now.
        let _ = kill_process_group(pid, signal);
        Some(pid)
    }

    /// Whether its first process has ended, and it is being cleared away.
    pub(crate) fn is_ending(&self, sandbox: SandboxId) -> bool {
        let entries = self.lock();
        entries.get(&sandbox).is_some_and(|entry| {
            let in_state = matches!(entry.status.phase, SandboxPhase::In(_));
            in_state && entry.started.is_some() && entry.pid.is_none()
        })
    }

    /// Kills all that runs, whatever became of the watchdog.
    pub(crate) fn kill_all(&self) {
        for pid in self.lock().values().filter_map(|entry| entry.pid) {
            // It may have ended just now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Removes what has ended or never started, with its directory.
    pub(crate) async fn remove(&self, sandbox: SandboxId) -> Result<()> {
        self.clear(sandbox).await?;
        let mut entries = self.lock();
        let idle = |entry: &Entry| entry.pid.is_none() && *entry.handle.stopping.borrow();
        if !entries.get(&sandbox).is_some_and(idle) {
            return Ok(());
        }
        if let Some(mut entry) = entries.remove(&sandbox) {
            if let SandboxPhase::In(_) = entry.status.phase {
                self.exit(&mut entry, ExitCause::Stopped);
            }
            entry.handle.logs.close();
            self.tell(NodeEvent::Removed(sandbox));
        }
        Ok(())
    }

    /// Where a sandbox stands, if it is in that state and nothing is left to do for that.
    pub(crate) fn settled(&self, sandbox: SandboxId, state: SandboxState) -> Option<SandboxStatus> {
        let entries = self.lock();
        let entry = entries.get(&sandbox)?;
        let there = entry.code.is_some() && !*entry.handle.stopping.borrow();
        let settled = there && entry.status.phase == SandboxPhase::In(state);
        settled.then(|| entry.status.clone())
    }

    pub(crate) fn statuses(&self) -> Vec<SandboxStatus> {
        self.lock()
            .values()
            .map(|entry| entry.status.clone())
            .collect()
    }

    pub(crate) fn logs(&self, sandbox: SandboxId) -> Option<Arc<Logs>> {
        Some(self.lock().get(&sandbox)?.handle.logs.clone())
    }

    pub(crate) fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        let entries = self.lock();
        let entry = entries.get(&sandbox);
        let entry = entry.ok_or_else(|| error::not_found("read usage", sandbox))?;
        Ok(entry.pid.map(usage::read).unwrap_or_default())
    }

    /// What the command of a running sandbox was started with.
    pub(crate) fn environment(&self, sandbox: SandboxId) -> Option<Environment> {
        let entries = self.lock();
        let entry = entries.get(&sandbox)?;
        let runs = entry.status.is_running() && entry.pid.is_some();
        let started = entry.started.as_ref().filter(|_| runs);
        started.map(|(environment, _)| environment.clone())
    }
}
