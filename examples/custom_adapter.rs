//! A node agent and a scheduling rule of one's own, in a platform that is otherwise the library's.
//!
//! Run it with `cargo run --example custom_adapter`, and have both judged by the library's own
//! conformance suites with `cargo test --example custom_adapter`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas::Platform;
use faas::core::{
    ByteSize, Component, Description, Error, HandlerRegistry, Millicpu, Resources, Result,
    SandboxId,
};
use faas::memory::Handlers;
use faas::resource::agent::{
    EnsureSandbox, ExitCause, LogLine, NodeEvent, NodeInfo, SandboxPhase, SandboxState,
    SandboxStatus, SandboxUsage,
};
use faas::resource::endpoint::Address;
use faas::resource::hook::{Reach, ReachKind};
use faas::resource::scheduler::filter_score::{Scene, Score};
use faas::resource::scheduler::{FilterScore, NodeView, PlacementRequest};
use faas::resource::spec::ExecutableKind;
use faas::resource::{Executable, NodeAgent};
use faas::runtimes::InProcess;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

/// R4: a node whose sandboxes are entries of a shelf. Each is one of this process's handlers.
struct Shelf {
    info: NodeInfo,
    handlers: Handlers,
    sandboxes: Mutex<BTreeMap<SandboxId, SandboxStatus>>,
    events: broadcast::Sender<NodeEvent>,
}

impl Shelf {
    fn new(name: &str, price: &str, handlers: &Handlers) -> Result<Self> {
        let capacity = Resources::new(Millicpu::cores(1), ByteSize::gib(1));
        let mut info = NodeInfo::new(name.parse()?, capacity, ExecutableKind::Handler);
        info.labels.insert("price".parse()?, price.parse()?);
        Ok(Self {
            info,
            handlers: handlers.clone(),
            sandboxes: Mutex::default(),
            events: broadcast::Sender::new(256),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SandboxId, SandboxStatus>> {
        let sandboxes = self.sandboxes.lock();
        sandboxes.unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: NodeEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }
}

#[async_trait]
impl NodeAgent for Shelf {
    fn node(&self) -> NodeInfo {
        self.info.clone()
    }

    async fn reach(&self, _: SandboxId, _: ReachKind) -> Result<Option<Reach>> {
        Ok(None)
    }

    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        const OPERATION: &str = "ensure sandbox";
        request.spec.validate()?;
        let Executable::Handler(name) = &request.spec.executable else {
            return Err(Error::unsupported(
                OPERATION,
                "a shelf holds handlers alone",
            ));
        };
        if request.state != SandboxState::Running {
            return Err(Error::unsupported(OPERATION, "what is on a shelf runs"));
        }
        if self.handlers.lookup(name).is_none() {
            return Err(Error::unavailable(OPERATION, format!("no handler {name}")));
        }
        let mut sandboxes = self.lock();
        if let Some(found) = sandboxes.get(&request.id) {
            return Ok(found.clone());
        }
        let phase = SandboxPhase::In(SandboxState::Running);
        let mut status = SandboxStatus::new(request.id, request.workload, request.digest, phase);
        status.endpoint = Some(Address::Handler(name.clone()).into());
        status.cookie = request.prepared.cookie;
        sandboxes.insert(request.id, status.clone());
        self.tell(NodeEvent::Sandbox(status.clone()));
        Ok(status)
    }

    async fn stop(&self, sandbox: SandboxId, _: Duration) -> Result<()> {
        let mut sandboxes = self.lock();
        if let Some(mut status) = sandboxes.remove(&sandbox) {
            status.phase = SandboxPhase::Exited(ExitCause::Stopped);
            status.endpoint = None;
            self.tell(NodeEvent::Sandbox(status));
            self.tell(NodeEvent::Removed(sandbox));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.lock().values().cloned().collect())
    }

    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        stream::unfold(self.events.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((NodeEvent::Resync, events)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    fn logs(&self, sandbox: SandboxId, _: bool) -> BoxStream<'static, Result<LogLine>> {
        match self.lock().contains_key(&sandbox) {
            true => stream::empty().boxed(),
            false => stream::iter([Err(unknown("read logs", sandbox))]).boxed(),
        }
    }

    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        let known = self.lock().contains_key(&sandbox);
        let usage = known.then(SandboxUsage::default);
        usage.ok_or_else(|| unknown("read usage", sandbox))
    }

    fn describe(&self) -> Description {
        Description::new("Shelf").provides(Component::R4)
    }
}

fn unknown(operation: &'static str, sandbox: SandboxId) -> Error {
    Error::not_found(operation, format!("no sandbox {sandbox} is on this shelf"))
}

/// R3: of the nodes that the library's filters leave, the one whose label `price` is lowest.
#[derive(Debug)]
struct Cheapest;

impl Score for Cheapest {
    fn score(&self, _: &PlacementRequest, node: &NodeView, _: &Scene<'_>) -> f64 {
        let mut labels = node.info.labels.iter();
        let price = labels.find(|(name, _)| name.as_str() == "price");
        let price: Option<f64> = price.and_then(|(_, price)| price.as_str().parse().ok());
        price.map_or(0.0, |price| 1.0 / (1.0 + price))
    }
}

fn scheduler() -> FilterScore {
    FilterScore::with_only_filters().with_score(1.0, Cheapest)
}

#[tokio::main]
async fn main() -> Result<(), faas::CallError> {
    let handlers = Handlers::new();
    handlers.register_json("greet".parse()?, |name: String| async move {
        Ok(format!("hello, {name}"))
    });
    let platform = Platform::builder()
        .name("shelves")
        .without_local_nodes()
        .agent(Arc::new(Shelf::new("steady", "5", &handlers)?))
        .agent(Arc::new(Shelf::new("spot", "1", &handlers)?))
        .scheduler(scheduler())
        .contract("shelf".parse()?, Arc::new(contract(handlers)))
        .build()
        .await?;
    let greet = Executable::Handler("greet".parse()?);
    let config = faas::function::registry::FunctionConfig::new("shelf".parse()?, greet);
    platform.deploy("greet", config).await?;

    let name = faas::core::Payload::json("Ada")?;
    let cold = platform.run("greet", name).await?;
    println!("{}\n", cold.payload.to_json::<String>()?);
    println!("{}", platform.explain(cold.id));
    println!("{}", platform.map());
    platform.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

fn contract(handlers: Handlers) -> InProcess {
    InProcess::new(Arc::new(handlers), Arc::new(faas::core::TokioClock::new()))
}

#[cfg(test)]
mod node_agent {
    use super::*;
    use faas::resource::SandboxSpec;
    use faas::resource::agent::conformance::Fixture;

    async fn fixture() -> Fixture {
        let handlers = Handlers::new();
        let echo = |text: String| async move { Ok(text) };
        handlers.register_json("echo".parse().expect("a name"), echo);
        let shelf = Shelf::new("one", "1", &handlers).expect("good names");
        let handler = |name: &str| {
            let name = name.parse().expect("a name");
            SandboxSpec::new(Executable::Handler(name))
        };
        let mut fixture = Fixture::new(Arc::new(shelf), handler("echo"), handler("missing"));
        fixture.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
        fixture
    }

    faas::resource::node_agent_conformance!(fixture);
}

#[cfg(test)]
mod resource_scheduler {
    faas::resource::resource_scheduler_conformance!(super::scheduler);
}
