//! A test for each extension point, as a user of the crate would write it: a component of one's own
//! goes into a platform by one call, and does its part there.

mod autoscaler;
mod builder;
mod clock;
mod code;
mod contract;
mod deployer;
mod engine;
mod execution_store;
mod handlers;
mod invoker;
mod language;
mod layer;
mod manager;
mod metadata;
mod naming;
mod node_agent;
mod router;
mod scheduler;
mod store;
mod workflow_registry;
mod workflow_scheduler;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas::core::{Component, Result};
use faas::workflow::{Definition, Expression, WorkflowBuilder};
use faas::{Platform, PlatformBuilder};

/// Waits for an answer, but not for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("an answer in time")
}

/// How often a component of ours was asked.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn again(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A platform that can double numbers.
async fn doubling(builder: PlatformBuilder) -> Platform {
    let platform = within(builder.build())
        .await
        .expect("it is well configured");
    let deployed = platform.deploy_json("double", |n: u64| async move { Ok(2 * n) });
    deployed.await.expect("it deploys");
    platform
}

async fn double(platform: &Platform, n: u64) -> u64 {
    within(platform.call("double", &n)).await.expect("a number")
}

/// Doubles twice.
fn definition() -> Result<Definition> {
    WorkflowBuilder::new()
        .task("once", "double", |task| task.input(Expression::input("")))
        .task("twice", "double", |task| {
            task.input(Expression::result("once", ""))
        })
        .output(Expression::result("twice", ""))
        .build()
}

async fn fourfold(platform: &Platform, n: u64) -> u64 {
    let registered = platform.register_workflow("fourfold", definition().expect("well-formed"));
    registered.await.expect("it compiles");
    let run = platform.execute("fourfold", "one", &n);
    within(run).await.expect("a number")
}

/// That the platform's map names a component of ours.
fn names(platform: &Platform, component: Component, name: &str) {
    let map = platform.map();
    let providers = map.providers(component);
    assert!(providers.iter().any(|one| one.contains(name)), "{map}");
}
