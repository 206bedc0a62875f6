//! The life of one instance: it is connected, reported, and replaced when it fails.

use std::sync::{Arc, Weak};

use faas_core::explain::Reason;
use faas_core::{Clock, Error, Phase, Result, Timeline, WorkloadId};
use faas_resource::workload::Replica;
use futures::future::BoxFuture;

use super::{FunctionRevision, Shared, instance_id, plan};
use crate::contract::Connect;
use crate::instance::FunctionInstance;

const QUARANTINED: Reason = Reason::new("instance.failed", "it is replaced: {why}");
const UNCONNECTED: Reason = Reason::new(
    "instance.unconnected",
    "its sandbox does not speak the contract: {error}",
)
.helped_by("read the function's log");

/// Lives it. Only a weak handle is held over a wait, so that nothing that a deployer holds (its
/// manager, and so the sandboxes) outlives it for the sake of an instance that is well.
pub(super) async fn live(
    deployer: Weak<Shared>,
    revision: Arc<FunctionRevision>,
    workload: WorkloadId,
    replica: Replica,
) {
    let sandbox = replica.sandbox;
    let Some(reason) = until_unfit(&deployer, &revision, workload, &replica).await else {
        return;
    };
    let Some(deployer) = deployer.upgrade() else {
        return;
    };
    deployer.replace(workload, sandbox).await;
    // Last, for it ends this very task.
    deployer.gone(sandbox, reason);
}

/// Why it must be replaced; `None` when the deployer is gone.
async fn until_unfit(
    deployer: &Weak<Shared>,
    revision: &Arc<FunctionRevision>,
    workload: WorkloadId,
    replica: &Replica,
) -> Option<Reason> {
    let (clock, connecting) = {
        let deployer = deployer.upgrade()?;
        (
            deployer.clock.clone(),
            connect(&deployer, revision, replica),
        )
    };
    let started = clock.now();
    let connected = match connecting {
        Ok(connecting) => connecting.await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(instance) => {
            let mut timeline = Timeline::default();
            timeline[Phase::Place] = replica.times.place;
            timeline[Phase::Prepare] = replica.times.prepare;
            timeline[Phase::Start] = replica.times.start;
            timeline[Phase::Connect] = clock.now().since(started);
            let failed = instance.failed();
            deployer
                .upgrade()?
                .report(revision, replica, instance, timeline);
            Some(QUARANTINED.with("why", failed.await))
        }
        Err(error) => {
            let pause = {
                let deployer = deployer.upgrade()?;
                deployer.waiting(workload, error.clone());
                deployer.backoff(workload)
            };
            clock.sleep_until(clock.now() + pause).await;
            Some(UNCONNECTED.with("error", error.to_string()))
        }
    }
}

type Connecting = BoxFuture<'static, Result<Arc<dyn FunctionInstance>>>;

fn connect(
    deployer: &Shared,
    revision: &Arc<FunctionRevision>,
    replica: &Replica,
) -> Result<Connecting> {
    let contract = plan::contract(revision, &deployer.contracts)?;
    let Some(endpoint) = replica.endpoint.clone() else {
        let message = format!("sandbox {} is ready without an endpoint", replica.sandbox);
        return Err(Error::unavailable("connect", message));
    };
    let instance = instance_id(replica.sandbox);
    let connect = Connect::new(replica.sandbox, instance, endpoint, revision.clone());
    Ok(Box::pin(async move { contract.connect(connect).await }))
}
