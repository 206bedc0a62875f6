//! The suite of `FunctionDeployer` passes for `LayeredDeployer`, and catches a deployer that breaks
//! any one rule: each fault breaks one, and the case of that name fails against it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use faas_core::{
    Description, Error, HookName, InstanceId, Invocation, Monotonic, Response, Result, WorkloadId,
};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::deployer::conformance::{CASES, Factory, Setup};
use faas_function::deployer::{Deploy, DeployerEvent, LayeredDeployer, Plan};
use faas_function::instance::{Health, Permit};
use faas_function::registry::RevisionId;
use faas_function::{FunctionDeployer, FunctionInstance, FunctionRevision};
use faas_resource::SandboxHook;
use faas_resource::spec::ExecutableKind;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;

mod layered {
    faas_function::function_deployer_conformance!(super::layered);
}

fn layered(setup: Setup) -> LayeredDeployer {
    LayeredDeployer::new(setup.manager, setup.contracts, setup.clock, setup.decisions)
}

struct Broken {
    inner: Arc<LayeredDeployer>,
    rule: &'static str,
    plans: AtomicU32,
}

impl Broken {
    fn is(&self, rule: &str) -> bool {
        self.rule == rule
    }
}

#[async_trait]
impl FunctionDeployer for Broken {
    fn plan(&self, request: &Deploy) -> Result<Plan> {
        let plans = self.plans.fetch_add(1, Ordering::Relaxed);
        match self.inner.plan(request) {
            Ok(mut plan) if self.is("plan_is_pure") => {
                plan.replicas += plans;
                Ok(plan)
            }
            Err(error) if self.is("refuses_bad_combinations") => {
                Err(Error::unavailable("plan", error.message().to_owned()))
            }
            plan => plan,
        }
    }

    async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32> {
        if self.is("adopts") {
            return Ok(0);
        }
        self.inner.prepare(revision).await
    }

    async fn deploy(&self, mut request: Deploy) -> Result<WorkloadId> {
        if self.is("converges") && request.instances == 2 {
            request.instances = 1;
        }
        self.inner.deploy(request).await
    }

    async fn remove(&self, revision: &RevisionId) -> Result<()> {
        if self.is("remove_leaves_nothing") {
            return Ok(());
        }
        self.inner.remove(revision).await
    }

    async fn list(&self) -> Result<Vec<RevisionId>> {
        let mut listed = self.inner.list().await?;
        listed.truncate(if self.is("lists_the_deployed") {
            1
        } else {
            usize::MAX
        });
        Ok(listed)
    }

    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        let inner = self.inner.clone();
        match self.rule {
            "reports_each_once" => {
                let twice = |event: DeployerEvent| stream::iter([event.clone(), event]);
                inner.watch().flat_map(twice).boxed()
            }
            // What a slow reader has no room for is lost.
            "watch_catches_up" => {
                let (sender, receiver) = mpsc::channel(8);
                let mut events = inner.watch();
                tokio::spawn(async move {
                    while let Some(event) = events.next().await {
                        let _ = sender.try_send(event);
                    }
                });
                let next = |mut receiver: mpsc::Receiver<_>| async move {
                    receiver.recv().await.map(|event| (event, receiver))
                };
                stream::unfold(receiver, next).boxed()
            }
            _ => inner.watch(),
        }
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

/// A contract whose instances do not tell what they should.
struct Mute {
    inner: Arc<dyn Contract>,
    rule: &'static str,
}

#[async_trait]
impl Contract for Mute {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        self.inner.hook()
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        self.inner.executables()
    }
    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        self.inner.environment(revision)
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let inner = self.inner.connect(connect).await?;
        let rule = self.rule;
        Ok(Arc::new(MuteInstance { inner, rule }))
    }
}

struct MuteInstance {
    inner: Arc<dyn FunctionInstance>,
    rule: &'static str,
}

#[async_trait]
impl FunctionInstance for MuteInstance {
    fn id(&self) -> InstanceId {
        self.inner.id()
    }
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        self.inner.invoke(invocation, permit).await
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        if self.rule == "replaces_the_failed" {
            return futures::future::pending().boxed();
        }
        self.inner.failed()
    }
    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        if self.rule == "drains_the_retiring" {
            return Ok(());
        }
        self.inner.drain(deadline).await
    }
}

fn broken(rule: &'static str) -> Factory {
    Arc::new(move |mut setup| {
        for contract in setup.contracts.values_mut() {
            let inner = contract.clone();
            *contract = Arc::new(Mute { inner, rule });
        }
        Arc::new(Broken {
            inner: Arc::new(layered(setup)),
            rule,
            plans: AtomicU32::new(0),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn every_rule_has_a_deployer_that_breaks_it_and_is_caught() {
    for (rule, case) in CASES {
        let run = AssertUnwindSafe(case(broken(rule))).catch_unwind();
        assert!(run.await.is_err(), "{rule} is not caught");
        case(broken("none")).await;
    }
}
