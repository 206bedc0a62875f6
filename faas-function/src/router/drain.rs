//! The end of a router: it waits for what waits and runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::{Error, Monotonic, Result, Retry};
use futures::StreamExt;

use super::pool::{Pool, Shared};
use crate::autoscaler::RevisionId;

/// How many functions an error names.
const NAMED: usize = 8;

/// Waits until no pool has work, or until `deadline`; then whoever still waits is told so. The
/// router must refuse new invocations before.
pub(super) async fn drain(
    shared: &Shared,
    pools: impl Fn() -> Vec<Arc<Pool>>,
    deadline: Monotonic,
) -> Result<()> {
    // It begins with every pool, and no pool that comes later will have work.
    let mut changes = shared.listeners.listen(shared.clock.clone(), &pools);
    let mut busy: BTreeMap<RevisionId, Arc<Pool>> = pools()
        .into_iter()
        .filter(|pool| pool.unfinished() != (0, 0))
        .map(|pool| (pool.id(), pool))
        .collect();
    let mut late = shared.clock.sleep_until(deadline);
    while !busy.is_empty() {
        tokio::select! {
            // First, or a router that many still call would never come to it.
            biased;
            () = &mut late => return Err(abandon(&busy)),
            changed = changes.next() => {
                let Some((id, _)) = changed else { break };
                if busy.get(&id).is_some_and(|pool| pool.unfinished() == (0, 0)) {
                    busy.remove(&id);
                }
            }
        }
    }
    Ok(())
}

/// What one is answered that comes, or still waits, when the router takes no more.
pub(super) fn refusal() -> Error {
    Error::unavailable("invoke", "the router takes no more: it is shutting down")
        .with_retry(Retry::Safe)
}

fn abandon(busy: &BTreeMap<RevisionId, Arc<Pool>>) -> Error {
    let (mut waiting, mut running) = (0, 0);
    let mut named = Vec::new();
    for (id, pool) in busy {
        let (queued, run) = pool.unfinished();
        pool.refuse(&refusal());
        (waiting, running) = (waiting + queued, running + run);
        if named.len() < NAMED {
            named.push(format!(
                "{}@{} ({queued} waited, {run} run)",
                id.function, id.number
            ));
        }
    }
    if busy.len() > NAMED {
        named.push(format!("{} more", busy.len() - NAMED));
    }
    let message = format!(
        "at the deadline {waiting} invocations waited, which were refused, and {running} ran: {}",
        named.join(", ")
    );
    Error::deadline_exceeded("drain router", message)
}
