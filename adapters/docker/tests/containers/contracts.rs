//! The contracts of `faas-runtimes` with functions in containers, through the function layer and the
//! resource layer: the same hooks and connections as on processes.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{
    Clock, FunctionError, HookName, IdSource, Invocation, Outcome, Payload, RuntimeName, StartKind,
    TokioClock,
};
use faas_docker::{DockerNode, DockerOptions, Network};
use faas_function::registry::{FunctionConfig, FunctionId};
use faas_function::{Contract, FunctionLayer};
use faas_resource::scheduler::FilterScore;
use faas_resource::{Executable, NodeAgent, ResourceLayer};
use faas_runtimes::{FramedSocket, Http, LambdaRuntime};
use serde_json::{Value, json};

use crate::common::{Fixture, SOON};
use crate::guest;

/// The two lower layers over one node, with one function.
struct Functions {
    functions: FunctionLayer,
    resources: ResourceLayer,
    node: Arc<DockerNode>,
    ids: IdSource,
    keep: Fixture<()>,
}

fn hook(name: &str) -> HookName {
    name.parse().expect("a name")
}

impl Functions {
    /// `None` where there is no engine.
    async fn new(
        contract: impl FnOnce(Arc<dyn Clock>) -> Arc<dyn Contract>,
        network: Network,
        options: impl FnOnce(&mut DockerOptions),
    ) -> Option<Self> {
        let (node, keep) = Fixture::with(|builder| builder.network(network))
            .await?
            .split();
        let node = Arc::new(node);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let contract = contract(clock.clone());
        let mut resources = ResourceLayer::builder()
            .agent(node.clone() as Arc<dyn NodeAgent>)
            .scheduler(FilterScore::default());
        if let Some((name, hook)) = contract.hook() {
            resources = resources.hook(name, hook);
        }
        let resources = resources.build().await.expect("a resource layer");
        let runtime: RuntimeName = "container".parse().expect("a name");
        let functions = FunctionLayer::builder()
            .resources(resources.manager().clone())
            .contract(runtime.clone(), contract)
            .build()
            .await
            .expect("a function layer");
        let image = guest::image(&keep.docker).await;
        let mut config = FunctionConfig::new(runtime, Executable::Image(image));
        let mut docker = DockerOptions::default();
        docker.entrypoint = Some(guest::ENTRYPOINT.map(str::to_owned).into());
        options(&mut docker);
        config.extensions.set(&docker).expect("good options");
        let function = FunctionId {
            namespace: faas_core::Namespace::default_namespace(),
            name: "subject".parse().expect("a name"),
        };
        functions
            .deploy(function, config)
            .await
            .expect("it is deployed");
        let ids = IdSource::random(clock);
        Some(Self {
            functions,
            resources,
            node,
            ids,
            keep,
        })
    }

    async fn call(&self, input: &Value) -> (StartKind, Result<Value, FunctionError>) {
        let payload = Payload::json(input).expect("JSON");
        let function = "subject".parse().expect("a name");
        let call = Invocation::new(self.ids.next(), function, payload);
        let answered = async {
            let response = self.functions.invoker().invoke(call).await?;
            response.collect(1 << 20).await
        };
        let answered = tokio::time::timeout(SOON, answered).await;
        let answered = answered.expect("in time").expect("an outcome");
        let value = match answered.trailer.outcome {
            Outcome::Success => Ok(answered.payload.to_json().expect("JSON")),
            Outcome::Failure(error) => Err(error),
        };
        (answered.start, value)
    }

    /// A cold call, and a warm one, which tells the network interfaces that the function has.
    async fn serves(&self, links: Value) {
        let (start, answer) = self.call(&json!({"n": 1})).await;
        assert_eq!(start, StartKind::Cold);
        assert_eq!(answer.expect("an answer")["echo"], json!({"n": 1}));
        let (start, answer) = self.call(&json!({"do": "links"})).await;
        assert_eq!(start, StartKind::Warm);
        assert_eq!(answer.expect("an answer"), links);
    }

    /// What its own end means to a call, and that another one is started then.
    async fn survives_an_exit(&self) {
        let (_, ended) = self.call(&json!({"do": "exit"})).await;
        assert_eq!(ended.expect_err("it has ended").kind, FunctionError::EXIT);
        let (start, answer) = self.call(&json!({"n": 2})).await;
        assert_eq!(start, StartKind::Cold);
        assert_eq!(answer.expect("an answer")["echo"], json!({"n": 2}));
    }

    /// Nothing is left after the end of the layers.
    async fn end(self) {
        let deadline = Duration::from_secs(30);
        self.functions
            .shutdown(deadline)
            .await
            .expect("functions end");
        self.resources
            .shutdown(deadline)
            .await
            .expect("resources end");
        self.node.clear().await.expect("the node is cleared");
        let left = std::fs::read_dir(self.keep.root.path()).expect("its root");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}

fn framed(clock: Arc<dyn Clock>) -> Arc<dyn Contract> {
    Arc::new(FramedSocket::new(hook("framed"), clock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framed_by_a_mounted_socket_without_a_network() {
    let Some(subject) = Functions::new(framed, Network::None, |_| {}).await else {
        return;
    };
    subject.serves(json!(["lo"])).await;
    subject.survives_an_exit().await;
    subject.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framed_as_a_user_who_is_nobody() {
    let user = |options: &mut DockerOptions| options.user = Some("1234:1234".into());
    let Some(subject) = Functions::new(framed, Network::None, user).await else {
        return;
    };
    subject.serves(json!(["lo"])).await;
    subject.end().await;
}

fn lambda(clock: Arc<dyn Clock>) -> Arc<dyn Contract> {
    Arc::new(LambdaRuntime::new(hook("lambda"), clock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lambda_at_the_gateway_of_the_bridge() {
    let Some(subject) = Functions::new(lambda, Network::Bridge, |_| {}).await else {
        return;
    };
    subject.serves(json!(["eth0", "lo"])).await;
    subject.survives_an_exit().await;
    subject.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lambda_on_a_bridge_of_its_own() {
    let own = Network::Own("tenant".parse().expect("a name"));
    let Some(subject) = Functions::new(lambda, own, |_| {}).await else {
        return;
    };
    subject.serves(json!(["eth0", "lo"])).await;
    subject.end().await;
}

fn http(clock: Arc<dyn Clock>) -> Arc<dyn Contract> {
    Arc::new(Http::new(clock))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_at_its_port() {
    let Some(subject) = Functions::new(http, Network::Bridge, |_| {}).await else {
        return;
    };
    subject.serves(json!(["eth0", "lo"])).await;
    subject.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_at_a_socket_without_a_network() {
    let Some(subject) = Functions::new(http, Network::None, |_| {}).await else {
        return;
    };
    subject.serves(json!(["lo"])).await;
    subject.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_on_the_loopback_of_the_host() {
    let contract = |clock| Arc::new(Http::on_loopback(hook("http"), clock)) as Arc<dyn Contract>;
    let Some(subject) = Functions::new(contract, Network::Host, |_| {}).await else {
        return;
    };
    let (start, answer) = subject.call(&json!({"n": 1})).await;
    assert_eq!(start, StartKind::Cold);
    assert_eq!(answer.expect("an answer")["echo"], json!({"n": 1}));
    subject.survives_an_exit().await;
    subject.end().await;
}
