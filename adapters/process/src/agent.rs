//! [`ProcessNode`]: the node as the resource manager sees it.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Component, Description, Error, NodeName, Result, SandboxId};
use faas_resource::agent::{
    Assign, AssignSandbox, EnsureSandbox, Exec, ExitCauseKind, LogLine, NodeEvent, NodeInfo,
    SandboxState, SandboxStatus, SandboxUsage,
};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{CodeSource, Executable, NodeAgent, SandboxSpec};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::process::Signal;
use tokio::sync::broadcast;

use crate::config::ProcessNodeBuilder;
use crate::error;
use crate::sandbox;
use crate::table::{Handle, Shared};
use crate::watchdog::{self, Watchdog};

/// How often it is attempted to remove what is left of a node. What cannot be removed then is removed
/// when a node starts at its root.
const REMOVALS: usize = 10;

/// A node whose sandboxes are child processes of this process; for trusted code.
///
/// Dropping it kills its sandboxes and removes their directories, which takes some milliseconds of
/// the dropping thread. It must be used within a tokio runtime that has I/O and time enabled.
pub struct ProcessNode {
    shared: Arc<Shared>,
    /// Keeps other nodes from the root.
    _lock: File,
}

impl ProcessNode {
    /// See [`ProcessNodeBuilder::new`].
    pub fn builder(
        name: NodeName,
        root: impl Into<PathBuf>,
        source: Arc<dyn CodeSource>,
    ) -> ProcessNodeBuilder {
        ProcessNodeBuilder::new(name, root, source)
    }

    pub(crate) fn new(config: ProcessNodeBuilder, watchdog: Watchdog, lock: File) -> Self {
        let mut info = NodeInfo::new(
            config.name.clone(),
            config.capacity.clone(),
            ExecutableKind::Program,
        );
        info.labels = config.labels.clone();
        info.taints = config.taints.clone();
        info.reach = [ReachKind::Loopback, ReachKind::Mount].into();
        info.states = [
            SandboxState::Created,
            SandboxState::Paused,
            SandboxState::Running,
        ]
        .into();
        info.exit_causes = [
            ExitCauseKind::Code,
            ExitCauseKind::Signal,
            ExitCauseKind::StartFailure,
        ]
        .into();
        Self {
            shared: Arc::new(Shared::new(info, config, watchdog)),
            _lock: lock,
        }
    }
}

impl Drop for ProcessNode {
    fn drop(&mut self) {
        // First, so that what is being started now cannot be registered any more.
        let started = self.shared.watchdog.close();
        self.shared.kill_all();
        let sandboxes = self.shared.sandboxes();
        if started {
            watchdog::sweep(&sandboxes);
        }
        // A directory that is being made just now can get in the way; then it is removed by whoever
        // makes it, and the rest here.
        for _ in 0..REMOVALS {
            if std::fs::remove_dir_all(&sandboxes).is_ok() || !sandboxes.exists() {
                break;
            }
        }
    }
}

impl fmt::Debug for ProcessNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessNode")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl NodeAgent for ProcessNode {
    fn node(&self) -> NodeInfo {
        self.shared.info.clone()
    }

    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        match kind {
            ReachKind::Loopback => Ok(Some(Reach::Loopback)),
            ReachKind::Mount => {
                self.shared.make_directories(sandbox).await?;
                let host = self.shared.mount(sandbox);
                let guest = host.clone();
                Ok(Some(Reach::Mount { host, guest }))
            }
            _ => Ok(None),
        }
    }

    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.shared.check("ensure sandbox", &request.spec)?;
        if let Some(status) = self.shared.settled(request.id, request.state) {
            return Ok(status);
        }
        let handle = self.shared.enter(&request)?;
        let shared = self.shared.clone();
        // A task of its own: dropping this future leaves a sandbox that is listed, or none.
        let brought = tokio::spawn(async move { sandbox::bring(&shared, &handle, &request).await });
        brought.await.map_err(|_| error::lost("ensure sandbox"))?
    }

    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        if let Some(handle) = self.shared.begin_stop(sandbox) {
            let _turn = handle.turn.lock().await;
            self.shared.end(&handle, grace).await;
            return self.shared.remove(sandbox).await;
        }
        self.shared.remove(sandbox).await
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.shared.statuses())
    }

    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        stream::unfold(self.shared.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((NodeEvent::Resync, events)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        match self.shared.logs(sandbox) {
            Some(logs) => logs.read(follow),
            None => stream::iter([Err(error::not_found("read logs", sandbox))]).boxed(),
        }
    }

    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.shared.usage(sandbox)
    }

    fn exec(&self) -> Option<Arc<dyn Exec>> {
        Some(self.shared.clone())
    }

    fn assign(&self) -> Option<Arc<dyn Assign>> {
        Some(self.shared.clone())
    }

    fn describe(&self) -> Description {
        Description::new("ProcessNode").provides(Component::R4)
    }
}

impl Shared {
    fn check(&self, operation: &'static str, spec: &SandboxSpec) -> Result<()> {
        spec.validate()?;
        if matches!(spec.executable, Executable::Program(_)) {
            return Ok(());
        }
        let (node, kind) = (&self.info.name, spec.executable.kind());
        let message = format!("node {node} runs programs, not a {kind:?}");
        Err(Error::unsupported(operation, message))
    }

    /// Has the processes of a sandbox end: gracefully first, and forced after `grace`.
    async fn end(&self, handle: &Handle, grace: Duration) {
        if self.signal(handle.id, Signal::TERM).is_none() {
            // It was never started, or is at its end already.
            if self.is_ending(handle.id) {
                handle.ended().await;
            }
            return;
        }
        // A frozen one hears nothing.
        self.signal(handle.id, Signal::CONT);
        let clock = &self.config.clock;
        let forced = clock.sleep_until(clock.now() + grace);
        tokio::select! {
            biased;
            () = handle.ended() => return,
            () = forced => {}
        }
        self.signal(handle.id, Signal::KILL);
        handle.ended().await;
    }
}

#[async_trait]
impl Assign for Shared {
    /// As long as it was not started, it may become another program.
    async fn assign(&self, request: AssignSandbox) -> Result<SandboxStatus> {
        const OPERATION: &str = "assign sandbox";
        let id = request.id;
        self.check(OPERATION, &request.spec)?;
        let handle = self
            .handle(id)
            .ok_or_else(|| error::not_found(OPERATION, id))?;
        let _turn = handle.turn.lock().await;
        let standing = self.standing(OPERATION, &handle)?;
        let status = standing.status;
        if (status.workload, status.digest) == (request.workload, request.digest) {
            return Ok(status);
        }
        if standing.state != SandboxState::Created {
            let message = format!("sandbox {id} was started, and runs the program that it runs");
            return Err(Error::unsupported(OPERATION, message));
        }
        let code = sandbox::code(self, &request.spec).await?;
        self.assigned(&request, code);
        Ok(self.standing(OPERATION, &handle)?.status)
    }
}
