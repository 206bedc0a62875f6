//! A child process as the sandbox, started as a node would start it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{
    Completed, HookName, InstanceId, Invocation, InvocationId, Name, Namespace, Outcome, Payload,
    RevisionNumber, RuntimeName, SandboxId, TokioClock,
};
use faas_function::Contract;
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Permit, SlotOwner};
use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::Address;
use faas_resource::hook::Reach;
use faas_resource::spec::{Packing, Program};
use faas_resource::{Executable, SandboxHook};
use faas_runtimes::LambdaRuntime;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::watch;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let bounded = tokio::time::timeout(SOON, future).await;
    bounded.expect("it comes in time")
}

/// Counts the slots that came back.
pub(crate) struct Slots(watch::Sender<usize>);

impl SlotOwner for Slots {
    fn released(&self, _: InstanceId) {
        self.0.send_modify(|count| *count += 1);
    }
}

pub(crate) struct Sandbox {
    pub(crate) instance: Arc<dyn FunctionInstance>,
    pub(crate) slots: Arc<Slots>,
    node: tokio::task::JoinHandle<()>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.node.abort();
    }
}

pub(crate) fn contract() -> LambdaRuntime {
    let name = HookName::new("lambda").expect("a name");
    LambdaRuntime::new(name, Arc::new(TokioClock::new()))
}

pub(crate) fn config() -> FunctionConfig {
    let program = Program {
        code: faas_core::Digest::of(b"this program"),
        packing: Packing::File,
        entrypoint: "bootstrap".into(),
        arguments: Vec::new(),
    };
    let runtime = RuntimeName::new("provided").expect("a name");
    FunctionConfig::new(runtime, Executable::Program(program))
}

fn revision(config: FunctionConfig) -> Arc<FunctionRevision> {
    let function = FunctionId {
        namespace: Namespace::default_namespace(),
        name: Name::new("hello").expect("a name"),
    };
    Arc::new(FunctionRevision {
        function,
        number: RevisionNumber(4),
        config,
    })
}

/// Starts a sandbox; its instance, or why there is none.
pub(crate) async fn try_start(
    contract: &LambdaRuntime,
    number: u128,
    config: FunctionConfig,
    extra: &[(&str, &str)],
) -> faas_core::Result<Sandbox> {
    let (id, revision) = (SandboxId::from_u128(number), revision(config));
    let prepared = contract.prepare(id, Some(Reach::Loopback)).await?;
    let environment = contract.environment(&revision);
    let own = &revision.config.environment;
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["tests::guest", "--exact", "--nocapture"])
        .env_clear()
        .envs(environment.merge(own))
        .envs(environment.code_root.iter().map(|name| (name, "/")))
        .envs(prepared.environment)
        .envs(extra.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a child");
    let hook = contract.clone();
    let node = tokio::spawn(async move {
        let status = child.wait().await.expect("its end");
        let cause = status.code().map_or(ExitCause::Unknown, ExitCause::Code);
        hook.release(id, &cause).await;
    });
    let instance = InstanceId::from_u128(number);
    let connect = Connect::new(id, instance, Address::Hook.into(), revision);
    let instance = soon(contract.connect(connect)).await;
    let slots = Arc::new(Slots(watch::Sender::new(0)));
    Ok(Sandbox {
        instance: instance?,
        slots,
        node,
    })
}

pub(crate) async fn start(config: FunctionConfig) -> Sandbox {
    let started = try_start(&contract(), 1, config, &[]).await;
    started.expect("it starts")
}

pub(crate) fn call(number: u128, payload: &Value) -> Invocation {
    let payload = Payload::json(payload).expect("JSON");
    let function = "hello".parse().expect("a name");
    Invocation::new(InvocationId::from_u128(number), function, payload)
}

impl Sandbox {
    pub(crate) fn permit(&self) -> Permit {
        Permit::new(self.slots.clone(), self.instance.id())
    }

    pub(crate) async fn try_run(&self, invocation: Invocation) -> faas_core::Result<Completed> {
        let response = soon(self.instance.invoke(invocation, self.permit())).await?;
        soon(response.collect(16 << 20)).await
    }

    /// Runs one call and waits until its slot is free again.
    pub(crate) async fn run(&self, payload: Value) -> Completed {
        let before = *self.slots.0.borrow();
        let answer = self.try_run(call(1, &payload)).await.expect("an outcome");
        self.freed(before + 1).await;
        answer
    }

    /// The kind and message of a failure.
    pub(crate) async fn fail(&self, payload: Value) -> (String, String) {
        failure(self.run(payload).await)
    }

    /// Waits until so many slots came back.
    pub(crate) async fn freed(&self, count: usize) {
        let mut freed = self.slots.0.subscribe();
        let enough = soon(freed.wait_for(|freed| *freed >= count)).await;
        enough.expect("it is counted");
    }
}

pub(crate) fn failure(completed: Completed) -> (String, String) {
    match completed.trailer.outcome {
        Outcome::Failure(error) => (error.kind.into_owned(), error.message),
        Outcome::Success => panic!("it succeeded"),
    }
}
