//! Handlers looked up in a registry of one's own, on a node and by a contract of the library.

use std::sync::Arc;

use faas::Platform;
use faas::core::{
    FunctionError, Handler, HandlerCall, HandlerName, HandlerRegistry, HandlerReply, Payload,
    TokioClock,
};
use faas::function::registry::FunctionConfig;
use faas::memory::MemoryNode;
use faas::resource::Executable;
use faas::runtimes::InProcess;

use crate::within;

/// Every name that begins with `greet-` is a handler that greets.
struct Greeters;

struct Greeter(String);

#[async_trait::async_trait]
impl Handler for Greeter {
    async fn call(&self, _: HandlerCall) -> Result<HandlerReply, FunctionError> {
        Ok(HandlerReply::Whole(Payload::text(format!(
            "hello, {}",
            self.0
        ))))
    }
}

impl HandlerRegistry for Greeters {
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
        let whom = name.as_str().strip_prefix("greet-")?;
        Some(Arc::new(Greeter(whom.to_owned())))
    }
}

#[tokio::test]
async fn they_are_found_in_it() {
    let greeters: Arc<dyn HandlerRegistry> = Arc::new(Greeters);
    let node = MemoryNode::new("greeters".parse().expect("a name"), greeters.clone());
    let contract = InProcess::new(greeters, Arc::new(TokioClock::new()));
    let platform = Platform::builder()
        .without_local_nodes()
        .agent(Arc::new(node))
        .contract("greeter".parse().expect("a name"), Arc::new(contract))
        .build()
        .await
        .expect("it is well configured");
    let executable = Executable::Handler("greet-ada".parse().expect("a name"));
    let config = FunctionConfig::new("greeter".parse().expect("a name"), executable);
    platform.deploy("greet", config).await.expect("it deploys");
    let answer = within(platform.run("greet", Payload::empty())).await;
    let answer = answer.expect("it runs");
    assert_eq!(answer.payload.to_text().expect("text"), "hello, ada");
}
