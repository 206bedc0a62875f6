//! Handlers of this process.

use std::sync::{Arc, Mutex};

use faas_core::{Handler, HandlerName, HandlerRegistry};
use faas_function::instance::conformance::{Fixture, Setup, Subject};
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
