//! The Lambda Runtime API, with a runtime of this process.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{HandlerName, HookName};
use faas_function::instance::conformance::{Fixture, Setup, Subject};
use faas_resource::SandboxHook;
use faas_resource::endpoint::Address;
use faas_resource::hook::{Reach, ReachKind};
use faas_runtimes::LambdaRuntime;
use tokio::net::TcpStream;

use crate::common::{clock, hooked, revision, task};
use crate::lambda_guest::serve;

const API: &str = "AWS_LAMBDA_RUNTIME_API";

fn lambda() -> LambdaRuntime {
    let contract = LambdaRuntime::new(HookName::new("lambda").expect("a name"), clock());
    contract.grace(Duration::from_millis(500))
}

async fn instance(setup: Setup) -> Fixture {
    let (contract, subject) = (lambda(), Subject::default());
    let (guest, loops) = (Arc::new(subject.clone()), setup.concurrency);
    let (instance, end) = hooked(&contract, &setup, Reach::Loopback, |prepared| {
        serve(prepared.environment[API].clone(), guest, loops)
    })
    .await;
    let mut fixture = Fixture::new(instance, subject, clock());
    fixture.end = Some(end);
    fixture.cancels = false;
    fixture.keep = Box::new(contract);
    fixture
}

mod instances {
    faas_function::function_instance_conformance!(super::instance);
}

async fn contract(subject: Subject) -> faas_function::contract::conformance::Fixture {
    let mut fixture = faas_function::contract::conformance::Fixture::new(
        Arc::new(lambda()),
        revision(&Setup::default()),
        Box::new(|_| Address::Hook.into()),
        Box::new(move |_, environment| {
            let guest = serve(environment[API].clone(), Arc::new(subject.clone()), 1);
            let guest = task(guest);
            Box::pin(async { guest })
        }),
    );
    let name = HandlerName::new("handler").expect("a name");
    fixture.foreign = Some(Address::Handler(name).into());
    fixture.reach = Box::new(|_, kind| (kind == ReachKind::Loopback).then_some(Reach::Loopback));
    fixture
}

mod contracts {
    faas_function::contract_conformance!(super::contract);
}

async fn reaches(api: &str) -> bool {
    TcpStream::connect(api).await.is_ok()
}

async fn hook() -> faas_resource::hook::conformance::Fixture {
    let mut fixture = faas_resource::hook::conformance::Fixture::new(
        Arc::new(lambda()),
        Box::new(|ended, prepared| {
            drop(ended);
            Box::pin(async move {
                // The system closes the sockets of a process that ends; here a task has to do so.
                while reaches(&prepared.environment[API]).await {
                    tokio::task::yield_now().await;
                }
                Arc::new(lambda()) as Arc<dyn SandboxHook>
            })
        }),
    );
    fixture.reach = Box::new(|_, kind| (kind == ReachKind::Loopback).then_some(Reach::Loopback));
    fixture.reachable =
        Box::new(|prepared| Box::pin(async move { reaches(&prepared.environment[API]).await }));
    fixture
}

mod hooks {
    faas_resource::sandbox_hook_conformance!(super::hook);
}
