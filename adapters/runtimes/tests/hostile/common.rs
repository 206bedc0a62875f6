//! What the tests of both contracts share.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{
    Clock, FunctionError, HandlerName, InstanceId, Invocation, InvocationId, Name, Namespace,
    Outcome, Payload, Response, Result, RevisionNumber, RuntimeName, SandboxId, TokioClock,
};
use faas_function::Contract;
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Permit, SlotOwner};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::Address;
use faas_resource::{Executable, SandboxHook};
use tokio::sync::watch;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const SANDBOX: SandboxId = SandboxId::from_u128(1);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let bounded = tokio::time::timeout(SOON, future).await;
    bounded.expect("it comes in time")
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::new())
}

/// Counts the slots that came back.
struct Slots(watch::Sender<usize>);

impl SlotOwner for Slots {
    fn released(&self, _: InstanceId) {
        self.0.send_modify(|count| *count += 1);
    }
}

pub(crate) fn config(timeout: Duration, limit: u64) -> FunctionConfig {
    let handler = HandlerName::new("hello").expect("a name");
    let runtime = RuntimeName::new("test").expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
    (config.timeout, config.response_limit) = (timeout, limit);
    config
}

pub(crate) fn connect(config: FunctionConfig) -> Connect {
    let function = FunctionId {
        namespace: Namespace::default_namespace(),
        name: Name::new("hello").expect("a name"),
    };
    let number = RevisionNumber(1);
    let revision = Arc::new(FunctionRevision {
        function,
        number,
        config,
    });
    let instance = InstanceId::from_u128(1);
    Connect::new(SANDBOX, instance, Address::Hook.into(), revision)
}

/// An instance, whose sandbox the test plays.
pub(crate) struct Victim<C> {
    pub(crate) contract: C,
    pub(crate) instance: Arc<dyn FunctionInstance>,
    slots: Arc<Slots>,
}

impl<C: Contract + SandboxHook> Victim<C> {
    /// The guest has begun already.
    pub(crate) async fn new(contract: C, config: FunctionConfig) -> Self {
        Self::at(contract, connect(config)).await
    }

    pub(crate) async fn at(contract: C, connect: Connect) -> Self {
        let instance = soon(contract.connect(connect)).await;
        Self {
            contract,
            instance: instance.expect("its guest is ready"),
            slots: Arc::new(Slots(watch::Sender::new(0))),
        }
    }

    pub(crate) fn invoke(
        &self,
        payload: impl Into<bytes::Bytes>,
    ) -> futures::future::BoxFuture<'static, Result<Response>> {
        let function = "hello".parse().expect("a name");
        let id = InvocationId::from_u128(1);
        self.send(Invocation::new(id, function, Payload::bytes(payload)))
    }

    pub(crate) fn send(
        &self,
        invocation: Invocation,
    ) -> futures::future::BoxFuture<'static, Result<Response>> {
        let permit = Permit::new(self.slots.clone(), self.instance.id());
        let instance = self.instance.clone();
        Box::pin(async move { soon(instance.invoke(invocation, permit)).await })
    }

    pub(crate) async fn freed(&self, count: usize) {
        let mut freed = self.slots.0.subscribe();
        let enough = soon(freed.wait_for(|freed| *freed >= count)).await;
        assert!(enough.is_ok(), "we hold the sender");
    }

    /// It has been given up: it says why, and once its sandbox is gone nothing of it is left.
    pub(crate) async fn given_up(self) -> String {
        let why = soon(self.instance.failed()).await;
        self.nothing_left().await;
        why
    }

    /// The end of its sandbox ends all tasks that there were for it.
    pub(crate) async fn nothing_left(self) {
        self.contract.release(SANDBOX, &ExitCause::Stopped).await;
        drop(self);
        let tasks = tokio::runtime::Handle::current();
        let gone = async {
            while tasks.metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        soon(gone).await;
    }
}

pub(crate) async fn failure(answer: Result<Response>) -> FunctionError {
    let response = answer.expect("a failure of the function is a response");
    let completed = soon(response.collect(16 << 20)).await.expect("a trailer");
    match completed.trailer.outcome {
        Outcome::Failure(error) => error,
        Outcome::Success => panic!("it succeeded"),
    }
}

pub(crate) async fn answered(answer: Result<Response>) -> bytes::Bytes {
    let completed = soon(answer.expect("an answer").collect(16 << 20)).await;
    let completed = completed.expect("a trailer");
    assert_eq!(completed.trailer.outcome, Outcome::Success);
    completed.payload.into_bytes()
}
