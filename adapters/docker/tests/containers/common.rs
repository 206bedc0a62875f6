//! A node of a cluster that no other test has, with shell scripts as functions.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use faas_core::{ByteSize, Millicpu, Name, Resources, SandboxId, WorkloadId};
use faas_docker::{DockerNode, DockerNodeBuilder, DockerOptions, Engine, Network};
use faas_resource::agent::{EnsureSandbox, ExitCause, NodeEvent, SandboxPhase};
use faas_resource::{Executable, SandboxSpec};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::engine::{IMAGE, engine};

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The memory of a node that is started again.
pub(crate) const MIB: u64 = 4096;

/// Runs until it is told to end.
pub(crate) const LASTING: &str = "trap 'exit 0' TERM; while true; do sleep 1 & wait; done";

pub(crate) struct Fixture<N = DockerNode> {
    pub(crate) root: tempfile::TempDir,
    pub(crate) cluster: Name,
    pub(crate) engine: Engine,
    pub(crate) docker: Docker,
    pub(crate) node: N,
}

/// A name that no other test of any process has.
pub(crate) fn cluster() -> Name {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(std::process::id());
    format!("t{number:016x}").parse().expect("test set-up")
}

impl Fixture {
    /// `None` where there is no engine.
    pub(crate) async fn new() -> Option<Self> {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(
        change: impl FnOnce(DockerNodeBuilder) -> DockerNodeBuilder,
    ) -> Option<Self> {
        let (engine, docker) = engine().await?;
        let root = tempfile::tempdir().expect("test set-up");
        let cluster = cluster();
        let builder = builder(&cluster, &engine, root.path());
        let node = change(builder).build().await.expect("a node");
        Some(Self {
            root,
            cluster,
            engine,
            docker,
            node,
        })
    }

    /// Another node of the same names, as after a restart.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(MIB).await
    }

    /// As [`restart`](Self::restart), with so many MiB of memory.
    pub(crate) async fn restart_with(self, mib: u64) -> Self {
        let (node, rest) = self.split();
        drop(node);
        rest.start_with(mib).await
    }

    /// The node, and what it needs.
    pub(crate) fn split(self) -> (DockerNode, Fixture<()>) {
        let Self {
            root,
            cluster,
            engine,
            docker,
            node,
        } = self;
        let rest = Fixture {
            root,
            cluster,
            engine,
            docker,
            node: (),
        };
        (node, rest)
    }
}

impl Fixture<()> {
    /// A node of the same names, with so many MiB of memory.
    pub(crate) async fn start_with(self, mib: u64) -> Fixture {
        let memory = ByteSize::mib(mib);
        let node = builder(&self.cluster, &self.engine, self.root.path());
        let node = node.capacity(Resources::new(Millicpu::cores(4), memory));
        let node = node.build().await.expect("a node");
        let Self {
            root,
            cluster,
            engine,
            docker,
            node: (),
        } = self;
        Fixture {
            root,
            cluster,
            engine,
            docker,
            node,
        }
    }
}

impl<N> Fixture<N> {
    pub(crate) fn container(&self, id: SandboxId) -> String {
        format!("faas-{}-{id}", self.cluster)
    }
}

pub(crate) fn builder(
    cluster: &Name,
    engine: &Engine,
    root: &std::path::Path,
) -> DockerNodeBuilder {
    let name = "node".parse().expect("test set-up");
    // Most of what is tested needs none, and starts sooner without.
    DockerNode::builder(cluster.clone(), name, engine.clone())
        .root(root)
        .network(Network::None)
}

/// A spec that runs a shell script.
pub(crate) fn script(script: &str) -> SandboxSpec {
    with(script, |options| options)
}

pub(crate) fn with(
    script: &str,
    change: impl FnOnce(DockerOptions) -> DockerOptions,
) -> SandboxSpec {
    let mut options = DockerOptions::default();
    options.entrypoint = Some(["/bin/sh", "-c", script].map(str::to_owned).into());
    let mut spec = SandboxSpec::new(Executable::Image(IMAGE.into()));
    spec.extensions.set(&change(options)).expect("test set-up");
    spec
}

pub(crate) fn running(n: u128, spec: SandboxSpec) -> EnsureSandbox {
    EnsureSandbox::running(
        SandboxId::from_u128(n),
        WorkloadId::from_u128(1),
        Arc::new(spec),
    )
}

/// The next end of a sandbox.
pub(crate) async fn exit(events: &mut BoxStream<'static, NodeEvent>, id: SandboxId) -> ExitCause {
    let find = async {
        while let Some(event) = events.next().await {
            if let NodeEvent::Sandbox(status) = event
                && status.id == id
                && let SandboxPhase::Exited(cause) = status.phase
            {
                return cause;
            }
        }
        panic!("the events ended");
    };
    let found = tokio::time::timeout(SOON, find).await;
    found.expect("an exit in time")
}
