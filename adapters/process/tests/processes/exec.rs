//! Commands inside of sandboxes: the suite, and that it catches an `Exec` that breaks any one rule.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Description, Result, SandboxId};
use faas_resource::NodeAgent;
use faas_resource::agent::conformance::exec::{CASES, Fixture as Suite};
use faas_resource::agent::{
    EnsureSandbox, Exec, LogLine, NodeEvent, NodeInfo, SandboxStatus, SandboxUsage,
};
use faas_resource::hook::{Reach, ReachKind};
use futures::stream::BoxStream;

use crate::common::{Fixture, marked};

/// What a [`Broken`] agent does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LosesCode,
    KeepsTooMuch,
    RunsOutside,
    RunsNothing,
    RunsAnywhere,
    OutlivesItsCaller,
}

#[derive(Clone)]
struct Broken {
    inner: Arc<dyn NodeAgent>,
    fault: Fault,
}

#[async_trait]
impl Exec for Broken {
    async fn exec(&self, sandbox: SandboxId, command: Vec<String>) -> Result<(i32, Bytes)> {
        let inner = self.inner.exec().expect("it runs commands");
        match self.fault {
            Fault::RunsOutside => {
                let mut outside = vec!["/usr/bin/env".to_owned(), "-i".to_owned()];
                outside.extend(command);
                inner.exec(sandbox, outside).await
            }
            Fault::RunsNothing if command.is_empty() => Ok((0, Bytes::new())),
            Fault::OutlivesItsCaller => {
                let running = tokio::spawn(async move { inner.exec(sandbox, command).await });
                running.await.expect("no panic")
            }
            _ => {
                let answer = inner.exec(sandbox, command).await;
                match (self.fault, answer) {
                    (Fault::LosesCode, Ok((_, output))) => Ok((0, output)),
                    (Fault::KeepsTooMuch, Ok((code, output))) if output.len() >= 1 << 20 => {
                        Ok((code, [output, Bytes::from("more")].concat().into()))
                    }
                    (Fault::RunsAnywhere, Err(_)) => Ok((0, Bytes::new())),
                    (_, answer) => answer,
                }
            }
        }
    }
}

#[async_trait]
impl NodeAgent for Broken {
    fn node(&self) -> NodeInfo {
        self.inner.node()
    }
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        self.inner.reach(sandbox, kind).await
    }
    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.inner.ensure(request).await
    }
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        self.inner.stop(sandbox, grace).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        self.inner.list().await
    }
    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        self.inner.watch()
    }
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        self.inner.logs(sandbox, follow)
    }
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.inner.usage(sandbox).await
    }
    fn exec(&self) -> Option<Arc<dyn Exec>> {
        Some(Arc::new(self.clone()))
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn suite(fault: Fault) -> Suite {
    let ours = Fixture::new();
    let lasting = ours.script(1, "exec /bin/sleep 1000");
    let sandboxes = ours.root.path().canonicalize().expect("test set-up");
    let sandboxes = sandboxes.join("sandboxes");
    let Fixture { root, codes, node } = ours;
    let broken = Broken {
        inner: Arc::new(node),
        fault,
    };
    let commands = move |id: SandboxId| -> futures::future::BoxFuture<'static, usize> {
        let all = marked(&sandboxes.join(id.to_string()));
        // The sandbox's own sleeps for longer; what a command's loop starts comes and goes.
        let shells = all.iter().filter(|(pid, _)| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| line.contains("while"))
        });
        let count = shells.count();
        Box::pin(async move { count })
    };
    let lasting = (*lasting.spec).clone();
    let mut suite = Suite::shell(Arc::new(broken), lasting, Box::new(commands));
    suite.keep = Box::new((root, codes));
    if fault != Fault::None {
        // A case that waits in vain is caught soon.
        suite.patience = Duration::from_secs(3);
    }
    suite
}

async fn fixture() -> Suite {
    suite(Fault::None)
}

faas_resource::exec_conformance!(fixture);

/// Fails unless the case of `rule` does.
async fn caught(rule: &str, fault: Fault) {
    let found = CASES.iter().find(|(name, _)| *name == rule);
    let (_, case) = found.expect("a case of that name");
    let passed = tokio::spawn(case(suite(fault))).await;
    assert!(passed.is_err(), "{rule} does not catch {fault:?}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {
        mod broken {
            $(#[tokio::test]
            async fn $rule() {
                $(super::caught(stringify!($rule), super::Fault::$fault).await;)*
            })*

            #[test]
            fn every_case_has_one_that_it_catches() {
                let caught = [$(stringify!($rule)),*];
                assert!(super::CASES.iter().map(|(name, _)| *name).eq(caught));
            }
        }
    };
}
caught! {
    answers_outcome: LosesCode KeepsTooMuch;
    runs_inside: RunsOutside;
    refuses_bad: RunsNothing;
    needs_running: RunsAnywhere;
    exec_cancels: OutlivesItsCaller;
}
