//! Any definition in Amazon States Language, as AWS or its tools export it, run unmodified: every
//! function and service that it names is played by one that answers with what it was given, or with
//! what a file of answers says. Prints the history in AWS's form.
//!
//! ```sh
//! cargo run --features jsonata --example state_machine -- machine.asl.json '{"order": 5}'
//! cargo run --features jsonata --example state_machine -- machine.asl.json '{}' answers.json
//! ```
//!
//! `answers.json` is an object: from a part of a resource's name, or of its arguments, to the answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas::core::{Description, Invocation, Invoker, Payload, PrewarmHint, Response};
use faas::workflow::asl::{aws_history, definition};
use faas::workflow::engine::{ResourceAnswer, ResourceCall, TaskResources, WorkflowEngineExt};
use faas::workflow::program::{Completion, TaskError};
use faas::workflow::{
    RegisterWorkflow, StartExecution, WorkflowEngine, WorkflowLayer, WorkflowRegistry,
};
use futures::{FutureExt, TryStreamExt};
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The world as a file of answers has it.
#[derive(Debug, Clone, Default)]
struct World(Arc<Value>);

impl World {
    fn answer(&self, name: &str, input: &Value) -> Value {
        let asked = format!("{name} {input}");
        let answers = self.0.as_object().into_iter().flatten();
        let mut fits = answers.filter(|(part, _)| asked.contains(part.as_str()));
        fits.next()
            .map_or_else(|| input.clone(), |(_, answer)| answer.clone())
    }
}

#[async_trait]
impl Invoker for World {
    async fn invoke(&self, invocation: Invocation) -> faas::core::Result<Response> {
        let input: Value = invocation.payload.to_json()?;
        let answer = self.answer(invocation.function.name.as_str(), &input);
        Ok(Response::success(invocation.id, Payload::json(&answer)?))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("World")
    }
}

#[async_trait]
impl TaskResources for World {
    async fn call(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError> {
        let answer = Arc::new(self.answer(call.resource.as_str(), &call.input));
        Ok(match call.completion {
            Completion::Job => {
                let end = answer.clone();
                ResourceAnswer::Job(answer, async move { Ok(end) }.boxed())
            }
            _ => ResourceAnswer::Output(answer),
        })
    }
    fn describe(&self) -> Description {
        Description::new("World")
    }
}

async fn layer(world: World) -> Outcome<WorkflowLayer> {
    let invoker = Arc::new(world.clone());
    let builder = WorkflowLayer::builder()
        .invoker(invoker)
        .resources(Arc::new(world));
    #[cfg(feature = "jsonata")]
    let builder = builder.expressions(Arc::new(faas::jsonata::StatesExpressions::default()));
    Ok(builder.build().await?)
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = arguments.first() else {
        return Err("which definition? give its file, and its input as JSON".into());
    };
    let text = std::fs::read_to_string(file)?;
    let input: Value = serde_json::from_str(arguments.get(1).map_or("{}", String::as_str))?;
    let world = match arguments.get(2) {
        Some(answers) => World(Arc::new(serde_json::from_str(&std::fs::read_to_string(
            answers,
        )?)?)),
        None => World::default(),
    };
    let layer = layer(world).await?;
    let register = RegisterWorkflow::new("default".parse()?, "machine".parse()?, definition(text));
    layer.registry().register(register).await?;
    let start = StartExecution::new("machine".parse()?, "one".try_into()?, input);
    let started = layer.engine().start(start).await?;
    let ended = layer.engine().wait(started.id).await?;
    let records: Vec<_> = layer
        .engine()
        .clone()
        .records(started.id)
        .try_collect()
        .await?;
    println!("{}", serde_json::to_string_pretty(&aws_history(&records))?);
    eprintln!("{:?}", ended.ending);
    layer.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
