//! A contract of one's own, and with it instances of one's own (F4): a runtime whose functions
//! answer with what they are called.

use std::sync::Arc;

use faas::Platform;
use faas::core::{Error, HookName, InstanceId, Invocation, Monotonic, Payload, Response, Result};
use faas::function::contract::{Connect, SandboxEnvironment};
use faas::function::instance::{Health, Permit};
use faas::function::registry::{FunctionConfig, FunctionRevision};
use faas::function::{Contract, FunctionInstance};
use faas::resource::endpoint::Address;
use faas::resource::spec::ExecutableKind;
use faas::resource::{Endpoint, Executable, SandboxHook};
use futures::future::BoxFuture;

use crate::within;

struct Nameplate;

#[async_trait::async_trait]
impl Contract for Nameplate {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        Default::default()
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let Endpoint::Address(Address::Handler(name)) = &connect.endpoint else {
            return Err(Error::unsupported("connect", "only handlers have a name"));
        };
        let name = name.to_string();
        Ok(Arc::new(Named(connect.instance, name)))
    }
}

struct Named(InstanceId, String);

#[async_trait::async_trait]
impl FunctionInstance for Named {
    fn id(&self) -> InstanceId {
        self.0
    }
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        // Idle again as soon as it has answered.
        drop(permit);
        Ok(Response::success(invocation.id, Payload::text(&*self.1)))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        Box::pin(std::future::pending())
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn its_instances_answer() {
    let runtime = "nameplate".parse().expect("a name");
    let platform = Platform::builder().contract(runtime, Arc::new(Nameplate));
    let platform = platform.build().await.expect("it is well configured");
    let never = |_: faas::core::HandlerCall| async move { panic!("it is never called") };
    let mut config: FunctionConfig = platform.register(never).expect("a name");
    let Executable::Handler(name) = config.executable.clone() else {
        panic!("a handler")
    };
    config.runtime = "nameplate".parse().expect("a name");
    platform.deploy("plate", config).await.expect("it deploys");
    let answer = within(platform.run("plate", Payload::empty())).await;
    let answer = answer.expect("it runs");
    assert_eq!(answer.payload.to_text().expect("text"), name.as_str());
}
