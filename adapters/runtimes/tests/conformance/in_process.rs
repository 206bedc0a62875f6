//! Handlers of this process.

use std::sync::{Arc, Mutex};

use faas_core::{
    Handler, HandlerName, HandlerRegistry, InstanceId, Invocation, InvocationId, Payload,
};
use faas_function::instance::conformance::{Fixture, Setup, Subject};
use faas_function::instance::{Permit, SlotOwner};
use faas_resource::endpoint::{Address, Endpoint};
use faas_runtimes::InProcess;

use crate::common::{clock, connected, revision};

/// A registry with room for one.
#[derive(Default, Clone)]
struct One(Arc<Mutex<Option<Subject>>>);

impl HandlerRegistry for One {
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
        let subject = self.0.lock().expect("no panic").clone()?;
        (name.as_str() == "subject").then(|| Arc::new(subject) as Arc<dyn Handler>)
    }
}

fn endpoint() -> Endpoint {
    Address::Handler(HandlerName::new("subject").expect("a name")).into()
}

async fn instance(setup: Setup) -> Fixture {
    let (registry, subject, clock) = (One::default(), Subject::default(), clock());
    *registry.0.lock().expect("no panic") = Some(subject.clone());
    let contract = InProcess::new(Arc::new(registry), clock.clone());
    let instance = connected(&contract, &setup, endpoint()).await;
    Fixture::new(instance, subject, clock)
}

mod instances {
    faas_function::function_instance_conformance!(super::instance);
}

/// An instance whose handler has shown that it yields promptly: its calls are polled by who calls.
async fn prompt(setup: Setup) -> Fixture {
    struct Nobody;
    impl SlotOwner for Nobody {
        fn released(&self, _: InstanceId) {}
    }
    let fixture = instance(setup).await;
    for number in 0..3 {
        let permit = Permit::new(Arc::new(Nobody), fixture.instance.id());
        let function = "subject".parse().expect("a name");
        let id = InvocationId::from_u128(number);
        let invocation = Invocation::new(id, function, Payload::text("echo warm"));
        let answer = fixture.instance.invoke(invocation, permit).await;
        answer.expect("it serves");
    }
    fixture
}

mod instances_that_are_prompt {
    faas_function::function_instance_conformance!(super::prompt);
}

/// An instance whose handlers run on a runtime of their own.
async fn apart(setup: Setup) -> Fixture {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (registry, subject, clock) = (One::default(), Subject::default(), clock());
    *registry.0.lock().expect("no panic") = Some(subject.clone());
    let contract = InProcess::new(Arc::new(registry), clock.clone());
    let contract = contract.guest_runtime(runtime.handle().clone());
    let instance = connected(&contract, &setup, endpoint()).await;
    let mut fixture = Fixture::new(instance, subject, clock);
    fixture.keep = Box::new(Ended(Some(runtime)));
    fixture
}

/// A runtime that may be dropped within another.
struct Ended(Option<tokio::runtime::Runtime>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

mod instances_apart {
    faas_function::function_instance_conformance!(super::apart);
}

async fn contract(subject: Subject) -> faas_function::contract::conformance::Fixture {
    let registry = One::default();
    let contract = Arc::new(InProcess::new(Arc::new(registry.clone()), clock()));
    let mut fixture = faas_function::contract::conformance::Fixture::new(
        contract,
        revision(&Setup::default()),
        Box::new(|_| endpoint()),
        Box::new(move |_, _| {
            *registry.0.lock().expect("no panic") = Some(subject.clone());
            Box::pin(async { Box::new(()) as _ })
        }),
    );
    fixture.foreign = Some(Address::Hook.into());
    fixture
}

mod contracts {
    faas_function::contract_conformance!(super::contract);
}
