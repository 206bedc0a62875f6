//! Each layer is useful without the others: the function layer alone, over a resource layer of one
//! node; and the workflow layer alone, over a plain `Invoker` that is no platform at all.
//!
//! Run it with `cargo run --example bare_layers`.

use std::sync::Arc;
use std::time::Duration;

use faas::core::{
    Description, Error, IdSource, Invocation, Invoker, Payload, PrewarmHint, Response, Result,
    TokioClock,
};
use faas::function::FunctionLayer;
use faas::function::registry::{FunctionConfig, FunctionId};
use faas::memory::{Handlers, MemoryNode};
use faas::resource::scheduler::FilterScore;
use faas::resource::{Executable, ResourceLayer};
use faas::runtimes::InProcess;
use faas::workflow::{
    Ending, Expression, RegisterWorkflow, StartExecution, WorkflowBuilder, WorkflowLayer,
};

#[tokio::main]
async fn main() -> Result<()> {
    functions_alone().await?;
    workflows_alone().await
}

/// F1 to F6 over R1 to R4, without a platform: what `Platform::builder` wires, by hand.
async fn functions_alone() -> Result<()> {
    let clock = Arc::new(TokioClock::new());
    let handlers = Handlers::new();
    handlers.register_json("twice".parse()?, |n: u64| async move { Ok(2 * n) });
    let handlers = Arc::new(handlers);

    let node = MemoryNode::new("here".parse()?, handlers.clone());
    let resources = ResourceLayer::builder()
        .agent(Arc::new(node))
        .scheduler(FilterScore::default())
        .build()
        .await?;
    let functions = FunctionLayer::builder()
        .resources(resources.manager().clone())
        .contract(
            "handler".parse()?,
            Arc::new(InProcess::new(handlers, clock.clone())),
        )
        .build()
        .await?;

    let function = FunctionId {
        namespace: Default::default(),
        name: "twice".parse()?,
    };
    let executable = Executable::Handler("twice".parse()?);
    functions
        .deploy(
            function,
            FunctionConfig::new("handler".parse()?, executable),
        )
        .await?;
    let ids = IdSource::random(clock);
    let call = Invocation::new(ids.next(), "twice".parse()?, Payload::json(&21u64)?);
    let answer = functions
        .invoker()
        .invoke(call)
        .await?
        .collect(1 << 10)
        .await?;
    let answer: u64 = answer.payload.to_json()?;
    println!("the function layer alone: twice 21 is {answer}");

    functions.shutdown(Duration::from_secs(5)).await?;
    resources.shutdown(Duration::from_secs(5)).await
}

/// Calls functions that are methods of this very type. Yours may call a cloud, or a mock.
struct Arithmetic;

#[async_trait::async_trait]
impl Invoker for Arithmetic {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let n: u64 = invocation.payload.to_json()?;
        let answer = match invocation.function.name.as_str() {
            "square" => n * n,
            "increment" => n + 1,
            other => return Err(Error::not_found("invoke", format!("no function {other}"))),
        };
        Ok(Response::success(invocation.id, Payload::json(&answer)?))
    }

    fn prewarm(&self, _: PrewarmHint) {}

    fn describe(&self) -> Description {
        Description::new("Arithmetic")
    }
}

/// W1 to W4 over any `Invoker`: it knows nothing of functions, nodes or sandboxes.
async fn workflows_alone() -> Result<()> {
    let workflows = WorkflowLayer::builder()
        .invoker(Arc::new(Arithmetic))
        .build()
        .await?;
    let definition = WorkflowBuilder::new()
        .task("square", "square", |task| task.input(Expression::input("")))
        .task("increment", "increment", |task| {
            task.input(Expression::result("square", ""))
        })
        .output(Expression::result("increment", ""))
        .build()?;
    let register = RegisterWorkflow::new("default".parse()?, "polynomial".parse()?, definition);
    workflows.registry().register(register).await?;
    let input = serde_json::json!(6);
    let start = StartExecution::new("polynomial".parse()?, "first".try_into()?, input);
    let started = workflows.engine().start(start).await?;
    match workflows.engine().wait(started.id).await?.ending {
        Some(Ending::Succeeded(output)) => {
            println!("the workflow layer alone: 6 * 6 + 1 is {output}");
        }
        other => println!("the workflow ended otherwise: {other:?}"),
    }
    workflows.shutdown(Duration::from_secs(5)).await
}
