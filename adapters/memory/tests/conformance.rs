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

mod assign {
    use std::sync::Arc;

    use faas_memory::{Handlers, MemoryNode};
    use faas_resource::agent::conformance::assign::Fixture;
    use faas_resource::agent::{ExitCause, SandboxStatus};
    use faas_resource::endpoint::{Address, Endpoint};
    use faas_resource::{Executable, SandboxSpec};

    use super::handler;

    async fn fixture() -> Fixture {
        let handlers = Handlers::new();
        for name in ["pooled", "other"] {
            let echo = |text: String| async move { Ok(text) };
            handlers.register_json(name.parse().expect("a good test"), echo);
        }
        let name = "one".parse().expect("a good test");
        let node = Arc::new(MemoryNode::new(name, Arc::new(handlers)));
        let mut fixture = Fixture::new(
            node.clone(),
            handler("pooled"),
            handler("other"),
            Box::new(|status: SandboxStatus| {
                let address = match status.endpoint {
                    Some(Endpoint::Address(Address::Handler(name))) => name.to_string(),
                    other => format!("{other:?}"),
                };
                Box::pin(async move { address == "other" })
            }),
            Box::new(move |id| {
                node.end(id, ExitCause::Code(3)).expect("a good test");
                Box::pin(async {})
            }),
        );
        fixture.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
        fixture
    }

    faas_resource::assign_conformance!(fixture);
}
