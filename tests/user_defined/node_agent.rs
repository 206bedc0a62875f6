//! A node agent of one's own (R4): here one around the library's, that keeps a count. For one from
//! scratch, see `examples/custom_adapter.rs`.

use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::{Component, Description, Result, SandboxId, TokioClock};
use faas::function::registry::FunctionConfig;
use faas::memory::{Handlers, MemoryNode};
use faas::resource::agent::{
    EnsureSandbox, LogLine, NodeEvent, NodeInfo, SandboxStatus, SandboxUsage,
};
use faas::resource::hook::{Reach, ReachKind};
use faas::resource::{Executable, NodeAgent};
use faas::runtimes::InProcess;
use futures::stream::BoxStream;

use crate::{Asked, names, within};

struct Counted(MemoryNode, Asked);

#[async_trait::async_trait]
impl NodeAgent for Counted {
    fn node(&self) -> NodeInfo {
        self.0.node()
    }
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        self.0.reach(sandbox, kind).await
    }
    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.1.again();
        self.0.ensure(request).await
    }
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        self.0.stop(sandbox, grace).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        self.0.list().await
    }
    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        self.0.watch()
    }
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        self.0.logs(sandbox, follow)
    }
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.0.usage(sandbox).await
    }
    fn describe(&self) -> Description {
        Description::new("Counted").provides(Component::R4)
    }
}

#[tokio::test]
async fn sandboxes_start_on_it() {
    let asked = Asked::default();
    let handlers = Handlers::new();
    let name = "double".parse().expect("a name");
    handlers.register_json(name, |n: u64| async move { Ok(2 * n) });
    let node = MemoryNode::new(
        "counted".parse().expect("a name"),
        Arc::new(handlers.clone()),
    );
    let contract = InProcess::new(Arc::new(handlers), Arc::new(TokioClock::new()));
    let platform = Platform::builder()
        .without_local_nodes()
        .agent(Arc::new(Counted(node, asked.clone())))
        .contract("ours".parse().expect("a name"), Arc::new(contract))
        .build()
        .await
        .expect("it is well configured");
    names(&platform, Component::R4, "Counted");
    let executable = Executable::Handler("double".parse().expect("a name"));
    let config = FunctionConfig::new("ours".parse().expect("a name"), executable);
    platform.deploy("double", config).await.expect("it deploys");
    let eight: u64 = within(platform.call("double", &4)).await.expect("it runs");
    assert_eq!((eight, asked.times()), (8, 1));
}
