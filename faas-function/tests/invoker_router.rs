//! `SlotRouter` as an `Invoker`: the suite of that trait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::invoker::conformance::Fixture;
use faas_core::{
    Clock, Error, FunctionError, IdSource, InstanceId, Invocation, MemoryStore, Monotonic,
    Namespace, Response, Result, TokioClock,
};
use faas_function::instance::{Health, Permit};
use faas_function::registry::{FunctionConfig, FunctionId, StoreMetadata};
use faas_function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas_function::{FunctionInstance, FunctionRouter, MetadataStore};
use faas_resource::Executable;
use futures::FutureExt;
use futures::future::BoxFuture;

/// What an instance does with a call.
#[derive(Clone, Copy)]
enum Act {
    Echo,
    Fail,
    Wait,
}

struct Actor {
    id: InstanceId,
    act: Act,
    clock: Arc<dyn Clock>,
    running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl FunctionInstance for Actor {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, call: Invocation, _permit: Permit) -> Result<Response> {
        match self.act {
            Act::Echo => Ok(Response::success(call.id, call.payload)),
            Act::Fail => Ok(Response::failure(
                call.id,
                FunctionError::new("Asked", "it was asked to"),
            )),
            Act::Wait => {
                self.running.fetch_add(1, Ordering::SeqCst);
                let _running = Running(self.running.clone());
                match call.deadline {
                    Some(deadline) => self.clock.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
                Err(Error::deadline_exceeded("invoke", "it waits for ever"))
            }
        }
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        futures::future::pending().boxed()
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

async fn fixture() -> Fixture {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let ids = IdSource::new(clock.clone(), 1);
    let metadata = Arc::new(StoreMetadata::new(Arc::new(MemoryStore::new())));
    let parts = SlotRouterParts {
        metadata: metadata.clone(),
        clock: clock.clone(),
        decisions: DecisionLog::new(clock.clone(), ids.clone()),
    };
    let router = SlotRouter::start(parts, SlotRouterOptions::default()).await;
    let router = router.expect("it starts");
    let running = Arc::<AtomicUsize>::default();
    let functions = [
        ("echo", Act::Echo),
        ("fail", Act::Fail),
        ("wait", Act::Wait),
    ];
    for (name, act) in functions {
        let handler = Executable::Handler(name.parse().expect("a name"));
        let mut config = FunctionConfig::new("test".parse().expect("a name"), handler);
        config.concurrency = 4;
        let function = FunctionId {
            namespace: Namespace::default(),
            name: name.parse().expect("a name"),
        };
        let made = metadata.create(function, config).await.expect("made");
        let instance = Actor {
            id: ids.next(),
            act,
            clock: clock.clone(),
            running: running.clone(),
        };
        router.add(AddInstance::new(made.latest.clone(), Arc::new(instance)));
    }
    let [echo, fail, wait] = ["echo", "fail", "wait"].map(|name| name.parse().expect("a name"));
    let count = Arc::new(move || running.load(Ordering::SeqCst));
    Fixture::new(router, echo, fail)
        .waiting(wait, count)
        .by_clock(clock)
}

faas_core::invoker_conformance!(fixture);
