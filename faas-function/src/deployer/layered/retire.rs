//! Instances that go: they take no more, and their sandboxes end when nothing runs in them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use faas_core::{Clock, Monotonic, SandboxId, WorkloadId};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::sync::Notify;

use super::Shared;
use super::table::{Leaving, RETIRED, Table};
use crate::instance::FunctionInstance;

type Draining = BoxFuture<'static, ()>;

/// Waits until nothing runs in an instance, but not longer than to `deadline`.
fn drain(
    instance: Arc<dyn FunctionInstance>,
    clock: Arc<dyn Clock>,
    deadline: Monotonic,
) -> Draining {
    async move {
        let late = clock.sleep_until(deadline);
        let drained = tokio::select! {
            biased;
            drained = instance.drain(deadline) => drained.err().map(|error| error.to_string()),
            () = late => Some("it does not keep to its deadline".to_owned()),
        };
        if let Some(why) = drained {
            tracing::info!(instance = %instance.id(), why, "an instance is ended with its work");
        }
    }
    .boxed()
}

/// The end of one that leaves and still works.
async fn leave(
    deployer: Weak<Shared>,
    workload: WorkloadId,
    sandbox: SandboxId,
    draining: Draining,
    gone: Arc<Notify>,
) {
    tokio::select! {
        () = draining => {}
        () = gone.notified() => {}
    }
    let Some(deployer) = deployer.upgrade() else {
        return;
    };
    let left = deployer.table().left(sandbox);
    if left.is_some() {
        deployer.end(workload).await;
    }
    // Last, for it ends this very task.
    drop(left);
}

impl Shared {
    /// From now on so many are wanted: reports those gone that are too many, the named ones first.
    /// Their sandboxes end with the next `scale`, or when they are drained.
    pub(super) fn retire(
        self: &Arc<Self>,
        workload: WorkloadId,
        wanted: u32,
        named: &BTreeSet<SandboxId>,
    ) {
        let mut table = self.table();
        if let Some(deployed) = table.deployed(workload) {
            deployed.replicas = Some(wanted);
        }
        let all = table.expendable(workload);
        let surplus = all.len().saturating_sub(wanted as usize);
        let (mut going, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|sandbox| named.contains(sandbox));
        let more = surplus.saturating_sub(going.len());
        going.extend(others.into_iter().take(more));
        let leaving = self.dismiss(&mut table, &going);
        drop(table);
        let deadline = self.deadline(workload);
        for (sandbox, leaving) in leaving {
            let mut draining = drain(leaving.instance, self.clock.clone(), deadline);
            // Most are idle, and need no task of their own.
            let drained = (&mut draining).now_or_never().is_some();
            let mut table = self.table();
            if drained {
                let left = table.left(sandbox);
                drop(table);
                drop(left);
            } else if !table.is_closed() {
                let gone = leaving.gone.clone();
                let leave = leave(Arc::downgrade(self), workload, sandbox, draining, gone);
                table.attend(sandbox, tokio::spawn(leave).into());
            }
        }
    }

    /// Reports instances gone; those that were ready leave, and are answered. The others' sandboxes
    /// are to end.
    fn dismiss(&self, table: &mut Table, going: &[SandboxId]) -> Vec<(SandboxId, Leaving)> {
        let mut leaving = Vec::new();
        for sandbox in going {
            if let Some(tracked) = table.untrack(*sandbox) {
                self.tell_gone(*sandbox, tracked.ready.as_ref(), RETIRED);
                if let Some(ready) = tracked.ready.clone() {
                    let leaves = Leaving::new(tracked.workload, ready.instance);
                    table.leave(*sandbox, leaves.clone());
                    leaving.push((*sandbox, leaves));
                }
            }
        }
        leaving
    }

    /// No invocation takes longer than the function's timeout.
    fn deadline(&self, workload: WorkloadId) -> Monotonic {
        let mut table = self.table();
        let timeout = table
            .deployed(workload)
            .map(|deployed| deployed.revision.config.timeout);
        self.clock.now() + timeout.unwrap_or_default()
    }

    /// Forgets a workload; its instances are reported gone, and waited for until nothing runs in
    /// them.
    pub(super) async fn dismiss_all(&self, workload: WorkloadId) {
        let deadline = self.deadline(workload);
        let instances = self.take_out(workload).into_iter();
        let draining = instances.map(|instance| drain(instance, self.clock.clone(), deadline));
        join_all(draining).await;
    }

    fn take_out(&self, workload: WorkloadId) -> Vec<Arc<dyn FunctionInstance>> {
        let mut table = self.table();
        table.forget(workload);
        let all = table.expendable(workload);
        self.dismiss(&mut table, &all);
        let leaving = table.leaving_of(workload).into_iter();
        let left: Vec<_> = leaving.filter_map(|id| table.left(id)).collect();
        drop(table);
        left.into_iter()
            .map(|(leaving, _task)| leaving.instance)
            .collect()
    }
}
