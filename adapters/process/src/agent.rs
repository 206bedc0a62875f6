//! [`ProcessNode`]: the node as the resource manager sees it.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Component, Description, Error, NodeName, Result, SandboxId};
use faas_resource::agent::{
    EnsureSandbox, Exec, ExitCauseKind, LogLine, NodeEvent, NodeInfo, SandboxPhase, SandboxState,
    SandboxStatus, SandboxUsage,
};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{CodeSource, Executable, NodeAgent};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::process::Signal;
use tokio::sync::broadcast;

use crate::config::ProcessNodeBuilder;
use crate::error;
use crate::sandbox::{self, Started};
use crate::table::Shared;
use crate::watchdog;

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

    pub(crate) fn new(config: ProcessNodeBuilder, lock: File) -> Self {
        let mut info = NodeInfo::new(
            config.name.clone(),
            config.capacity.clone(),
            ExecutableKind::Program,
        );
        info.labels = config.labels.clone();
        info.taints = config.taints.clone();
        info.reach = [ReachKind::Loopback, ReachKind::Mount].into();
        info.exit_causes = [
            ExitCauseKind::Code,
            ExitCauseKind::Signal,
            ExitCauseKind::StartFailure,
        ]
        .into();
        Self {
            shared: Arc::new(Shared::new(info, config)),
            _lock: lock,
        }
    }

    fn check(&self, request: &EnsureSandbox) -> Result<()> {
        let node = &self.shared.info.name;
        request.spec.validate()?;
        if request.state != SandboxState::Running {
            let message = format!("node {node} has no state {:?}", request.state);
            return Err(Error::unsupported("ensure sandbox", message));
        }
        if !matches!(request.spec.executable, Executable::Program(_)) {
            let kind = request.spec.executable.kind();
            let message = format!("node {node} runs programs, not a {kind:?}");
            return Err(Error::unsupported("ensure sandbox", message));
        }
        Ok(())
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
        // What cannot be removed now is removed when a node starts at this root.
        let _ = std::fs::remove_dir_all(sandboxes);
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
                let host = self.shared.mount(sandbox);
                let made = tokio::fs::create_dir_all(&host).await;
                made.map_err(|e| error::file("make mount", &host, e))?;
                let guest = host.clone();
                Ok(Some(Reach::Mount { host, guest }))
            }
            _ => Ok(None),
        }
    }

    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.check(&request)?;
        let id = request.id;
        let (mut started, new) = self.shared.enter(&request)?;
        if let Some(report) = new {
            // A task of its own: dropping this future leaves a sandbox that is listed, or none.
            tokio::spawn(sandbox::start(self.shared.clone(), request, report));
        }
        let answer = started.wait_for(Option::is_some).await;
        let failed = answer.map_err(|_| error::lost("ensure sandbox"))?.clone();
        if let Some(Started::Failed(error)) = failed {
            return Err(error);
        }
        let status = self.shared.status(id);
        let status = status.ok_or_else(|| error::not_found("ensure sandbox", id))?;
        if let SandboxPhase::Exited(cause) = &status.phase {
            let message = format!("sandbox {id} has {cause}; stop it first");
            return Err(Error::conflict("ensure sandbox", message));
        }
        Ok(status)
    }

    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        if let Some((mut started, mut ended)) = self.shared.begin_stop(sandbox) {
            // Closed: the start failed, or its runtime is gone.
            let _ = started.wait_for(Option::is_some).await;
            self.shared.signal(sandbox, Signal::TERM);
            let clock = &self.shared.config.clock;
            let forced = clock.sleep_until(clock.now() + grace);
            let in_time = tokio::select! {
                biased;
                ended = ended.wait_for(|ended| *ended) => ended.is_ok(),
                () = forced => false,
            };
            if !in_time {
                self.shared.signal(sandbox, Signal::KILL);
                let _ = ended.wait_for(|ended| *ended).await;
            }
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
        None
    }

    fn describe(&self) -> Description {
        Description::new("ProcessNode").provides(Component::R4)
    }
}
