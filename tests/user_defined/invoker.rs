//! The workflow layer over an invoker of one's own: no function layer, no sandbox.

use std::sync::Arc;

use faas::core::{Description, Error, Invocation, Invoker, Payload, PrewarmHint, Response, Result};
use faas::workflow::{
    Ending, RegisterWorkflow, StartExecution, WorkflowEngine, WorkflowLayer, WorkflowRegistry,
};

use crate::{definition, within};

struct Doubler;

#[async_trait::async_trait]
impl Invoker for Doubler {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        if invocation.function.name.as_str() != "double" {
            let message = format!("no function {}", invocation.function);
            return Err(Error::not_found("invoke", message));
        }
        let n: u64 = invocation.payload.to_json()?;
        Ok(Response::success(invocation.id, Payload::json(&(2 * n))?))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("Doubler")
    }
}

#[tokio::test]
async fn workflows_call_it() {
    let layer = WorkflowLayer::builder().invoker(Arc::new(Doubler)).build();
    let layer = layer.await.expect("it is well configured");
    let name = "fourfold".parse().expect("a name");
    let definition = definition().expect("well-formed");
    let register = RegisterWorkflow::new(Default::default(), name, definition);
    layer
        .registry()
        .register(register)
        .await
        .expect("it compiles");
    let start = StartExecution::new(
        "fourfold".parse().expect("a name"),
        "one".try_into().expect("a name"),
        serde_json::json!(4),
    );
    let started = layer.engine().start(start).await.expect("it starts");
    let ended = within(layer.engine().wait(started.id)).await;
    let ending = ended.expect("it ends").ending;
    assert_eq!(ending, Some(Ending::Succeeded(Arc::new(16.into()))));
}
