//! The table of sandboxes, which the node and the tasks of its sandboxes share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::{Error, Resources, Result, SandboxId};
use faas_resource::agent::{
    EnsureSandbox, ExitCause, NodeEvent, NodeInfo, SandboxPhase, SandboxState, SandboxStatus,
    SandboxUsage,
};
use faas_resource::endpoint::Endpoint;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{broadcast, watch};

use crate::code_cache::CodeCache;
use crate::config::ProcessNodeBuilder;
use crate::error;
use crate::logs::Logs;
use crate::sandbox::Started;
use crate::usage;
use crate::watchdog::Watchdog;

/// How many events a watcher may fall behind before it has to list again.
const EVENTS: usize = 1024;

type StartedReceiver = watch::Receiver<Option<Started>>;
pub(crate) type StartedSender = watch::Sender<Option<Started>>;

struct Entry {
    status: SandboxStatus,
    takes: Resources,
    logs: Arc<Logs>,
    /// Its first process and process group, from its start until just before it is reaped: while
    /// it is here, the number cannot mean anything else.
    pid: Option<Pid>,
    started: StartedReceiver,
    ended: watch::Sender<bool>,
    stopping: bool,
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
    pub(crate) fn new(info: NodeInfo, config: ProcessNodeBuilder) -> Self {
        let directory = config.root.join("code");
        Self {
            info,
            code: CodeCache::new(directory, config.code_cache, config.source.clone()),
            config,
            watchdog: Watchdog::default(),
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

    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.config.root.join("sandboxes")
    }

    pub(crate) fn directory(&self, sandbox: SandboxId) -> PathBuf {
        self.sandboxes().join(sandbox.to_string())
    }

    pub(crate) fn mount(&self, sandbox: SandboxId) -> PathBuf {
        self.directory(sandbox).join("m")
    }

    /// The entry's start, and where to report it if the caller is the one to do it.
    pub(crate) fn enter(
        &self,
        request: &EnsureSandbox,
    ) -> Result<(StartedReceiver, Option<StartedSender>)> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&request.id) {
            return Ok((entry.started.clone(), None));
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
        let (report, started) = watch::channel(None);
        let entry = Entry {
            status,
            takes,
            logs: Arc::new(Logs::new(self.config.logs, self.config.clock.clone())),
            pid: None,
            started: started.clone(),
            ended: watch::Sender::new(false),
            stopping: false,
        };
        entries.insert(request.id, entry);
        Ok((started, Some(report)))
    }

    /// Registers a process that has just been started, under the lock that signals take.
    pub(crate) fn spawned(&self, sandbox: SandboxId, pid: Pid, endpoint: Endpoint) -> Result<()> {
        let mut entries = self.lock();
        let entry = entries
            .get_mut(&sandbox)
            .ok_or_else(|| error::lost("start sandbox"))?;
        self.watchdog.add(pid).map_err(|error| {
            Error::unavailable("start sandbox", format!("no watchdog: {error}")).with_source(error)
        })?;
        entry.pid = Some(pid);
        entry.status.phase = SandboxPhase::In(SandboxState::Running);
        entry.status.endpoint = Some(endpoint);
        self.tell(NodeEvent::Sandbox(entry.status.clone()));
        Ok(())
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
            let cause = if entry.stopping {
                ExitCause::Stopped
            } else {
                cause
            };
            entry.status.phase = SandboxPhase::Exited(cause);
            entry.status.endpoint = None;
            self.tell(NodeEvent::Sandbox(entry.status.clone()));
            entry.ended.send_replace(true);
        }
    }

    /// It never ran, and nothing of it is left.
    pub(crate) fn failed(&self, sandbox: SandboxId, error: &Error) {
        let mut entries = self.lock();
        if let Some(mut entry) = entries.remove(&sandbox) {
            let cause = ExitCause::StartFailure(error.to_string());
            entry.status.phase = SandboxPhase::Exited(cause);
            self.tell(NodeEvent::Sandbox(entry.status));
            self.tell(NodeEvent::Removed(sandbox));
        }
    }

    /// From here on its end counts as a stop.
    pub(crate) fn begin_stop(
        &self,
        sandbox: SandboxId,
    ) -> Option<(StartedReceiver, watch::Receiver<bool>)> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&sandbox)?;
        entry.stopping = true;
        Some((entry.started.clone(), entry.ended.subscribe()))
    }

    pub(crate) fn signal(&self, sandbox: SandboxId, signal: Signal) {
        let entries = self.lock();
        if let Some(pid) = entries.get(&sandbox).and_then(|entry| entry.pid) {
            // It may have ended just now.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Kills all that runs, whatever became of the watchdog.
    pub(crate) fn kill_all(&self) {
        for pid in self.lock().values().filter_map(|entry| entry.pid) {
            // It may have ended just now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Removes what has ended, with its directory.
    pub(crate) async fn remove(&self, sandbox: SandboxId) -> Result<()> {
        self.clear(sandbox).await?;
        let mut entries = self.lock();
        let ended = |entry: &Entry| matches!(entry.status.phase, SandboxPhase::Exited(_));
        if entries.get(&sandbox).is_some_and(ended) {
            entries.remove(&sandbox);
            self.tell(NodeEvent::Removed(sandbox));
        }
        Ok(())
    }

    /// Removes its directory.
    pub(crate) async fn clear(&self, sandbox: SandboxId) -> Result<()> {
        let directory = self.directory(sandbox);
        match tokio::fs::remove_dir_all(&directory).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error::file("stop sandbox", &directory, error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn status(&self, sandbox: SandboxId) -> Option<SandboxStatus> {
        Some(self.lock().get(&sandbox)?.status.clone())
    }

    pub(crate) fn statuses(&self) -> Vec<SandboxStatus> {
        self.lock()
            .values()
            .map(|entry| entry.status.clone())
            .collect()
    }

    pub(crate) fn logs(&self, sandbox: SandboxId) -> Option<Arc<Logs>> {
        Some(self.lock().get(&sandbox)?.logs.clone())
    }

    pub(crate) fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        let entries = self.lock();
        let entry = entries.get(&sandbox);
        let entry = entry.ok_or_else(|| error::not_found("read usage", sandbox))?;
        Ok(entry.pid.map(usage::read).unwrap_or_default())
    }
}
