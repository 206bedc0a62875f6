//! The life of one instance: it is connected, reported, and replaced when it fails.

use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::explain::Reason;
use faas_core::{Clock, Error, Phase, Result, SandboxId, Timeline, WorkloadId};
use faas_resource::workload::Replica;
use futures::future::BoxFuture;

use super::table::Tracked;
use super::{FunctionRevision, Shared, plan};
use crate::backoff::Backoff;
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
    // It must get no more while its sandbox ends; the task is dropped last, for it is this one.
    let tracked = deployer.unfit(sandbox, reason);
    if tracked.is_some() {
        deployer.end(workload).await;
    }
    drop(tracked);
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
                deployer.failed(workload)
            };
            clock.sleep_until(clock.now() + pause).await;
            Some(UNCONNECTED.with("error", error.to_string()))
        }
    }
}

impl Shared {
    /// Reports an instance gone, and answers what is left of it.
    fn unfit(&self, sandbox: SandboxId, reason: Reason) -> Option<Tracked> {
        let mut table = self.table();
        let tracked = table.untrack(sandbox)?;
        self.tell_gone(sandbox, tracked.ready.as_ref(), reason);
        Some(tracked)
    }

    /// One more has failed: how long to wait before it is replaced.
    fn failed(&self, workload: WorkloadId) -> Duration {
        let mut table = self.table();
        let failures = table.deployed(workload).map_or(1, |deployed| {
            deployed.failures = deployed.failures.saturating_add(1);
            deployed.failures
        });
        Backoff::after(failures)
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
    let instance = plan::instance_id(replica.sandbox);
    let connect = Connect::new(replica.sandbox, instance, endpoint, revision.clone());
    Ok(Box::pin(async move { contract.connect(connect).await }))
}
