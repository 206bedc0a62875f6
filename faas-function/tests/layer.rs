//! The function layer over a real resource layer, whose node runs handlers of this process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Clock, Error, ErrorKind, FunctionError, HandlerName, HookName, IdSource, Invocation, Namespace,
    NodeName, Payload, Response, Result, RuntimeName, TokioClock,
};
use faas_function::builder::{BuildRequest, Source};
use faas_function::contract::{Connect, SandboxEnvironment};
use faas_function::layer::BuildingEvent;
use faas_function::registry::FunctionConfig;
use faas_function::{Contract, FunctionInstance, FunctionLayer, FunctionRevision};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::NodeEvent;
use faas_resource::layer::ResourceLayer;
use faas_resource::scheduler::FilterScore;
use faas_resource::spec::ExecutableKind;
use faas_resource::{CodeSource, Executable, NodeAgent, SandboxHook};
use faas_runtimes::InProcess;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(3600);

struct World {
    node: Arc<MemoryNode>,
    resources: ResourceLayer,
    functions: FunctionLayer,
    handlers: Handlers,
    ids: IdSource,
}

fn runtime() -> RuntimeName {
    RuntimeName::new("handler").expect("a name")
}

fn provided() -> RuntimeName {
    RuntimeName::new("provided").expect("a name")
}

/// A contract of programs, which no node of this test runs.
struct Programs;

#[async_trait]
impl Contract for Programs {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Program]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        SandboxEnvironment::default()
    }
    async fn connect(&self, _: Connect) -> Result<Arc<dyn FunctionInstance>> {
        Err(Error::unavailable("connect", "nothing runs here"))
    }
}

impl World {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
        let handlers = Handlers::new();
        let name = NodeName::new("memory").expect("a name");
        let node = Arc::new(MemoryNode::new(name, Arc::new(handlers.clone())));
        let resources = ResourceLayer::builder()
            .clock(clock.clone())
            .agent(node.clone())
            .scheduler(FilterScore::default())
            .build();
        let resources = resources.await.expect("a resource layer");
        let contract = InProcess::new(Arc::new(handlers.clone()), clock.clone());
        let functions = FunctionLayer::builder()
            .clock(clock.clone())
            .resources(resources.manager().clone())
            .contract(runtime(), Arc::new(contract))
            .contract(provided(), Arc::new(Programs))
            .build();
        let functions = functions.await.expect("a function layer");
        Self {
            node,
            resources,
            functions,
            handlers,
            ids: IdSource::new(clock, 1),
        }
    }

    /// A function that doubles a number, each time it is let.
    async fn deploy(&self, gate: Arc<Semaphore>) {
        let name = HandlerName::new("double").expect("a name");
        self.handlers
            .register_json(name.clone(), move |number: u64| {
                let gate = gate.clone();
                async move {
                    if let Ok(let_go) = gate.acquire().await {
                        let_go.forget();
                    }
                    Ok::<_, FunctionError>(number * 2)
                }
            });
        let config = FunctionConfig::new(runtime(), Executable::Handler(name));
        let function = "double".parse().expect("a function");
        let deployed = self.functions.deploy(function, config).await;
        deployed.expect("deployed");
    }

    fn call(&self, number: u64) -> Invocation {
        let function = "double".parse().expect("a function");
        let payload = Payload::json(&number).expect("a number");
        Invocation::new(self.ids.next(), function, payload)
    }

    async fn run(&self, number: u64) -> u64 {
        let response = self.functions.invoker().invoke(self.call(number)).await;
        answer(response.expect("it runs")).await
    }
}

async fn answer(response: Response) -> u64 {
    let done = response.collect(100).await.expect("a body");
    let answer = done.into_result().expect("a success");
    answer.to_json().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn layers_that_are_dropped_keep_no_node() {
    let world = World::new().await;
    world.deploy(Arc::new(Semaphore::new(1))).await;
    assert_eq!(world.run(21).await, 42);
    let mut events = world.node.watch();
    drop(world);
    // The events of a node end with the node.
    let ended = async { while events.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("nothing keeps the node");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_what_runs_and_refuses_what_comes() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    world.deploy(gate.clone()).await;
    let running = {
        let (invoker, call) = (world.functions.invoker(), world.call(21));
        tokio::spawn(async move { invoker.invoke(call).await })
    };
    let mut demand = world.functions.router().demand();
    while demand.next().await.expect("it lasts").1.running == 0 {}
    let mut shutdown = Box::pin(world.functions.shutdown(Duration::from_secs(60)));
    assert!(futures::poll!(&mut shutdown).is_pending(), "one runs");
    let refused = world.functions.invoker().invoke(world.call(1)).await;
    let error = refused.expect_err("it shuts down");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    gate.add_permits(1);
    let response = running.await.expect("no panic").expect("it runs");
    assert_eq!(answer(response).await, 42);
    shutdown.await.expect("nothing is left");
}

#[tokio::test(start_paused = true)]
async fn shutdown_says_what_did_not_end() {
    let world = World::new().await;
    world.deploy(Arc::new(Semaphore::new(0))).await;
    let (invoker, call) = (world.functions.invoker(), world.call(21));
    let running = tokio::spawn(async move { invoker.invoke(call).await });
    let mut demand = world.functions.router().demand();
    while demand.next().await.expect("it lasts").1.running == 0 {}
    let error = world.functions.shutdown(Duration::from_secs(1)).await;
    let error = error.expect_err("one runs for ever");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(
        error
            .message()
            .contains("default/double@1 (0 waited, 1 run)"),
        "{error}"
    );
    running.abort();
    world
        .resources
        .shutdown(Duration::from_secs(1))
        .await
        .expect("it ends");
}

#[tokio::test]
async fn faults_are_told_without_building() {
    let builder = FunctionLayer::builder();
    let faults = builder.faults();
    assert_eq!(
        faults,
        ["there is no contract: call `contract` for each runtime"]
    );
    let error = builder.build().await.expect_err("faulty");
    for fault in [&*faults[0], "there is no resource manager"] {
        assert!(error.message().contains(fault), "{error}");
    }
}

#[tokio::test]
async fn what_is_built_is_a_revision_whose_code_is_in_the_code_store() {
    let world = World::new().await;
    let folder = tempfile::tempdir().expect("a directory");
    let build = |text: &str| {
        let file = folder.path().join("tool");
        std::fs::write(&file, text).expect("written");
        let request = BuildRequest::new(provided(), Source::File(file));
        let function = "shop/tool".parse().expect("a function");
        world
            .functions
            .build_and_deploy(function, request, |config| config.concurrency = 3)
    };
    let mut numbers = Vec::new();
    for text in ["#!/bin/sh\n", "#!/bin/sh\nexit 1\n"] {
        let events: Vec<_> = build(text).collect().await;
        let [
            Ok(BuildingEvent::Built(artifact)),
            Ok(BuildingEvent::Deployed(record)),
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        let latest = &record.latest;
        assert_eq!(latest.config.executable, artifact.executable);
        assert_eq!(latest.config.runtime, provided());
        assert_eq!(latest.config.concurrency, 3);
        let Executable::Program(program) = &latest.config.executable else {
            panic!("{latest:?} runs no program");
        };
        // As a node agent asks for it.
        let source: Arc<dyn CodeSource> = Arc::new(world.functions.code().clone());
        let code = source.fetch(&program.code).await.expect("its code");
        assert_eq!(code, text);
        numbers.push(latest.number.0);
    }
    assert_eq!(numbers, [1, 2]);
    let shop = Some(Namespace::new("shop").expect("a name"));
    let listed = world.functions.list(shop).await.expect("a list");
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_faulty_configuration_is_refused_before_the_build() {
    let world = World::new().await;
    let absent = Source::File("/nonexistent/tool".into());
    let build = |configure: fn(&mut FunctionConfig)| {
        let request = BuildRequest::new(provided(), absent.clone());
        let function = "tool".parse().expect("a function");
        let events = world
            .functions
            .build_and_deploy(function, request, configure);
        events.try_collect::<Vec<_>>()
    };
    let error = build(|config| (config.concurrency, config.max_instances) = (0, 0)).await;
    let error = error.expect_err("two faults");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("2 faults"), "{error}");
    let error = build(|_| {}).await.expect_err("there is no source");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let listed = world.functions.list(None).await.expect("a list");
    assert!(listed.is_empty(), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_function_is_gone_and_so_are_its_instances() {
    let world = World::new().await;
    world.deploy(Arc::new(Semaphore::new(1))).await;
    assert_eq!(world.run(21).await, 42);
    let mut events = world.node.watch();
    let function = "double".parse().expect("a function");
    let deleted = world.functions.delete(&function, None).await;
    deleted.expect("deleted");
    let ended = async { while !matches!(events.next().await, Some(NodeEvent::Removed(_))) {} };
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    ended.expect("its sandbox is removed");
    let error = world.functions.invoker().invoke(world.call(1)).await;
    assert_eq!(error.expect_err("it is gone").kind(), ErrorKind::NotFound);
    let again = world.functions.delete(&function, None).await;
    assert_eq!(again.expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn cargo_without_a_contract_is_a_fault() {
    let rust = RuntimeName::new("rust").expect("a name");
    let builder = FunctionLayer::builder()
        .contract(provided(), Arc::new(Programs))
        .cargo([provided(), rust], "cache");
    assert_eq!(
        builder.faults(),
        ["runtime rust, of cargo, has no contract of programs"]
    );
}
