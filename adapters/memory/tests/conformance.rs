//! The memory node against the conformance suite.

use std::sync::Arc;

use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::ExitCause;
use faas_resource::agent::conformance::Fixture;
use faas_resource::{Executable, SandboxSpec};

fn handler(name: &str) -> SandboxSpec {
    SandboxSpec::new(Executable::Handler(name.parse().expect("a good test")))
}

async fn fixture() -> Fixture {
    let handlers = Handlers::new();
    handlers.register_json(
        "echo".parse().expect("a good test"),
        |text: String| async move { Ok(text) },
    );
    let node = MemoryNode::new("one".parse().expect("a good test"), Arc::new(handlers));
    let node = Arc::new(node);
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
