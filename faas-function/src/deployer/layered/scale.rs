//! What the manager is told: how many sandboxes, and which of them go.

use std::collections::BTreeSet;

use faas_core::{DecisionId, ErrorKind, Result, SandboxId, WorkloadId};
use faas_resource::workload::ScaleRequest;

use super::Shared;
use crate::backoff::Backoff;

impl Shared {
    /// Tells the manager how many sandboxes are wanted, those that have not left yet included, and
    /// which are to go: those that have nothing to do any more, and `named` ones.
    pub(super) async fn scale(
        &self,
        workload: WorkloadId,
        named: BTreeSet<SandboxId>,
        caused_by: Option<DecisionId>,
    ) -> Result<()> {
        let order = self.table().deployed(workload).map(|d| d.order.clone());
        let Some(order) = order else { return Ok(()) };
        let _turn = order.lock().await;
        let Some(mut request) = self.request(workload, named) else {
            return Ok(());
        };
        request.caused_by = caused_by;
        self.manager.scale(request).await
    }

    /// `None` if it is not deployed any more.
    fn request(&self, workload: WorkloadId, named: BTreeSet<SandboxId>) -> Option<ScaleRequest> {
        let mut table = self.table();
        let leaving = u32::try_from(table.leaving(workload)).unwrap_or(u32::MAX);
        let tracked = table.expendable(workload).len();
        let tracked = u32::try_from(tracked).unwrap_or(u32::MAX);
        let deployed = table.deployed(workload)?;
        // Nobody has said a number yet: those that were found.
        let wanted = deployed.replicas.unwrap_or(tracked);
        let mut request = ScaleRequest::running(workload, wanted.saturating_add(leaving));
        let going = table.ending(workload).into_iter().chain(named);
        let going: BTreeSet<_> = going.filter(|id| !table.is_leaving(*id)).collect();
        request.retiring = going.into_iter().collect();
        Some(request)
    }

    /// Ends the sandboxes that are to end, and has them replaced if the numbers want it; tries until
    /// it is done, or until nothing of the workload is wanted any more.
    pub(super) async fn end(&self, workload: WorkloadId) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.scale(workload, BTreeSet::new(), None).await {
            if error.kind() == ErrorKind::NotFound {
                return;
            }
            tracing::warn!(%workload, %error, "a sandbox could not be ended; trying again");
            backoff.pause(&*self.clock).await;
        }
    }
}
