//! The whole platform goes by a clock of one's own.

use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::clock::Hold;
use faas::core::{Clock, Monotonic, TokioClock};
use faas::workflow::WorkflowEngine;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{definition, doubling, within};

const YEAR: Duration = Duration::from_hours(365 * 24);

/// A year ahead.
#[derive(Debug)]
struct Ahead(TokioClock);

impl Clock for Ahead {
    fn now(&self) -> Monotonic {
        self.0.now()
    }
    fn wall(&self) -> Timestamp {
        self.0.wall() + YEAR
    }
    fn sleep_until(&self, deadline: Monotonic) -> BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }
    fn hold(&self) -> Hold {
        self.0.hold()
    }
}

#[tokio::test]
async fn executions_are_dated_by_it() {
    let ours = TokioClock::new();
    let platform = doubling(Platform::builder().clock(Arc::new(Ahead(TokioClock::new())))).await;
    let definition = definition().expect("well-formed");
    let registered = platform.register_workflow("fourfold", definition).await;
    registered.expect("it compiles");
    let started = platform.start_execution("fourfold", "one", &1).await;
    let started = started.expect("it starts");
    let ended = within(platform.workflows().engine().wait(started.id)).await;
    assert!(ended.expect("it ends").started > ours.wall() + YEAR / 2);
}
