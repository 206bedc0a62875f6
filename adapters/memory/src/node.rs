//! [`MemoryNode`]: a node whose sandboxes are handlers of this process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    ByteSize, Component, Description, Error, HandlerRegistry, Millicpu, NodeName, Resources,
    Result, SandboxId,
};
use faas_resource::agent::{
    Assign, AssignSandbox, EnsureSandbox, ExitCause, ExitCauseKind, LogLine, NodeEvent, NodeInfo,
    SandboxPhase, SandboxState, SandboxStatus, SandboxUsage,
};
use faas_resource::endpoint::Address;
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::ExecutableKind;
use faas_resource::{Executable, NodeAgent, SandboxSpec};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

/// How many events a watcher may fall behind before it has to list again.
const EVENTS: usize = 1024;

struct Sandbox {
    status: SandboxStatus,
    takes: Resources,
    address: Address,
}

impl Sandbox {
    fn enter(&mut self, state: SandboxState) {
        self.status.phase = SandboxPhase::In(state);
        let running = state == SandboxState::Running;
        self.status.endpoint = running.then(|| self.address.clone().into());
    }
}

/// A node whose sandboxes are handlers of this process.
///
/// A sandbox is an entry in a table: starting one checks that its handler is registered and that
/// the node has room, and its endpoint is [`Address::Handler`]. A handler has nothing that could be
/// frozen, so a paused sandbox is one that cannot be reached. A sandbox can be assigned to another
/// workload in every state. Nothing outlives the value.
pub struct MemoryNode(Arc<Shared>);

struct Shared {
    info: NodeInfo,
    handlers: Arc<dyn HandlerRegistry>,
    sandboxes: Mutex<BTreeMap<SandboxId, Sandbox>>,
    events: broadcast::Sender<NodeEvent>,
}

impl MemoryNode {
    /// A node with a thousand processors and a tebibyte, which are counted and not enforced.
    pub fn new(name: NodeName, handlers: Arc<dyn HandlerRegistry>) -> Self {
        let capacity = Resources::new(Millicpu::cores(1000), ByteSize::gib(1024));
        Self::with_info(
            NodeInfo::new(name, capacity, ExecutableKind::Handler),
            handlers,
        )
    }

    /// A node with that name, those labels, taints and capacity; what it can do is filled in.
    pub fn with_info(mut info: NodeInfo, handlers: Arc<dyn HandlerRegistry>) -> Self {
        info.executables = [ExecutableKind::Handler].into();
        info.states = [
            SandboxState::Created,
            SandboxState::Paused,
            SandboxState::Running,
        ]
        .into();
        info.exit_causes = [ExitCauseKind::Code].into();
        info.reach.clear();
        info.sandboxes_outlive_us = false;
        Self(Arc::new(Shared {
            info,
            handlers,
            sandboxes: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
        }))
    }

    /// Plays the end of a sandbox: a handler never ends by itself, so tests do it.
    ///
    /// # Errors
    /// `NotFound` if it does not run.
    pub fn end(&self, sandbox: SandboxId, cause: ExitCause) -> Result<()> {
        let mut sandboxes = self.0.lock();
        let found = sandboxes
            .get_mut(&sandbox)
            .filter(|found| found.status.is_running())
            .ok_or_else(|| not_found("end sandbox", sandbox))?;
        found.status.phase = SandboxPhase::Exited(cause);
        found.status.endpoint = None;
        self.0.tell(NodeEvent::Sandbox(found.status.clone()));
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Sandbox>> {
        self.sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Told under the lock, so that events come in the order of what happened.
    fn tell(&self, event: NodeEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }

    /// What is asked for, checked: where the sandbox will be reached.
    fn check(&self, operation: &'static str, spec: &SandboxSpec) -> Result<Address> {
        spec.validate()?;
        let Executable::Handler(name) = &spec.executable else {
            let (node, kind) = (&self.info.name, spec.executable.kind());
            let message = format!("node {node} runs handlers, not a {kind:?}");
            return Err(Error::unsupported(operation, message));
        };
        Ok(Address::Handler(name.clone()))
    }

    /// Whether what is to be started can be; who runs already keeps its handler.
    fn startable(&self, operation: &'static str, address: &Address) -> Result<()> {
        match address {
            Address::Handler(name) if self.handlers.lookup(name).is_none() => {
                let message = format!("handler {name} is not registered in this process");
                Err(Error::unavailable(operation, message))
            }
            _ => Ok(()),
        }
    }

    /// A sandbox that is not there yet.
    fn create(
        &self,
        request: &EnsureSandbox,
        address: Address,
        taken: &Resources,
    ) -> Result<Sandbox> {
        self.startable("ensure sandbox", &address)?;
        let takes = request.spec.resources.clone();
        if !self
            .info
            .capacity
            .covers(&taken.clone().plus(&request.spec.resources))
        {
            let message = format!(
                "node {} has {taken} taken of {}; {takes} do not fit",
                self.info.name, self.info.capacity
            );
            return Err(Error::exhausted("ensure sandbox", message));
        }
        let phase = SandboxPhase::In(SandboxState::Created);
        let mut status = SandboxStatus::new(request.id, request.workload, request.digest, phase);
        status.cookie = request.prepared.cookie.clone();
        Ok(Sandbox {
            status,
            takes,
            address,
        })
    }
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNode")
            .field("info", &self.0.info)
            .finish_non_exhaustive()
    }
}

fn not_found(operation: &'static str, sandbox: SandboxId) -> Error {
    Error::not_found(operation, format!("no sandbox {sandbox} runs here"))
}

#[async_trait]
impl NodeAgent for MemoryNode {
    fn node(&self) -> NodeInfo {
        self.0.info.clone()
    }

    async fn reach(&self, _: SandboxId, _: ReachKind) -> Result<Option<Reach>> {
        Ok(None)
    }

    async fn ensure(&self, request: EnsureSandbox) -> Result<SandboxStatus> {
        const OPERATION: &str = "ensure sandbox";
        let address = self.0.check(OPERATION, &request.spec)?;
        let mut sandboxes = self.0.lock();
        if !sandboxes.contains_key(&request.id) {
            let none = Resources::default();
            let taken = sandboxes
                .values()
                .fold(none, |sum, sandbox| sum.plus(&sandbox.takes));
            let made = self.0.create(&request, address, &taken)?;
            sandboxes.insert(request.id, made);
        } else if let Some(found) = sandboxes.get(&request.id)
            && found.status.phase == SandboxPhase::In(request.state)
        {
            return Ok(found.status.clone());
        }
        let sandbox = sandboxes
            .get_mut(&request.id)
            .ok_or_else(|| not_found(OPERATION, request.id))?;
        match &sandbox.status.phase {
            SandboxPhase::Exited(cause) => {
                let message = format!("sandbox {} has {cause}; stop it first", request.id);
                return Err(Error::conflict(OPERATION, message));
            }
            SandboxPhase::In(SandboxState::Paused | SandboxState::Running)
                if request.state == SandboxState::Created =>
            {
                let message = format!("sandbox {} was started already", request.id);
                return Err(Error::conflict(OPERATION, message));
            }
            SandboxPhase::In(SandboxState::Created) => {
                self.0.startable(OPERATION, &sandbox.address)?;
            }
            SandboxPhase::In(_) => {}
        }
        sandbox.enter(request.state);
        self.0.tell(NodeEvent::Sandbox(sandbox.status.clone()));
        Ok(sandbox.status.clone())
    }

    async fn stop(&self, sandbox: SandboxId, _: Duration) -> Result<()> {
        let mut sandboxes = self.0.lock();
        if let Some(mut found) = sandboxes.remove(&sandbox) {
            if !matches!(found.status.phase, SandboxPhase::Exited(_)) {
                found.status.phase = SandboxPhase::Exited(ExitCause::Stopped);
                found.status.endpoint = None;
                self.0.tell(NodeEvent::Sandbox(found.status));
            }
            self.0.tell(NodeEvent::Removed(sandbox));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        let sandboxes = self.0.lock();
        Ok(sandboxes.values().map(|one| one.status.clone()).collect())
    }

    fn watch(&self) -> BoxStream<'static, NodeEvent> {
        stream::unfold(self.0.events.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((NodeEvent::Resync, events)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    fn logs(&self, sandbox: SandboxId, _: bool) -> BoxStream<'static, Result<LogLine>> {
        // A handler writes to the logs of this process, which are not this node's.
        if self.0.lock().contains_key(&sandbox) {
            return stream::empty().boxed();
        }
        stream::iter([Err(not_found("read logs", sandbox))]).boxed()
    }

    async fn usage(&self, sandbox: SandboxId) -> Result<SandboxUsage> {
        let known = self.0.lock().contains_key(&sandbox);
        known
            .then(SandboxUsage::default)
            .ok_or_else(|| not_found("read usage", sandbox))
    }

    fn assign(&self) -> Option<Arc<dyn Assign>> {
        Some(self.0.clone())
    }

    fn describe(&self) -> Description {
        Description::new("MemoryNode").provides(Component::R4)
    }
}

#[async_trait]
impl Assign for Shared {
    async fn assign(&self, request: AssignSandbox) -> Result<SandboxStatus> {
        const OPERATION: &str = "assign sandbox";
        let mut sandboxes = self.lock();
        let sandbox = sandboxes
            .get_mut(&request.id)
            .ok_or_else(|| not_found(OPERATION, request.id))?;
        let SandboxPhase::In(state) = sandbox.status.phase else {
            let message = format!("sandbox {} has ended", request.id);
            return Err(Error::conflict(OPERATION, message));
        };
        let address = self.check(OPERATION, &request.spec)?;
        self.startable(OPERATION, &address)?;
        let (workload, digest) = (request.workload, request.digest);
        if (sandbox.status.workload, sandbox.status.digest) != (workload, digest) {
            sandbox.address = address;
            (sandbox.status.workload, sandbox.status.digest) = (workload, digest);
            sandbox.enter(state);
            self.tell(NodeEvent::Sandbox(sandbox.status.clone()));
        }
        Ok(sandbox.status.clone())
    }
}
