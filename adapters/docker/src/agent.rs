//! [`DockerNode`]: the node as the resource manager sees it.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::StatsOptions;
use faas_core::{Component, Description, Error, Name, NodeName, Resources, Result, SandboxId};
use faas_resource::agent::{
    EnsureSandbox, ExitCauseKind, LogLine, NodeEvent, NodeInfo, SandboxState, SandboxStatus,
    SandboxUsage,
};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::config::DockerNodeBuilder;
use crate::container::Identity;
use crate::engine::Engine;
use crate::mounts::{GUEST, Mounts};
use crate::options::{DockerOptions, Network};
use crate::table::Shared;
use crate::{error, follow, logs, networks, sandbox, usage};

/// A node whose sandboxes are containers of one Docker Engine.
///
/// It must be used within a tokio runtime that has I/O and time enabled.
pub struct DockerNode {
    shared: Arc<Shared>,
    follower: JoinHandle<()>,
    /// Keeps other nodes from the root.
    _lock: Option<File>,
}

impl DockerNode {
    /// See [`DockerNodeBuilder::new`].
    pub fn builder(cluster: Name, name: NodeName, engine: Engine) -> DockerNodeBuilder {
        DockerNodeBuilder::new(cluster, name, engine)
    }

    pub(crate) async fn start(
        config: DockerNodeBuilder,
        capacity: Resources,
        lock: Option<File>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::new(info(&config, capacity), config));
        match shared.config.ephemeral {
            true => clear(&shared).await?,
            false => follow::reconcile(&shared).await?,
        }
        forget_directories(&shared).await?;
        networks::remove_unused(&shared.config).await?;
        let follower = tokio::spawn(follow::follow(shared.clone()));
        Ok(Self {
            shared,
            follower,
            _lock: lock,
        })
    }

    /// Removes all of its sandboxes and networks, whatever they do, and nothing else.
    ///
    /// # Errors
    /// `Unavailable` if the engine does not answer.
    pub async fn clear(&self) -> Result<()> {
        clear(&self.shared).await
    }
}

fn info(config: &DockerNodeBuilder, capacity: Resources) -> NodeInfo {
    let mut info = NodeInfo::new(config.name.clone(), capacity, ExecutableKind::Image);
    info.labels = config.labels.clone();
    info.taints = config.taints.clone();
    info.reach = match config.network {
        _ if !config.engine.local => [].into(),
        Network::None => [].into(),
        Network::Host => [ReachKind::Loopback].into(),
        Network::Bridge | Network::Own(_) => [ReachKind::Gateway].into(),
    };
    if config.root.is_some() {
        info.reach.insert(ReachKind::Mount);
    }
    info.states = [
        SandboxState::Created,
        SandboxState::Paused,
        SandboxState::Running,
    ]
    .into();
    info.exit_causes = [
        ExitCauseKind::Code,
        ExitCauseKind::Signal,
        ExitCauseKind::OutOfMemory,
        ExitCauseKind::StartFailure,
    ]
    .into();
    info.sandboxes_outlive_us = true;
    info
}

/// Removes all containers that bear our labels, and our networks.
async fn clear(shared: &Shared) -> Result<()> {
    for container in follow::list(shared).await? {
        if let Some((container, identity)) = follow::identity(shared, container) {
            shared.begin_stop(identity.sandbox);
            sandbox::end::erase(shared, &identity, Some(&container)).await?;
            shared.removed(identity.sandbox);
        }
    }
    networks::remove_unused(&shared.config).await
}

/// Removes the directories of sandboxes that are no more.
async fn forget_directories(shared: &Shared) -> Result<()> {
    if let Some(mounts) = &shared.mounts {
        let all = Mounts::all(&mounts.0);
        let all = all.map_err(|e| error::file("build Docker node", &mounts.0, e))?;
        for sandbox in all.into_iter().filter(|id| shared.known(*id).is_none()) {
            mounts.remove(sandbox).await?;
        }
    }
    Ok(())
}

impl Drop for DockerNode {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl fmt::Debug for DockerNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerNode")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl NodeAgent for DockerNode {
    fn node(&self) -> NodeInfo {
        self.shared.info.clone()
    }

    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        if !self.shared.info.reach.contains(&kind) {
            return Ok(None);
        }
        match (kind, &self.shared.mounts) {
            (ReachKind::Loopback, _) => Ok(Some(Reach::Loopback)),
            (ReachKind::Gateway, _) => {
                let gateway = networks::gateway(&self.shared.config).await?;
                Ok(Some(Reach::Gateway(gateway)))
            }
            (ReachKind::Mount, Some(mounts)) => {
                let host = mounts.make(sandbox).await?;
                let guest = GUEST.into();
                Ok(Some(Reach::Mount { host, guest }))
            }
            _ => Ok(None),
        }
    }

    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        check(&self.shared, &request.spec)?;
        if let Some(status) = self.shared.settled(request.id, request.state) {
            return Ok(status);
        }
        let identity = Identity::of(&request, &self.shared.config)?;
        let handle = self.shared.enter(identity)?;
        let shared = self.shared.clone();
        // A task of its own: dropping this future leaves a sandbox that is listed, or none.
        let brought = tokio::spawn(async move { sandbox::bring(&shared, &handle, &request).await });
        brought.await.map_err(|_| error::lost("ensure sandbox"))?
    }

    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        match self.shared.begin_stop(sandbox) {
            Some(handle) => sandbox::end::stop(&self.shared, &handle, grace).await,
            // It may have been given a directory.
            None => match &self.shared.mounts {
                Some(mounts) => mounts.remove(sandbox).await,
                None => Ok(()),
            },
        }
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        follow::reconcile(&self.shared).await?;
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
        let known = self.shared.known(sandbox);
        match known.and_then(|known| known.container) {
            Some(container) => logs::read(&self.shared.config, &container, follow),
            None => stream::iter([Err(error::not_found("read logs", sandbox))]).boxed(),
        }
    }

    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        const OPERATION: &str = "read usage";
        let not_found = || error::not_found(OPERATION, sandbox);
        let known = self.shared.known(sandbox).ok_or_else(not_found)?;
        let container = known.container.ok_or_else(not_found)?;
        let options = StatsOptions {
            stream: false,
            one_shot: true,
        };
        let docker = &self.shared.config.engine.docker;
        let mut stats = Box::pin(docker.stats(&container, Some(options)));
        match stats.next().await {
            Some(Ok(stats)) => Ok(usage::read(&stats)),
            Some(Err(error)) => Err(error::engine(OPERATION, &container, error)),
            None => Err(Error::unavailable(
                OPERATION,
                format!("{container}: no answer"),
            )),
        }
    }

    fn describe(&self) -> Description {
        Description::new("DockerNode").provides(Component::R4)
    }
}

fn check(shared: &Shared, spec: &SandboxSpec) -> Result<()> {
    spec.validate()?;
    let (node, kind) = (&shared.info.name, spec.executable.kind());
    if !matches!(spec.executable, Executable::Image(_)) {
        let message = format!("node {node} runs images, not a {kind:?}");
        return Err(Error::unsupported("ensure sandbox", message));
    }
    let options: Option<DockerOptions> = spec.extensions.get()?;
    let faults = options
        .iter()
        .flat_map(faas_resource::spec::Extension::faults);
    Error::check("ensure sandbox", faults.collect())
}
