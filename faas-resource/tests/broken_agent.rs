//! The suite of `NodeAgent` catches an agent that breaks any one rule: each of these breaks one,
//! and the case of that name fails against it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Description, Error, Result, SandboxId};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::conformance::{CASES, Fixture};
use faas_resource::agent::{
    EnsureSandbox, ExitCause, LogLine, NodeEvent, NodeInfo, SandboxPhase, SandboxState,
    SandboxStatus, SandboxUsage,
};
use faas_resource::endpoint::Address;
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::stream::{self, BoxStream, StreamExt};

/// What a [`Broken`] agent does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AnswersBeforeItRuns,
    LosesCookie,
    LosesDigest,
    GoesBack,
    MovesSilently,
    KeepsEndpoint,
    Outlives,
    StartsTwice,
    PretendsStates,
    RunsForeign,
    FailureStays,
    StopsLater,
    MissesUnknown,
    ListsOne,
    HidesExits,
    HidesCause,
    TellsOldEvents,
    NeverTells,
    LeavesHidden,
}

struct Broken {
    inner: Arc<MemoryNode>,
    fault: Fault,
    /// Cancelled while it was being started.
    hidden: std::sync::Mutex<Vec<SandboxId>>,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Starts it once more.
    async fn again(&self, request: &EnsureSandbox) -> Result<()> {
        self.inner.stop(request.id, Duration::ZERO).await?;
        self.inner.ensure(request.clone()).await.map(drop)
    }
}

#[async_trait]
impl NodeAgent for Broken {
    fn node(&self) -> NodeInfo {
        let mut info = self.inner.node();
        if self.is(Fault::PretendsStates) {
            info.states = [SandboxState::Running].into();
        }
        info
    }
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        self.inner.reach(sandbox, kind).await
    }
    async fn ensure(&self, mut request: EnsureSandbox) -> Result<SandboxStatus> {
        if self.is(Fault::LeavesHidden) {
            self.hidden.lock().expect("no panic").push(request.id);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let mut hidden = self.hidden.lock().expect("no panic");
            hidden.retain(|id| *id != request.id);
        }
        if self.is(Fault::LosesCookie) {
            request.prepared = Default::default();
        }
        if self.is(Fault::LosesDigest) {
            request.digest = faas_core::Digest::of(b"another");
        }
        if self.is(Fault::GoesBack) && request.state == SandboxState::Created {
            self.inner.stop(request.id, Duration::ZERO).await?;
        }
        if self.is(Fault::AnswersBeforeItRuns) {
            request.state = SandboxState::Created;
        }
        if self.is(Fault::RunsForeign) && matches!(request.spec.executable, Executable::Image(_)) {
            request.spec = Arc::new(handler("echo"));
        }
        if self.is(Fault::StartsTwice) {
            self.again(&request).await?;
        }
        let mut ensured = self.inner.ensure(request.clone()).await;
        if let (Ok(status), Fault::KeepsEndpoint) = (&mut ensured, self.fault) {
            let Executable::Handler(name) = &request.spec.executable else {
                return ensured;
            };
            status.endpoint = Some(Address::Handler(name.clone()).into());
        }
        if ensured.is_err() && self.is(Fault::FailureStays) {
            request.spec = Arc::new(handler("echo"));
            self.inner.ensure(request).await?;
        }
        ensured
    }
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        if self.is(Fault::StopsLater) {
            return Ok(());
        }
        let known = self.inner.list().await?;
        if self.is(Fault::MissesUnknown) && !known.iter().any(|one| one.id == sandbox) {
            return Err(Error::not_found("stop sandbox", "it is not there"));
        }
        self.inner.stop(sandbox, grace).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        let mut all = self.inner.list().await?;
        if self.is(Fault::ListsOne) {
            all.truncate(1);
        }
        if self.is(Fault::HidesExits) {
            all.retain(|one| !matches!(one.phase, SandboxPhase::Exited(_)));
        }
        Ok(all)
    }
    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        let fault = self.fault;
        if fault == Fault::NeverTells {
            return stream::pending().boxed();
        }
        let silent = move |event: &NodeEvent| {
            let moves = matches!(event, NodeEvent::Sandbox(status)
                if matches!(status.phase, SandboxPhase::In(_)));
            moves && fault == Fault::MovesSilently
        };
        let events = self.inner.watch();
        let events = events.filter(move |event| std::future::ready(!silent(event)));
        let events = events.map(move |event| match event {
            NodeEvent::Sandbox(mut status)
                if fault == Fault::HidesCause && !status.is_running() =>
            {
                status.phase = SandboxPhase::Exited(ExitCause::Unknown);
                NodeEvent::Sandbox(status)
            }
            other => other,
        });
        if fault == Fault::TellsOldEvents {
            let old = NodeEvent::Removed(SandboxId::from_u128(1));
            return stream::iter([old]).chain(events).boxed();
        }
        events.boxed()
    }
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        self.inner.logs(sandbox, follow)
    }
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.inner.usage(sandbox).await
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
    let name = "echo".parse().expect("a name");
    handlers.register_json(name, |text: String| async move { Ok(text) });
    let name = "one".parse().expect("a name");
    let inner = Arc::new(MemoryNode::new(name, Arc::new(handlers)));
    let broken = Arc::new(Broken {
        inner: inner.clone(),
        fault,
        hidden: Default::default(),
    });
    let mut fixture = Fixture::new(broken.clone(), handler("echo"), handler("missing"));
    fixture.ending = Some((handler("echo"), ExitCause::Code(3)));
    fixture.end = Some(Box::new(move |id| {
        inner.end(id, ExitCause::Code(3)).expect("it runs");
        Box::pin(async {})
    }));
    fixture.foreign = Some(SandboxSpec::new(Executable::Image("busybox".into())));
    fixture.killed = Some(Box::new(move || {
        let outlives = fault == Fault::Outlives;
        Box::pin(async move { outlives.then(|| "a process".into()) })
    }));
    fixture.left = Box::new(move |id| {
        let hidden = broken.hidden.lock().expect("no panic").contains(&id);
        Box::pin(async move { hidden.then(|| "a half-started one".into()) })
    });
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
    ensure_running: AnswersBeforeItRuns LosesCookie;
    ensure_once: StartsTwice;
    ensure_states: PretendsStates;
    ensure_moves: GoesBack MovesSilently;
    paused_is_frozen: KeepsEndpoint;
    ensure_refuses_foreign: RunsForeign;
    start_failure: FailureStays;
    stop_ends: StopsLater;
    stop_unknown: MissesUnknown;
    list_shows_all: ListsOne LosesDigest LosesCookie;
    exit_reported: HidesExits HidesCause;
    watch_pushes: TellsOldEvents NeverTells;
    cancel_safe: LeavesHidden;
    dies_with_us: Outlives;
}
