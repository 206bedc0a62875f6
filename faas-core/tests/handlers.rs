//! Closures are handlers and a map is a registry; the suites catch those that break a rule.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::handler::conformance::{HANDLER_CASES, REGISTRY_CASES, RegistryFixture};
use faas_core::{
    ContentType, FunctionError, Handler, HandlerCall, HandlerName, HandlerRegistry, HandlerReply,
    Payload,
};
use futures::stream;

async fn echo(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    tokio::task::yield_now().await;
    Ok(call.payload.into())
}

mod closure {
    use faas_core::Payload;

    faas_core::handler_conformance!(async || (super::echo, Payload::text("hi")));
}

mod streaming {
    use super::*;

    async fn stream(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
        let parts: Vec<Result<Bytes, FunctionError>> = vec![Ok(call.payload.into_bytes())];
        Ok(HandlerReply::Stream(
            ContentType::TEXT,
            Box::pin(stream::iter(parts)),
        ))
    }

    faas_core::handler_conformance!(async || (stream, Payload::text("hi")));
}

/// Serves one call at a time, and does not notice that a call was dropped.
#[derive(Default)]
struct Single {
    busy: AtomicBool,
    refuses: bool,
}

#[async_trait]
impl Handler for Single {
    async fn call(&self, call: HandlerCall) -> Result<HandlerReply, FunctionError> {
        if self.busy.swap(true, Ordering::SeqCst) && self.refuses {
            return Err(FunctionError::new("Busy", "one at a time"));
        }
        tokio::task::yield_now().await;
        let reply = echo(call).await;
        self.busy.store(false, Ordering::SeqCst);
        reply
    }
}

#[tokio::test]
async fn each_handler_case_catches_its_own() {
    for (rule, case) in HANDLER_CASES {
        let broken = Arc::new(Single {
            refuses: true,
            ..Single::default()
        });
        let result = tokio::spawn(case(broken, Payload::text("x"))).await;
        assert!(result.is_err_and(|error| error.is_panic()), "{rule}");
        case(Arc::new(Single::default()), Payload::text("x")).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    FirstWins,
    IgnoresCase,
}

#[derive(Clone)]
struct Registry(Arc<Mutex<HashMap<String, Arc<dyn Handler>>>>, Fault);

impl Registry {
    fn name(&self, name: &HandlerName) -> String {
        match self.1 {
            Fault::IgnoresCase => name.as_str().to_lowercase(),
            _ => name.to_string(),
        }
    }
}

impl HandlerRegistry for Registry {
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&self.name(name)).cloned()
    }
}

fn registry(fault: Fault) -> RegistryFixture {
    let registry = Registry(Arc::default(), fault);
    let same = registry.clone();
    RegistryFixture::new(registry, move |name, handler| {
        let mut all = same.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = same.name(&name);
        if fault != Fault::FirstWins || !all.contains_key(&name) {
            all.insert(name, handler);
        }
    })
}

mod map {
    faas_core::handler_registry_conformance!(async || super::registry(super::Fault::None));
}

#[tokio::test]
async fn each_registry_case_catches_its_own() {
    let faults = [Fault::FirstWins, Fault::IgnoresCase];
    for ((rule, case), fault) in REGISTRY_CASES.iter().zip(faults) {
        let result = tokio::spawn(case(registry(fault))).await;
        assert!(result.is_err_and(|error| error.is_panic()), "{rule}");
    }
    assert_eq!(REGISTRY_CASES.len(), faults.len());
}
