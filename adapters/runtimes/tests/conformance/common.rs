//! What the fixtures of all contracts share.

use std::path::PathBuf;
use std::sync::Arc;

use faas_core::{
    Clock, HandlerName, InstanceId, Name, Namespace, RevisionNumber, RuntimeName, SandboxId,
    TokioClock,
};
use faas_function::Contract;
use faas_function::contract::Connect;
use faas_function::contract::conformance::Guest;
use faas_function::instance::FunctionInstance;
use faas_function::instance::conformance::{End, Setup};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::{Prepared, Reach};
use faas_resource::{Executable, SandboxHook};
use tokio::task::JoinHandle;

pub(crate) const SANDBOX: SandboxId = SandboxId::from_u128(1);

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

pub(crate) fn revision(setup: &Setup) -> Arc<FunctionRevision> {
    let handler = HandlerName::new("subject").expect("a name");
    let runtime = RuntimeName::new("test").expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
    setup.apply(&mut config);
    Arc::new(FunctionRevision {
        function: FunctionId {
            namespace: Namespace::default_namespace(),
            name: Name::new("subject").expect("a name"),
        },
        number: RevisionNumber(1),
        config,
    })
}

/// A task that ends when this is dropped.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) -> Guest {
    Box::new(Task(tokio::spawn(work)))
}

/// A directory of a sandbox's own, as a node makes it.
pub(crate) fn mount(root: &tempfile::TempDir, sandbox: SandboxId) -> Reach {
    let host: PathBuf = root.path().join(sandbox.to_string());
    std::fs::create_dir_all(&host).expect("a directory");
    let guest = host.clone();
    Reach::Mount { host, guest }
}

pub(crate) async fn connected(
    contract: &dyn Contract,
    setup: &Setup,
    endpoint: Endpoint,
) -> Arc<dyn FunctionInstance> {
    let instance = InstanceId::from_u128(SANDBOX.as_u128());
    let connect = Connect::new(SANDBOX, instance, endpoint, revision(setup));
    contract.connect(connect).await.expect("its guest is ready")
}

/// A sandbox whose hook prepared that, and whose guest `serve` runs; and how it ends.
pub(crate) async fn hooked<C, F>(
    contract: &C,
    setup: &Setup,
    reach: Reach,
    serve: impl FnOnce(Prepared) -> F,
) -> (Arc<dyn FunctionInstance>, End)
where
    C: Contract + SandboxHook + Clone,
    F: Future<Output = ()> + Send + 'static,
{
    let prepared = contract.prepare(SANDBOX, Some(reach)).await;
    let guest = tokio::spawn(serve(prepared.expect("it prepares")));
    let guest = Arc::new(tokio::sync::Mutex::new(Task(guest)));
    let instance = connected(contract, setup, Address::Hook.into()).await;
    let contract = contract.clone();
    let end: End = Box::new(move |cause| {
        let (contract, guest) = (contract.clone(), guest.clone());
        Box::pin(async move {
            let mut guest = guest.lock().await;
            guest.0.abort();
            // However it ended: its connections are closed now.
            let _ = (&mut guest.0).await;
            contract.release(SANDBOX, &cause).await;
        })
    });
    (instance, end)
}
