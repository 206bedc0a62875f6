//! The memory node against the conformance suite.

use std::sync::Arc;

use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::ExitCause;
use faas_resource::agent::conformance::Fixture;
use faas_resource::{Executable, SandboxSpec};

fn handler(name: &str) -> SandboxSpec {
    SandboxSpec::new(Executable::Handler(name.parse().expect("a good test")))
}

fn node_of_echo() -> Arc<MemoryNode> {
    let handlers = Handlers::new();
    handlers.register_json(
        "echo".parse().expect("a good test"),
        |text: String| async move { Ok(text) },
    );
    let node = MemoryNode::new("one".parse().expect("a good test"), Arc::new(handlers));
    Arc::new(node)
}

async fn fixture() -> Fixture {
    let node = node_of_echo();
    let mut fixture = Fixture::new(node.clone(), handler("echo"), handler("missing"));
    fixture.ending = Some((handler("echo"), ExitCause::Code(3)));
    fixture.end = Some(Box::new(move |id| {
        node.end(id, ExitCause::Code(3)).expect("a good test");
        Box::pin(async {})
    }));
    fixture.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
    fixture
}

mod node {
    use super::fixture;
    faas_resource::node_agent_conformance!(fixture);
}

mod manager {
    use std::sync::Arc;

    use faas_core::{Millicpu, Store};
    use faas_memory::MemoryStore;
    use faas_resource::agent::ExitCause;
    use faas_resource::manager::conformance::Fixture;
    use faas_resource::scheduler::FilterScore;
    use faas_resource::{NodeAgent, ResourceLayer, ResourceManager};

    use super::{handler, node_of_echo};

    async fn life(node: Arc<dyn NodeAgent>, store: Arc<dyn Store>) -> Arc<dyn ResourceManager> {
        let layer = ResourceLayer::builder()
            .agent(node)
            .scheduler(FilterScore::default())
            .store(store)
            .build();
        layer.await.expect("a layer").manager().clone()
    }

    async fn fixture() -> Fixture {
        let node = node_of_echo();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let manager = life(node.clone(), store.clone()).await;
        let mut giant = handler("echo");
        giant.resources.cpu = Millicpu::cores(1_000_000);
        let (ended, listed) = (node.clone(), node.clone());
        Fixture::new(
            manager,
            handler("echo"),
            giant,
            Box::new(move || {
                let node = listed.clone();
                Box::pin(async move {
                    let all = node.list().await.expect("a list");
                    let running = all.iter().filter(|one| one.is_running());
                    running.map(|one| one.id).collect()
                })
            }),
            Box::new(move |id| {
                ended.end(id, ExitCause::Code(3)).expect("it runs");
                Box::pin(async {})
            }),
            Box::new(move |old| {
                drop(old);
                let (node, store) = (node.clone(), store.clone());
                Box::pin(async move { life(node, store).await })
            }),
        )
    }

    faas_resource::resource_manager_conformance!(fixture);
}
