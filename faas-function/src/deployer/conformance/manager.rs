//! A resource manager that does at once what it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use faas_core::{Description, Error, HandlerName, NodeName, Result, SandboxId, WorkloadId};
use faas_resource::agent::{ExitCause, SandboxPhase, SandboxState};
use faas_resource::endpoint::Address;
use faas_resource::manager::Capacity;
use faas_resource::workload::{Replica, ScaleRequest, WorkloadEvent, WorkloadSpec, WorkloadStatus};
use faas_resource::{Hooks, ResourceManager};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

/// How many events a watcher may fall behind.
const EVENTS: usize = 1024;

#[derive(Default)]
struct State {
    workloads: BTreeMap<WorkloadId, (Arc<WorkloadSpec>, Vec<Replica>)>,
    started: u128,
    failing: Option<Error>,
}

/// Keeps the contract of [`ResourceManager`] without a node: sandboxes are numbers from 1 on, which
/// run as soon as they are wanted, and it offers no hooks. A clone is the same manager.
#[derive(Clone)]
pub struct InstantManager {
    events: broadcast::Sender<WorkloadEvent>,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for InstantManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstantManager").finish_non_exhaustive()
    }
}

impl Default for InstantManager {
    fn default() -> Self {
        Self::new()
    }
}

impl InstantManager {
    /// Without workloads.
    pub fn new() -> Self {
        Self {
            events: broadcast::Sender::new(EVENTS),
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: WorkloadEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }

    /// The sandboxes of a workload that run.
    pub fn running(&self, workload: WorkloadId) -> Vec<SandboxId> {
        let state = self.state();
        let found = state.workloads.get(&workload);
        found.map_or_else(Vec::new, |(_, replicas)| {
            replicas.iter().map(|replica| replica.sandbox).collect()
        })
    }

    /// The sandboxes of all workloads.
    pub fn sandboxes(&self) -> usize {
        let state = self.state();
        state.workloads.values().map(|(_, all)| all.len()).sum()
    }

    /// From now on `scale` answers this error; `None` ends that.
    pub fn fail(&self, error: Option<Error>) {
        self.state().failing = error;
    }

    /// Plays the end of a sandbox; it is replaced.
    pub fn crash(&self, sandbox: SandboxId) {
        let mut state = self.state();
        let of = state.workloads.iter();
        let mut of = of.filter(|(_, (_, all))| all.iter().any(|r| r.sandbox == sandbox));
        if let Some(workload) = of.next().map(|(id, _)| *id) {
            self.end(&mut state, workload, sandbox, ExitCause::Code(1));
            self.start(&mut state, workload);
        }
    }

    fn end(&self, state: &mut State, workload: WorkloadId, sandbox: SandboxId, cause: ExitCause) {
        let Some((_, replicas)) = state.workloads.get_mut(&workload) else {
            return;
        };
        if let Some(index) = replicas.iter().position(|r| r.sandbox == sandbox) {
            let mut replica = replicas.remove(index);
            (replica.phase, replica.endpoint) = (SandboxPhase::Exited(cause), None);
            self.tell(WorkloadEvent::Gone(workload, replica));
        }
    }

    fn stop(&self, state: &mut State, workload: WorkloadId, sandbox: SandboxId) {
        self.tell(WorkloadEvent::Retiring(workload, sandbox));
        self.end(state, workload, sandbox, ExitCause::Stopped);
    }

    fn start(&self, state: &mut State, workload: WorkloadId) {
        state.started += 1;
        let sandbox = SandboxId::from_u128(state.started);
        let phase = SandboxPhase::In(SandboxState::Running);
        let (Ok(node), Ok(handler)) = (NodeName::new("instant"), HandlerName::new("instant"))
        else {
            return;
        };
        let mut replica = Replica::new(sandbox, node, phase);
        replica.endpoint = Some(Address::Handler(handler).into());
        if let Some((_, replicas)) = state.workloads.get_mut(&workload) {
            replicas.push(replica.clone());
            self.tell(WorkloadEvent::Ready(workload, replica));
        }
    }
}

fn status((spec, replicas): &(Arc<WorkloadSpec>, Vec<Replica>)) -> WorkloadStatus {
    let mut status = WorkloadStatus::new(spec.clone());
    status.replicas.clone_from(replicas);
    status.wanted = u32::try_from(replicas.len()).unwrap_or(u32::MAX);
    status
}

#[async_trait]
impl ResourceManager for InstantManager {
    async fn apply(&self, spec: WorkloadSpec) -> Result<()> {
        let mut state = self.state();
        let spec = Arc::new(spec);
        let workload = state.workloads.entry(spec.id);
        let (found, _) = workload.or_insert_with(|| (spec.clone(), Vec::new()));
        *found = spec;
        Ok(())
    }

    async fn scale(&self, request: ScaleRequest) -> Result<()> {
        let mut state = self.state();
        if let Some(error) = &state.failing {
            return Err(error.clone());
        }
        let workload = request.workload;
        let Some((spec, _)) = state.workloads.get(&workload) else {
            let message = format!("there is no workload {workload}");
            return Err(Error::not_found("scale workload", message));
        };
        let wanted = request.running.clamp(spec.min, spec.max) as usize;
        for sandbox in request.retiring {
            self.stop(&mut state, workload, sandbox);
        }
        let replicas = |state: &State| {
            let found = state.workloads.get(&workload);
            found.map_or_else(Vec::new, |(_, all)| all.iter().map(|r| r.sandbox).collect())
        };
        for surplus in replicas(&state).into_iter().skip(wanted) {
            self.stop(&mut state, workload, surplus);
        }
        for _ in replicas(&state).len()..wanted {
            self.start(&mut state, workload);
        }
        Ok(())
    }

    async fn assign(&self, _: SandboxId, _: WorkloadId) -> Result<()> {
        Err(Error::unsupported("assign sandbox", "there is no pool"))
    }

    async fn remove(&self, workload: WorkloadId) -> Result<()> {
        let mut state = self.state();
        let found = state.workloads.get(&workload);
        let all = found.map_or_else(Vec::new, |(_, all)| all.iter().map(|r| r.sandbox).collect());
        for sandbox in all {
            self.stop(&mut state, workload, sandbox);
        }
        state.workloads.remove(&workload);
        self.tell(WorkloadEvent::Removed(workload));
        Ok(())
    }

    async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus> {
        let state = self.state();
        let unknown = || Error::not_found("get workload", format!("there is no {workload}"));
        state
            .workloads
            .get(&workload)
            .map(status)
            .ok_or_else(unknown)
    }

    async fn list(&self) -> Result<Vec<WorkloadStatus>> {
        Ok(self.state().workloads.values().map(status).collect())
    }

    fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
        stream::unfold(self.events.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    Some((WorkloadEvent::Resync, events))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn capacity(&self) -> Result<Capacity> {
        Ok(Capacity::default())
    }

    fn hooks(&self) -> Option<Hooks> {
        None
    }

    fn describe(&self) -> Description {
        Description::new("InstantManager")
    }
}
