//! The suite of `Assign` catches one that breaks any one rule: each of these breaks one, and the case
//! of that name fails against it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Description, Error, Result, SandboxId};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::conformance::assign::{CASES, Fixture};
use faas_resource::agent::{
    Assign, AssignSandbox, EnsureSandbox, ExitCause, LogLine, NodeEvent, NodeInfo, SandboxPhase,
    SandboxStatus, SandboxUsage,
};
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::stream::{BoxStream, StreamExt};

/// What a [`Broken`] agent does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    KeepsWorkload,
    StartsAnew,
    TellsNobody,
    ServesTheOld,
    RefusesAgain,
    TakesForeign,
    TakesTheDead,
    MakesTheUnknown,
}

#[derive(Clone)]
struct Broken {
    inner: Arc<MemoryNode>,
    fault: Fault,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn find(&self, id: SandboxId) -> Result<Option<SandboxStatus>> {
        let all = self.inner.list().await?;
        Ok(all.into_iter().find(|one| one.id == id))
    }
}

#[async_trait]
impl Assign for Broken {
    async fn assign(&self, mut request: AssignSandbox) -> Result<SandboxStatus> {
        let there = self.find(request.id).await?;
        let id = request.id;
        let mut make = EnsureSandbox::running(id, request.workload, request.spec.clone());
        make.digest = request.digest;
        match (self.fault, &there) {
            (Fault::KeepsWorkload, Some(there)) => request.workload = there.workload,
            (Fault::ServesTheOld, _) => request.spec = Arc::new(handler("pooled")),
            (Fault::TakesForeign, _)
                if !matches!(request.spec.executable, Executable::Handler(_)) =>
            {
                request.spec = Arc::new(handler("other"));
            }
            (Fault::RefusesAgain, Some(there)) if there.digest == request.digest => {
                return Err(Error::conflict("assign sandbox", "it is that already"));
            }
            (Fault::MakesTheUnknown, None) => {
                self.inner.ensure(make).await?;
            }
            (Fault::TakesTheDead, Some(there)) => {
                if let SandboxPhase::Exited(_) = there.phase {
                    return Ok(there.clone());
                }
            }
            (Fault::StartsAnew, Some(_)) => {
                self.inner.stop(id, Duration::ZERO).await?;
                return self.inner.ensure(make).await;
            }
            _ => {}
        }
        let inner = NodeAgent::assign(&*self.inner).expect("it can assign");
        inner.assign(request).await
    }
}

#[async_trait]
impl NodeAgent for Broken {
    fn node(&self) -> NodeInfo {
        self.inner.node()
    }
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        self.inner.reach(sandbox, kind).await
    }
    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.inner.ensure(request).await
    }
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        self.inner.stop(sandbox, grace).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        self.inner.list().await
    }
    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        let deaf = self.is(Fault::TellsNobody);
        let events = self.inner.watch();
        events.filter(move |_| std::future::ready(!deaf)).boxed()
    }
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        self.inner.logs(sandbox, follow)
    }
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.inner.usage(sandbox).await
    }
    fn assign(&self) -> Option<Arc<dyn Assign>> {
        Some(Arc::new(self.clone()))
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn handler(name: &str) -> SandboxSpec {
    SandboxSpec::new(Executable::Handler(name.parse().expect("a name")))
}

fn fixture(fault: Fault) -> Fixture {
    let handlers = Handlers::new();
    for name in ["pooled", "other"] {
        let echo = |text: String| async move { Ok(text) };
        handlers.register_json(name.parse().expect("a name"), echo);
    }
    let name = "one".parse().expect("a name");
    let inner = Arc::new(MemoryNode::new(name, Arc::new(handlers)));
    let broken = Broken {
        inner: inner.clone(),
        fault,
    };
    let serves_other = |status: SandboxStatus| {
        let other = matches!(status.endpoint, Some(Endpoint::Address(Address::Handler(name)))
            if name.as_str() == "other");
        Box::pin(async move { other }) as futures::future::BoxFuture<'static, bool>
    };
    let mut fixture = Fixture::new(
        Arc::new(broken),
        handler("pooled"),
        handler("other"),
        Box::new(serves_other),
        Box::new(move |id| {
            inner.end(id, ExitCause::Code(3)).expect("it runs");
            Box::pin(async {})
        }),
    );
    fixture.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
    fixture
}

/// Whether the case of that name passes; a hang is none.
async fn passes(name: &str, fault: Fault) -> bool {
    let (_, case) = CASES
        .iter()
        .find(|(case, _)| *case == name)
        .expect("a case of that name");
    tokio::spawn(case(fixture(fault))).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn the_unbroken_passes() {
    for (name, _) in CASES {
        assert!(passes(name, Fault::None).await, "{name}");
    }
}

faas_core::suite_catches! {
    CASES, passes, Fault;
    takes_identity: KeepsWorkload StartsAnew TellsNobody;
    serves_the_new: ServesTheOld;
    assign_once: RefusesAgain;
    refuses_whole: TakesForeign TakesTheDead;
    needs_sandbox: MakesTheUnknown;
}
