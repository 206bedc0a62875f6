//! The suite of `FunctionRouter` passes for `SlotRouter`, and catches a router that breaks any one
//! rule: each fault breaks one, and the case of that name fails against it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Caller, Description, Error, ErrorKind, InstanceId, Invocation, Monotonic, PrewarmHint,
    Qualifier, Response, Result,
};
use faas_function::autoscaler::{RevisionId, RevisionLoad};
use faas_function::router::conformance::{CASES, Case, Factory, QUEUE, Setup};
use faas_function::router::{AddInstance, SlotRouter, SlotRouterOptions, SlotRouterParts};
use faas_function::{FunctionRevision, FunctionRouter};
use futures::stream::{BoxStream, StreamExt};

mod slot_router {
    faas_function::function_router_conformance!(|setup| super::router(setup, super::QUEUE));
}

async fn router(setup: Setup, queue: usize) -> SlotRouter {
    let parts = SlotRouterParts {
        metadata: setup.metadata,
        clock: setup.clock,
        decisions: setup.decisions,
    };
    let mut options = SlotRouterOptions::default();
    options.queue = queue;
    options.longest_wait = setup.longest_wait;
    SlotRouter::start(parts, options).await.expect("it works")
}

struct Broken {
    inner: Arc<SlotRouter>,
    rule: &'static str,
}

#[async_trait]
impl FunctionRouter for Broken {
    async fn invoke(&self, mut call: Invocation) -> Result<Response> {
        match self.rule {
            "fair" | "fair_admission" => call.caller = Caller::default(),
            "deadline_leaves_queue" => call.deadline = None,
            "weights_split" if call.function.qualifier != Qualifier::Latest => {
                call.function = call.function.at(Qualifier::Latest);
            }
            "drop_leaves_queue" => {
                let inner = self.inner.clone();
                let task = tokio::spawn(async move { FunctionRouter::invoke(&inner, call).await });
                return task.await.expect("it works");
            }
            _ => {}
        }
        match FunctionRouter::invoke(&self.inner, call).await {
            Err(error)
                if self.rule == "unknown_function" && error.kind() == ErrorKind::NotFound =>
            {
                Err(Error::unavailable("invoke", "it is somewhere else"))
            }
            Err(error)
                if self.rule == "waits_no_longer" && error.kind() == ErrorKind::Exhausted =>
            {
                futures::future::pending().await
            }
            answer => answer,
        }
    }

    fn prewarm(&self, hint: PrewarmHint) {
        FunctionRouter::prewarm(&self.inner, hint);
    }

    fn add(&self, mut add: AddInstance) {
        if self.rule == "never_over_the_limit" {
            let mut more = FunctionRevision::clone(&add.revision);
            more.config.concurrency += 1;
            add.revision = Arc::new(more);
        }
        if self.rule != "hands_over" {
            self.inner.add(add);
        }
    }

    fn remove(&self, instance: InstanceId) {
        if self.rule != "removed_gets_no_more" {
            self.inner.remove(instance);
        }
    }

    fn demand(&self) -> BoxStream<'static, (RevisionId, RevisionLoad)> {
        if self.rule == "demand_is_pushed" {
            let late = |item| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                item
            };
            return self.inner.demand().then(late).boxed();
        }
        self.inner.demand()
    }

    fn refuse(&self, revision: &RevisionId, error: Error) {
        if self.rule != "refuses" {
            self.inner.refuse(revision, error);
        }
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        if self.rule == "drains" {
            return Ok(());
        }
        self.inner.drain(deadline).await
    }

    fn describe(&self) -> Description {
        FunctionRouter::describe(&self.inner)
    }
}

fn broken(rule: &'static str) -> Factory {
    Arc::new(move |setup| {
        Box::pin(async move {
            let bound = if rule == "queue_is_bounded" {
                100
            } else {
                QUEUE
            };
            let inner = Arc::new(router(setup, bound).await);
            Arc::new(Broken { inner, rule }) as Arc<dyn FunctionRouter>
        })
    })
}

async fn fails(case: Case, rule: &'static str) -> bool {
    let run = tokio::spawn(case(broken(rule)));
    // One that hangs is caught as well.
    match tokio::time::timeout(Duration::from_secs(20), run).await {
        Ok(ended) => ended.is_err_and(|error| error.is_panic()),
        Err(_) => true,
    }
}

#[tokio::test]
async fn every_rule_has_a_router_that_breaks_it_and_is_caught() {
    let runs = CASES.iter().map(|(rule, case)| async move {
        assert!(fails(*case, rule).await, "{rule} is not caught");
        assert!(
            !fails(*case, "none").await,
            "{rule} fails though nothing is broken"
        );
    });
    futures::future::join_all(runs).await;
}
