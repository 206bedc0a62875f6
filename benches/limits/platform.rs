//! The platforms that are measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::{
    Clock, Digest, FunctionError, HandlerCall, HandlerReply, Invocation, Payload, TokioClock,
};
use faas::function::CodeStore;
use faas::function::registry::{FunctionConfig, FunctionId, ObjectCode};
use faas::resource::spec::{Packing, Program};
use faas::resource::{Executable, NodeAgent};
use faas::runtimes::FramedSocket;
use faas_process::ProcessNode;
use object_store::memory::InMemory;

use crate::child::Role;

/// What functions are given, and answer.
const BYTES: &[u8] = b"0123456789abcdef";

pub(crate) fn payload() -> Payload {
    Payload::bytes(BYTES)
}

pub(crate) async fn echo(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    Ok(HandlerReply::from(call.payload))
}

/// The default platform with the closure `echo`, which is warm.
pub(crate) async fn in_process() -> Platform {
    let platform = Platform::builder().build().await.expect("the defaults");
    platform
        .deploy_handler("echo", echo)
        .await
        .expect("it deploys");
    platform.run("echo", payload()).await.expect("it starts");
    platform
}

pub(crate) fn request(platform: &Platform, function: &str) -> Invocation {
    platform.request(function, payload()).expect("a good name")
}

/// So many requests, made before the time is taken.
pub(crate) fn requests(platform: &Platform, count: usize) -> Vec<Invocation> {
    (0..count).map(|_| request(platform, "echo")).collect()
}

const RUNTIME: &str = "framed";

/// A platform whose functions are processes of this very program.
pub(crate) struct Processes {
    pub(crate) platform: Platform,
    node: Arc<ProcessNode>,
    digest: Digest,
}

impl Processes {
    /// With a data directory, or with its state in memory.
    pub(crate) async fn start(directory: &Path, data: Option<PathBuf>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let code = ObjectCode::new(Arc::new(InMemory::new()));
        let this = std::env::current_exe().and_then(std::fs::read);
        let digest = code.put(this.expect("this program").into()).await;
        let root = directory.join("node");
        let node = ProcessNode::builder("child".parse().expect("a name"), root, Arc::new(code))
            .clock(clock.clone())
            .build()
            .expect("a node");
        let node = Arc::new(node);
        let contract = FramedSocket::new("framed".parse().expect("a name"), clock.clone());
        let mut platform = Platform::builder()
            .clock(clock)
            .without_local_nodes()
            .agent(node.clone())
            .contract(RUNTIME.parse().expect("a name"), Arc::new(contract));
        if let Some(data) = data {
            platform = platform.data_dir(data);
        }
        let platform = platform.build().await.expect("it is well configured");
        let digest = digest.expect("it is kept");
        Self {
            platform,
            node,
            digest,
        }
    }

    pub(crate) async fn deploy(&self, name: &str, role: &Role) {
        let program = Program {
            code: self.digest,
            packing: Packing::File,
            entrypoint: "guest".into(),
            arguments: role.arguments(),
        };
        let runtime = RUNTIME.parse().expect("a name");
        let config = FunctionConfig::new(runtime, Executable::Program(program));
        let deployed = self.platform.deploy(name, config).await;
        deployed.expect("it deploys");
    }

    /// Deletes a function, and waits until its process is gone.
    pub(crate) async fn delete(&self, name: &str) {
        let functions = self.platform.functions();
        let deleted = functions.metadata().delete(&function(name), None).await;
        deleted.expect("it was there");
        while self.node.list().await.expect("it lists").len() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn stop(self) {
        let end = self.platform.shutdown(Duration::from_secs(10)).await;
        end.expect("it drains");
    }
}

pub(crate) fn function(name: &str) -> FunctionId {
    FunctionId {
        namespace: Default::default(),
        name: name.parse().expect("a name"),
    }
}
