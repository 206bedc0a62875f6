//! The registry against its conformance suite, and typed handlers.

use faas_core::handler::conformance::RegistryFixture;
use faas_core::{Handler, HandlerCall, HandlerRegistry, HandlerReply, IdSource, Invocation};
use faas_core::{Payload, TokioClock};
use faas_memory::Handlers;
use std::sync::Arc;

fn call(payload: Payload) -> HandlerCall {
    let ids = IdSource::new(Arc::new(TokioClock::new()), 1);
    Invocation::new(ids.next(), "f".parse().expect("a good test"), payload).into()
}

#[tokio::test]
async fn json_handlers_are_typed() {
    let handlers = Handlers::new();
    let name: faas_core::HandlerName = "double".parse().expect("a good test");
    handlers.register_json(name.clone(), |n: u64| async move { Ok(n * 2) });
    let handler: Arc<dyn Handler> = handlers.lookup(&name).expect("a good test");
    let HandlerReply::Whole(reply) = handler
        .call(call(Payload::json(&21).expect("a good test")))
        .await
        .expect("a good test")
    else {
        panic!("a JSON handler answers at once");
    };
    assert_eq!(reply.to_json::<u64>().expect("a good test"), 42);
    assert!(handler.call(call(Payload::text("x"))).await.is_err());
    handlers.unregister(&name);
    assert!(handlers.lookup(&name).is_none());
}

mod registry {
    use super::*;

    faas_core::handler_registry_conformance!(|| async {
        let handlers = Handlers::new();
        let registry = handlers.clone();
        RegistryFixture::new(registry, move |name, handler| {
            handlers.register_shared(name, handler);
        })
    });
}
