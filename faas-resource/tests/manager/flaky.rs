//! A memory node that can fall silent, and has faults if asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Description, Digest, Millicpu, NodeName, Resources, Result, SandboxId, WorkloadId,
};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::agent::{
    Assign, EnsureSandbox, LogLine, NodeEvent, NodeInfo, SandboxPhase, SandboxState, SandboxStatus,
    SandboxUsage,
};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::stream::{self, BoxStream, StreamExt};

use crate::gate::Gate;

/// What a [`Flaky`] node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NodeFault {
    #[default]
    None,
    /// Neither tells nor lists an end.
    HidesEnds,
    /// Lists nothing that it was not asked for by whoever asks.
    Forgets,
    /// Says of each sandbox that it is of its workload's present spec.
    LiesAboutDigests,
    /// Its starts never end.
    NeverStarts,
    /// Its events end after each of them.
    EndsEvents,
}

/// A memory node that answers while its gate is open. A start of the handler `stuck` never ends.
pub(crate) struct Flaky {
    pub(crate) inner: MemoryNode,
    pub(crate) gate: Gate,
    pub(crate) fault: NodeFault,
    /// Whether it offers but running sandboxes, and no assigning.
    pub(crate) plain: bool,
    /// How often a sandbox was brought from nothing to something.
    pub(crate) starts: Mutex<BTreeMap<SandboxId, u32>>,
    /// The present digest of each workload, for the liar.
    pub(crate) present: Arc<Mutex<BTreeMap<WorkloadId, Digest>>>,
}

pub(crate) fn handler(name: &str) -> SandboxSpec {
    SandboxSpec::new(Executable::Handler(name.parse().expect("a name")))
}

impl Flaky {
    /// A node with room for ten sandboxes of a tenth of a processor.
    pub(crate) fn new(name: &str) -> Self {
        let handlers = Handlers::new();
        for name in ["echo", "stuck"] {
            let echo = |text: String| async move { Ok(text) };
            handlers.register_json(name.parse().expect("a name"), echo);
        }
        let name: NodeName = name.parse().expect("a name");
        let capacity = Resources::new(Millicpu(1000), faas_core::ByteSize::gib(64));
        let info = NodeInfo::new(name, capacity, ExecutableKind::Handler);
        Self {
            inner: MemoryNode::with_info(info, Arc::new(handlers)),
            gate: Gate::default(),
            fault: NodeFault::None,
            plain: false,
            starts: Mutex::default(),
            present: Arc::default(),
        }
    }

    fn hides(&self, status: &SandboxStatus) -> bool {
        let ended = matches!(status.phase, SandboxPhase::Exited(_));
        self.fault == NodeFault::HidesEnds && ended
    }
}

#[async_trait]
impl NodeAgent for Flaky {
    fn node(&self) -> NodeInfo {
        let mut info = self.inner.node();
        if self.plain {
            info.states = [SandboxState::Running].into();
        }
        info
    }
    async fn reach(&self, sandbox: SandboxId, kind: ReachKind) -> Result<Option<Reach>> {
        self.gate.pass().await;
        self.inner.reach(sandbox, kind).await
    }
    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        self.gate.pass().await;
        let stuck = request.spec.executable == handler("stuck").executable;
        if stuck || self.fault == NodeFault::NeverStarts {
            return std::future::pending().await;
        }
        let id = request.id;
        let there = self.inner.list().await?.iter().any(|one| one.id == id);
        let status = self.inner.ensure(request).await?;
        if !there {
            let mut starts = self.starts.lock().expect("no panic");
            *starts.entry(id).or_default() += 1;
        }
        Ok(status)
    }
    async fn stop(&self, sandbox: SandboxId, grace: Duration) -> Result<()> {
        self.gate.pass().await;
        self.inner.stop(sandbox, grace).await
    }
    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        self.gate.pass().await;
        let mut all = self.inner.list().await?;
        match self.fault {
            NodeFault::None | NodeFault::NeverStarts | NodeFault::EndsEvents => {}
            NodeFault::Forgets => all.clear(),
            NodeFault::HidesEnds => {
                for status in &mut all {
                    if self.hides(status) {
                        status.phase = SandboxPhase::In(SandboxState::Running);
                    }
                }
            }
            NodeFault::LiesAboutDigests => {
                let present = self.present.lock().expect("no panic");
                for status in &mut all {
                    let digest = present.get(&status.workload);
                    status.digest = digest.copied().unwrap_or(status.digest);
                }
            }
        }
        Ok(all)
    }
    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        let (gate, fault) = (self.gate.clone(), self.fault);
        let events = self.inner.watch();
        let shown = stream::unfold((events, gate), move |(mut events, gate)| async move {
            loop {
                let event = events.next().await?;
                gate.pass().await;
                let ends = matches!(&event, NodeEvent::Sandbox(status)
                    if matches!(status.phase, SandboxPhase::Exited(_)));
                if !(ends && fault == NodeFault::HidesEnds) {
                    return Some((event, (events, gate)));
                }
            }
        });
        match fault {
            NodeFault::EndsEvents => shown.take(1).boxed(),
            _ => shown.boxed(),
        }
    }
    fn logs(&self, sandbox: SandboxId, follow: bool) -> BoxStream<'static, Result<LogLine>> {
        self.inner.logs(sandbox, follow)
    }
    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        self.inner.usage(sandbox).await
    }
    fn assign(&self) -> Option<Arc<dyn Assign>> {
        self.inner.assign().filter(|_| !self.plain)
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}
