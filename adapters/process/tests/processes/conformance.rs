//! The process node against the conformance suites of node agents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_core::SandboxId;
use faas_resource::agent::conformance::Fixture as Suite;
use faas_resource::agent::{ExitCause, SandboxState};
use faas_resource::{Executable, SandboxSpec};
use futures::future::BoxFuture;

use crate::common::{Fixture, marked};
use crate::death;

/// What is left of a sandbox: its directory, or processes that bear its mark.
fn left(directory: &Path) -> Option<String> {
    if directory.exists() {
        return Some(format!("{} is left", directory.display()));
    }
    let alive = marked(directory);
    (!alive.is_empty()).then(|| format!("processes {alive:?} are left"))
}

fn of(sandboxes: &Path, id: SandboxId) -> PathBuf {
    sandboxes.join(id.to_string())
}

async fn fixture() -> Suite {
    let ours = Fixture::new();
    let lasting = ours.script(1, "exec /bin/sleep 1000");
    let ending = ours.script(2, "exit 3");
    let broken = ours.script(3, "").spec;
    let mut broken = (*broken).clone();
    if let Executable::Program(program) = &mut broken.executable {
        program.code = faas_core::Digest::of(b"nobody has this");
    }
    let sandboxes = ours.root.path().canonicalize().expect("test set-up");
    let sandboxes = sandboxes.join("sandboxes");
    let Fixture { root, codes, node } = ours;
    let mut suite = Suite::new(Arc::new(node), (*lasting.spec).clone(), broken);
    suite.ending = Some(((*ending.spec).clone(), ExitCause::Code(3)));
    suite.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
    let below = sandboxes.clone();
    suite.left = Box::new(move |id| {
        let left = left(&of(&below, id));
        Box::pin(async move { left })
    });
    suite.frozen = Some(Box::new(move |id| {
        let processes = marked(&of(&sandboxes, id));
        let frozen = !processes.is_empty() && processes.iter().all(|(_, state)| *state == 'T');
        Box::pin(async move { frozen })
    }));
    suite.killed = Some(Box::new(|| Box::pin(death::left_of_the_killed())));
    suite.patience = std::time::Duration::from_secs(30);
    suite.keep = Box::new((root, codes));
    suite
}

faas_resource::node_agent_conformance!(fixture);

mod assign {
    use faas_resource::agent::SandboxStatus;
    use faas_resource::agent::conformance::assign::Fixture as Suite;

    use super::{Arc, BoxFuture, Executable, Fixture, SandboxSpec, SandboxState, marked, of};

    async fn fixture() -> Suite {
        let ours = Fixture::new();
        let pooled = ours.script(1, "exec /bin/sleep 1000");
        let other = ours.script(2, "exec /bin/sleep 2000");
        let sandboxes = ours.root.path().canonicalize().expect("test set-up");
        let sandboxes = sandboxes.join("sandboxes");
        let Fixture { root, codes, node } = ours;
        let below = sandboxes.clone();
        let serves_other = move |status: SandboxStatus| -> BoxFuture<'static, bool> {
            let directory = of(&below, status.id);
            Box::pin(async move {
                let executes = || {
                    let mut lines = marked(&directory).into_iter().map(|(pid, _)| {
                        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
                    });
                    lines.find(|line| line.contains("sleep"))
                };
                // The shell executes it in a moment.
                let mut line = None;
                crate::common::until("the shell executes nothing", || {
                    line = executes();
                    line.is_some()
                })
                .await;
                line.is_some_and(|line| line.contains("2000"))
            })
        };
        let end = move |id| -> BoxFuture<'static, ()> {
            let directory = of(&sandboxes, id);
            Box::pin(async move { crate::common::kill_marked(&directory).await })
        };
        let mut suite = Suite::new(
            Arc::new(node),
            (*pooled.spec).clone(),
            (*other.spec).clone(),
            Box::new(serves_other),
            Box::new(end),
        );
        suite.states = vec![SandboxState::Created];
        suite.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
        suite.keep = Box::new((root, codes));
        suite
    }

    faas_resource::assign_conformance!(fixture);
}
