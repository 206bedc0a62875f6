//! Keeps the engine's epoch alive, and takes over from engines that have gone silent.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use faas_core::{Clock, ErrorKind, Monotonic, Result};

use super::EngineOptions;
use super::shared::Shared;
use crate::execution_store::Epoch;

/// The renewals of each epoch, and when this engine saw them rise.
type Seen = HashMap<Epoch, (u64, Monotonic)>;

/// How many executions are deleted at a time.
const DELETED: usize = 256;

/// Runs until the engine is gone or its epoch is void.
pub(super) async fn keep(shared: Weak<Shared>, clock: Arc<dyn Clock>, options: EngineOptions) {
    let mut seen = Seen::new();
    loop {
        clock.sleep_until(clock.now() + options.lease / 3).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match shared.executions.epochs().renew(shared.epoch).await {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            Err(error) => tracing::warn!(%error, "the epoch was not renewed"),
            Ok(_) => {}
        }
        if let Err(error) = delete_expired(&shared).await {
            tracing::warn!(%error, "executions whose time is over were not deleted");
        }
        if options.exclusive {
            continue;
        }
        if let Err(error) = take_over(&shared, &mut seen, options.lease).await {
            tracing::warn!(%error, "silent engines were not looked for");
        }
    }
}

/// Deletes what is kept no longer, so many at most that the lease is not missed for it.
async fn delete_expired(shared: &Shared) -> Result<()> {
    let Some(retention) = shared.executions.retention() else {
        return Ok(());
    };
    let expired = retention.expired(shared.clock.wall(), DELETED).await?;
    for execution in expired {
        match retention.delete(execution).await {
            // Another engine was faster, or it was redriven.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {}
            other => other?,
        }
    }
    Ok(())
}

async fn take_over(shared: &Shared, seen: &mut Seen, lease: Duration) -> Result<()> {
    let now = shared.clock.now();
    for state in shared.executions.epochs().list().await? {
        if state.epoch == shared.epoch {
            continue;
        }
        let entry = seen.entry(state.epoch).or_insert((state.renewals, now));
        if entry.0 != state.renewals {
            *entry = (state.renewals, now);
        }
        if now.since(entry.1) >= lease {
            tracing::warn!(epoch = state.epoch.0, "its engine is silent: taking over");
            shared.executions.epochs().void(state.epoch).await?;
            seen.remove(&state.epoch);
        }
    }
    // Also what an engine left that shut down in good order.
    shared.recover().await.map(|_| ())
}
