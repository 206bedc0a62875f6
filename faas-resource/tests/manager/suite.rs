//! The suite of resource managers, over [`ClusterManager`](faas_resource::manager::ClusterManager)
//! and two nodes, each with room for ten.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{Millicpu, SandboxId};
use faas_resource::agent::{ExitCause, SandboxState};
use faas_resource::manager::conformance::{Fixture, Recorder};
use faas_resource::scheduler::FilterScore;
use faas_resource::{NodeAgent, ResourceLayer, ResourceManager, SandboxHook};

use crate::flaky::{Flaky, handler};
use crate::stall::Stalling;

/// What a manager is built over, again in each life.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) nodes: Vec<Arc<Flaky>>,
    pub(crate) store: Arc<Stalling>,
    pub(crate) hook: Arc<dyn SandboxHook>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) starts_bounded_by: Duration,
    pub(crate) nodes_lost_after: Duration,
    /// Whether each life has a store of its own.
    pub(crate) forgetful: bool,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let recorder = Arc::new(Recorder::default());
        Self {
            nodes: ["one", "two"].map(|name| Arc::new(Flaky::new(name))).into(),
            store: Arc::default(),
            hook: recorder.clone(),
            recorder,
            starts_bounded_by: Duration::from_millis(100),
            nodes_lost_after: Duration::from_millis(100),
            forgetful: false,
        }
    }

    pub(crate) async fn life(&self) -> Arc<dyn ResourceManager> {
        let store = match self.forgetful {
            true => Arc::default(),
            false => self.store.clone(),
        };
        let mut layer = ResourceLayer::builder()
            .scheduler(FilterScore::default())
            .store(store)
            .hook("recorder".parse().expect("a name"), self.hook.clone())
            .start_timeout(self.starts_bounded_by)
            .node_timeout(self.nodes_lost_after);
        for node in &self.nodes {
            layer = layer.agent(node.clone());
        }
        layer.build().await.expect("a layer").manager().clone()
    }

    pub(crate) async fn running(&self) -> BTreeSet<SandboxId> {
        let mut running = BTreeSet::new();
        for node in &self.nodes {
            // As it really is.
            let all = node.inner.list().await.expect("a list");
            running.extend(all.iter().filter(|one| one.is_running()).map(|one| one.id));
        }
        running
    }

    pub(crate) fn end(&self, id: SandboxId) {
        let mut nodes = self.nodes.iter();
        let ended = nodes.any(|node| node.inner.end(id, ExitCause::Code(3)).is_ok());
        assert!(ended, "{id} runs nowhere");
    }

    /// The fixture, with managers as `wrap` makes them of ours.
    pub(crate) async fn fixture<W>(self, wrap: W) -> Fixture
    where
        W: Fn(Arc<dyn ResourceManager>) -> Arc<dyn ResourceManager> + Clone + Send + Sync + 'static,
    {
        let manager = wrap(self.life().await);
        let mut giant = handler("echo");
        giant.resources.cpu = Millicpu::cores(1_000_000);
        let (listed, ended, next) = (self.clone(), self.clone(), self.clone());
        let mut fixture = Fixture::new(
            manager,
            handler("echo"),
            giant,
            Box::new(move || {
                let ground = listed.clone();
                Box::pin(async move { ground.running().await })
            }),
            Box::new(move |id| {
                ended.end(id);
                Box::pin(async {})
            }),
            Box::new(move |old| {
                drop(old);
                let (ground, wrap) = (next.clone(), wrap.clone());
                Box::pin(async move { wrap(ground.life().await) })
            }),
        );
        let plain = self.nodes.iter().all(|node| node.plain);
        if !plain {
            fixture
                .states
                .extend([SandboxState::Created, SandboxState::Paused]);
            fixture.assigns = true;
        }
        let nodes = self.nodes.clone();
        fixture.silence = Some(Box::new(move |name, silent| {
            let node = nodes.iter().find(|node| node.inner.node().name == name);
            node.expect("a node of that name").gate.shut(silent);
        }));
        fixture.stuck = Some(handler("stuck"));
        let store = self.store.clone();
        fixture.stall = Some(Box::new(move |stalled| store.gate.shut(stalled)));
        let name = "recorder".parse().expect("a name");
        fixture.hook = Some((name, self.recorder.clone()));
        fixture
    }
}

async fn fixture() -> Fixture {
    Ground::new().fixture(|manager| manager).await
}

faas_resource::resource_manager_conformance!(paused: fixture);

mod plain_nodes {
    use std::sync::Arc;

    use super::{Fixture, Flaky, Ground};

    /// Nodes that can but run sandboxes.
    pub(crate) async fn fixture() -> Fixture {
        let mut ground = Ground::new();
        let plain = |name| {
            let mut node = Flaky::new(name);
            node.plain = true;
            Arc::new(node)
        };
        ground.nodes = ["one", "two"].map(plain).into();
        ground.fixture(|manager| manager).await
    }

    faas_resource::resource_manager_conformance!(paused: fixture);
}
