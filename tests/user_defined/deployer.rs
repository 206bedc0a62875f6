//! A deployer of one's own (F3) that needs no resource layer: instances are values of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use faas::Platform;
use faas::core::explain::Reason;
use faas::core::{
    Component, Description, IdSource, InstanceId, Invocation, Monotonic, Payload, Response, Result,
    Timeline, TokioClock, WorkloadId,
};
use faas::function::deployer::plan::workload_id;
use faas::function::deployer::{Deploy, DeployerEvent, Plan};
use faas::function::instance::{Health, Permit};
use faas::function::registry::{FunctionRevision, RevisionId};
use faas::function::{FunctionDeployer, FunctionInstance};
use faas::resource::{SandboxSpec, WorkloadSpec};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use tokio::sync::broadcast;

use crate::{double, doubling, names};

/// The instances of a revision.
type Deployed = (Arc<FunctionRevision>, Vec<InstanceId>);

struct Values {
    ids: IdSource,
    events: broadcast::Sender<DeployerEvent>,
    there: Mutex<BTreeMap<RevisionId, Deployed>>,
}

impl Values {
    fn new() -> Self {
        Self {
            ids: IdSource::random(Arc::new(TokioClock::new())),
            events: broadcast::Sender::new(64),
            there: Mutex::default(),
        }
    }

    fn tell(&self, event: DeployerEvent) {
        // An error means that nobody listens.
        let _ = self.events.send(event);
    }

    fn scale(&self, (revision, there): &mut Deployed, instances: u32) {
        while there.len() < instances as usize {
            let id = self.ids.next();
            there.push(id);
            self.tell(DeployerEvent::Ready {
                revision: revision.clone(),
                instance: Arc::new(Value(id)),
                timeline: Timeline::default(),
                caused_by: None,
            });
        }
        while there.len() > instances as usize {
            let reason = Reason::new("value.dropped", "it was no longer wanted");
            if let Some(instance) = there.pop() {
                self.tell(DeployerEvent::Gone {
                    revision: revision.clone(),
                    instance,
                    reason,
                });
            }
        }
    }
}

#[async_trait::async_trait]
impl FunctionDeployer for Values {
    fn plan(&self, request: &Deploy) -> Result<Plan> {
        let sandbox = SandboxSpec::new(request.revision.config.executable.clone());
        Ok(Plan {
            workload: WorkloadSpec::new(workload_id(&request.revision.id()), sandbox),
            replicas: request.instances,
            reasons: Vec::new(),
        })
    }

    async fn prepare(&self, revision: Arc<FunctionRevision>) -> Result<u32> {
        let mut there = self.there.lock().expect("no test panics under it");
        let deployed = there.entry(revision.id());
        let (_, instances) = deployed.or_insert((revision, Vec::new()));
        Ok(instances.len() as u32)
    }

    async fn deploy(&self, request: Deploy) -> Result<WorkloadId> {
        let id = request.revision.id();
        let mut there = self.there.lock().expect("no test panics under it");
        let deployed = there.entry(id.clone());
        let deployed = deployed.or_insert((request.revision, Vec::new()));
        self.scale(deployed, request.instances);
        Ok(workload_id(&id))
    }

    async fn remove(&self, revision: &RevisionId) -> Result<()> {
        let mut there = self.there.lock().expect("no test panics under it");
        if let Some(mut deployed) = there.remove(revision) {
            self.scale(&mut deployed, 0);
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<RevisionId>> {
        let there = self.there.lock().expect("no test panics under it");
        Ok(there.keys().cloned().collect())
    }

    fn watch(&self) -> BoxStream<'static, DeployerEvent> {
        let next = |mut events: broadcast::Receiver<DeployerEvent>| async move {
            events.recv().await.ok().map(|event| (event, events))
        };
        stream::unfold(self.events.subscribe(), next).boxed()
    }

    fn describe(&self) -> Description {
        Description::new("Values").provides(Component::F3)
    }
}

/// Doubles numbers.
struct Value(InstanceId);

#[async_trait::async_trait]
impl FunctionInstance for Value {
    fn id(&self) -> InstanceId {
        self.0
    }
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let n: u64 = invocation.payload.to_json()?;
        drop(permit);
        Ok(Response::success(invocation.id, Payload::json(&(2 * n))?))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        Box::pin(std::future::pending())
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn its_instances_are_routed_to() {
    let platform = doubling(Platform::builder().deployer(Arc::new(Values::new()))).await;
    names(&platform, Component::F3, "Values");
    assert_eq!(double(&platform, 4).await, 8);
    let sandboxes = platform.resources().manager().list().await;
    assert!(
        sandboxes.expect("it lists").is_empty(),
        "a sandbox was started"
    );
}
