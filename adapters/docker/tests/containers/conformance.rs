//! The Docker node against the conformance suite of node agents.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::InspectContainerOptions;
use faas_core::HandlerName;
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::ExitCause;
use faas_resource::agent::conformance::Fixture as Suite;
use faas_resource::spec::{Packing, Program};
use faas_resource::{Executable, SandboxSpec};

use crate::common::{Fixture, LASTING, script};
use crate::engine::exists;

/// Where there is no engine the suite runs over another node, and the skip is said.
fn without_engine() -> Suite {
    let handlers = Arc::new(Handlers::new());
    let named = |name: &str| -> HandlerName { name.parse().expect("test set-up") };
    handlers.register_json(named("lasting"), |number: u32| async move { Ok(number) });
    let spec = |name| SandboxSpec::new(Executable::Handler(named(name)));
    let node = MemoryNode::new("node".parse().expect("test set-up"), handlers.clone());
    Suite::new(Arc::new(node), spec("lasting"), spec("nobody"))
}

async fn fixture() -> Suite {
    let Some(ours) = Fixture::new().await else {
        return without_engine();
    };
    let broken = SandboxSpec::new(Executable::Image("faas-test/nobody-has-this:1".into()));
    let foreign = Program {
        code: faas_core::Digest::of(b""),
        packing: Packing::File,
        entrypoint: "main".into(),
        arguments: Vec::new(),
    };
    let Fixture {
        root,
        cluster,
        docker,
        node,
        ..
    } = ours;
    let lasting = script(LASTING);
    let mut suite = Suite::new(Arc::new(node), lasting, broken);
    suite.ending = Some((script("exit 3"), ExitCause::Code(3)));
    suite.foreign = Some(SandboxSpec::new(Executable::Program(foreign)));
    let name = move |id| format!("faas-{cluster}-{id}");
    let (client, named, below) = (docker.clone(), name.clone(), root.path().to_owned());
    suite.left = Box::new(move |id| {
        let (docker, container, directory) =
            (client.clone(), named(id), below.join(id.to_string()));
        Box::pin(async move {
            if exists(&docker, &container).await {
                return Some(format!("container {container}"));
            }
            directory
                .exists()
                .then(|| format!("directory {}", directory.display()))
        })
    });
    suite.frozen = Some(Box::new(move |id| {
        let (docker, container) = (docker.clone(), name(id));
        Box::pin(async move {
            let found = docker.inspect_container(&container, None::<InspectContainerOptions>);
            let state = found.await.expect("it is there").state;
            state.and_then(|state| state.paused) == Some(true)
        })
    }));
    suite.patience = Duration::from_secs(60);
    suite.keep = Box::new(root);
    suite
}

faas_resource::node_agent_conformance!(fixture);
