//! The process node against the conformance suite of node agents.

use std::sync::Arc;

use faas_core::SandboxId;
use faas_resource::agent::ExitCause;
use faas_resource::agent::conformance::Fixture as Suite;
use faas_resource::{Executable, SandboxSpec};

use crate::common::Fixture;

async fn fixture() -> Suite {
    let ours = Fixture::new();
    let lasting = ours.script(1, "exec /bin/sleep 1000");
    let ending = ours.script(2, "exit 3");
    let broken = ours.script(3, "").spec;
    let mut broken = (*broken).clone();
    if let Executable::Program(program) = &mut broken.executable {
        program.code = faas_core::Digest::of(b"nobody has this");
    }
    let sandboxes = ours.root.path().join("sandboxes");
    let Fixture { root, codes, node } = ours;
    let mut suite = Suite::new(Arc::new(node), (*lasting.spec).clone(), broken);
    suite.ending = Some(((*ending.spec).clone(), ExitCause::Code(3)));
    suite.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
    suite.left = Box::new(move |id: SandboxId| {
        let directory = sandboxes.join(id.to_string());
        Box::pin(async move {
            directory
                .exists()
                .then(|| format!("{} is left", directory.display()))
        })
    });
    suite.keep = Box::new((root, codes));
    suite
}

faas_resource::node_agent_conformance!(fixture);
