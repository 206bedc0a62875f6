//! A resource manager of one's own (R2), to which the whole resource layer is delegated: sandboxes
//! are handlers, and they are there as soon as they are wanted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use faas::Platform;
use faas::core::{
    Component, Description, Error, IdSource, Provision, Resources, Result, SandboxId, TokioClock,
    WorkloadId,
};
use faas::resource::agent::{SandboxPhase, SandboxState};
use faas::resource::endpoint::Address;
use faas::resource::manager::Capacity;
use faas::resource::workload::{Replica, ScaleRequest, WorkloadEvent};
use faas::resource::{Executable, Hooks, ResourceManager, WorkloadSpec, WorkloadStatus};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

use crate::{double, doubling, within};

struct AtOnce {
    ids: IdSource,
    workloads: Mutex<HashMap<WorkloadId, WorkloadStatus>>,
    events: broadcast::Sender<WorkloadEvent>,
}

impl AtOnce {
    fn new() -> Self {
        Self {
            ids: IdSource::random(Arc::new(TokioClock::new())),
            workloads: Mutex::default(),
            events: broadcast::Sender::new(64),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkloadId, WorkloadStatus>> {
        self.workloads.lock().expect("no test panics under it")
    }

    fn tell(&self, event: WorkloadEvent) {
        // An error means that nobody listens.
        let _ = self.events.send(event);
    }

    fn start(&self, spec: &WorkloadSpec) -> Result<Replica> {
        let Executable::Handler(name) = &spec.sandbox.executable else {
            return Err(Error::unsupported("scale workload", "handlers alone"));
        };
        let phase = SandboxPhase::In(SandboxState::Running);
        let mut replica = Replica::new(self.ids.next(), "cloud".parse()?, phase);
        replica.endpoint = Some(Address::Handler(name.clone()).into());
        Ok(replica)
    }
}

fn unknown(workload: WorkloadId) -> Error {
    Error::not_found("find workload", format!("there is no workload {workload}"))
}

#[async_trait::async_trait]
impl ResourceManager for AtOnce {
    async fn apply(&self, spec: WorkloadSpec) -> Result<()> {
        spec.validate()?;
        let status = WorkloadStatus::new(Arc::new(spec));
        self.lock().entry(status.spec.id).or_insert(status);
        Ok(())
    }

    async fn scale(&self, request: ScaleRequest) -> Result<()> {
        let mut workloads = self.lock();
        let id = request.workload;
        let status = workloads.get_mut(&id).ok_or_else(|| unknown(id))?;
        status.wanted = request.running;
        let going = |replica: &Replica| request.retiring.contains(&replica.sandbox);
        let (gone, mut kept): (Vec<_>, Vec<_>) = status.replicas.drain(..).partition(going);
        let surplus = kept.split_off(kept.len().min(status.wanted as usize));
        for mut replica in gone.into_iter().chain(surplus) {
            replica.endpoint = None;
            self.tell(WorkloadEvent::Gone(id, replica));
        }
        while kept.len() < status.wanted as usize {
            let mut replica = self.start(&status.spec)?;
            replica.caused_by = request.caused_by;
            self.tell(WorkloadEvent::Ready(id, replica.clone()));
            kept.push(replica);
        }
        status.replicas = kept;
        Ok(())
    }

    async fn assign(&self, _: SandboxId, _: WorkloadId) -> Result<()> {
        Err(Error::unsupported("assign sandbox", "there is no pool"))
    }

    async fn remove(&self, workload: WorkloadId) -> Result<()> {
        let removed = self.lock().remove(&workload);
        for mut replica in removed.into_iter().flat_map(|status| status.replicas) {
            replica.endpoint = None;
            self.tell(WorkloadEvent::Gone(workload, replica));
        }
        self.tell(WorkloadEvent::Removed(workload));
        Ok(())
    }

    async fn get(&self, workload: WorkloadId) -> Result<WorkloadStatus> {
        self.lock()
            .get(&workload)
            .cloned()
            .ok_or_else(|| unknown(workload))
    }

    async fn list(&self) -> Result<Vec<WorkloadStatus>> {
        Ok(self.lock().values().cloned().collect())
    }

    fn watch(&self) -> BoxStream<'static, WorkloadEvent> {
        let next = |mut events: broadcast::Receiver<WorkloadEvent>| async move {
            events.recv().await.ok().map(|event| (event, events))
        };
        stream::unfold(self.events.subscribe(), next).boxed()
    }

    async fn capacity(&self) -> Result<Capacity> {
        let (total, allocated) = (Resources::default(), Resources::default());
        Ok(Capacity {
            total,
            allocated,
            nodes: 1,
        })
    }

    /// None: a runtime that needs one is refused, with a reason.
    fn hooks(&self) -> Option<Hooks> {
        None
    }

    fn describe(&self) -> Description {
        let layer = [Component::R1, Component::R2, Component::R3, Component::R4];
        let delegate = |to: Description, part| to.delegates(part, "a cloud");
        layer.into_iter().fold(Description::new("AtOnce"), delegate)
    }
}

#[tokio::test]
async fn the_whole_resource_layer_can_be_delegated() {
    let platform = doubling(Platform::builder().resource_manager(Arc::new(AtOnce::new()))).await;
    assert_eq!(double(&platform, 4).await, 8);
    let map = platform.map();
    for part in [Component::R1, Component::R2, Component::R3, Component::R4] {
        let delegated = matches!(map.provision(part), Provision::Delegated(to) if to == "a cloud");
        assert!(delegated, "{map}");
    }
    let end = platform.shutdown(Duration::from_secs(5));
    within(end).await.expect("it drains");
}
