//! What the tests of all contracts share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_core::{
    Clock, Completed, FunctionError, HandlerName, InstanceId, Invocation, InvocationId, Name,
    Namespace, Outcome, Payload, Response, RevisionNumber, RuntimeName, SandboxId, TokioClock,
};
use faas_function::contract::Connect;
use faas_function::instance::{Permit, SlotOwner};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_resource::{Endpoint, Executable};

/// Counts the slots that came back.
#[derive(Default)]
pub(crate) struct Slots(AtomicUsize);

impl SlotOwner for Slots {
    fn released(&self, _: InstanceId) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Slots {
    pub(crate) fn permit(self: &Arc<Self>) -> Permit {
        Permit::new(self.clone(), instance())
    }

    pub(crate) fn released(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until so many came back.
    pub(crate) async fn wait(&self, count: usize) {
        let enough = async {
            while self.released() < count {
                tokio::task::yield_now().await;
            }
        };
        let time = Duration::from_secs(5);
        tokio::time::timeout(time, enough)
            .await
            .expect("the slot comes back");
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

pub(crate) fn instance() -> InstanceId {
    InstanceId::from_u128(7)
}

pub(crate) fn sandbox() -> SandboxId {
    SandboxId::from_u128(9)
}

pub(crate) fn call(text: &str) -> Invocation {
    let id = InvocationId::from_u128(1);
    Invocation::new(id, "hello".parse().unwrap(), Payload::text(text))
}

pub(crate) fn config() -> FunctionConfig {
    let handler = HandlerName::new("hello").unwrap();
    let runtime = RuntimeName::new("test").unwrap();
    FunctionConfig::new(runtime, Executable::Handler(handler))
}

pub(crate) fn connect(endpoint: impl Into<Endpoint>, config: FunctionConfig) -> Connect {
    let function = FunctionId {
        namespace: Namespace::default_namespace(),
        name: Name::new("hello").unwrap(),
    };
    let revision = FunctionRevision {
        function,
        number: RevisionNumber(1),
        config,
    };
    Connect::new(sandbox(), instance(), endpoint.into(), Arc::new(revision))
}

pub(crate) async fn complete(response: Response) -> Completed {
    response.collect(1 << 20).await.expect("it ends")
}

pub(crate) async fn failure(response: Response) -> FunctionError {
    match complete(response).await.trailer.outcome {
        Outcome::Failure(error) => error,
        Outcome::Success => panic!("it succeeded"),
    }
}
