//! How sandboxes come to their end: stopped, by themselves, or because they never ran.

use std::time::Duration;

use faas_core::explain::Reason;
use faas_core::{Monotonic, SandboxId, WorkloadId};

use super::core::{Action, Core, Stage, Stop};
use crate::agent::{ExitCause, SandboxPhase};
use crate::scheduler::ClusterChange;
use crate::workload::WorkloadEvent;

const ENDED: Reason = Reason::new("sandbox.ended", "it is gone from {node}: {cause}");
const BACKOFF: Reason = Reason::new(
    "sandbox.backoff",
    "{crashes} in a row ended early; the next starts after {delay}",
);

/// The first wait in a crash loop; it doubles up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Who ran as long as this is not part of a crash loop.
const LONG_RUN: Duration = Duration::from_secs(10);

impl Core {
    /// Stops a sandbox, or as soon as its start is over.
    pub(super) fn stop(&mut self, id: SandboxId) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        match sandbox.stage {
            Stage::Starting { .. } => sandbox.stage = Stage::Starting { doomed: true },
            Stage::Stopping => {}
            Stage::Running(_) => {
                let workload = sandbox.workload;
                self.tell(WorkloadEvent::Retiring(workload, id));
                self.clean_up(id);
            }
        }
    }

    /// Has the agent remove what is left of it.
    fn clean_up(&mut self, id: SandboxId) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        sandbox.stage = Stage::Stopping;
        let (node, spec) = (sandbox.replica.node.clone(), &sandbox.spec.sandbox);
        let stop = Stop {
            sandbox: id,
            node: node.clone(),
            grace: spec.grace,
            hook: spec.hook.clone(),
            end: match &sandbox.replica.phase {
                SandboxPhase::Exited(cause) => cause.clone(),
                SandboxPhase::In(_) => ExitCause::Stopped,
            },
        };
        let bound = sandbox.replica.endpoint.take().is_some();
        if bound {
            self.actions.push(Action::Unbind(node, id));
        }
        self.actions.push(Action::Stop(stop));
    }

    /// The agent reports the end of a sandbox.
    pub(super) fn exited(&mut self, id: SandboxId, cause: ExitCause, now: Monotonic) {
        match self.sandboxes.get_mut(&id) {
            // What cleans up must not run beside what starts.
            Some(sandbox) if matches!(sandbox.stage, Stage::Starting { .. }) => {
                sandbox.exit = Some(cause);
            }
            _ => self.ended(id, cause, now),
        }
    }

    /// A sandbox has ended by itself, failed to start, or was lost.
    pub(super) fn ended(&mut self, id: SandboxId, cause: ExitCause, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let (workload, stage) = (sandbox.workload, sandbox.stage);
        if stage == Stage::Stopping {
            return;
        }
        let ran = match stage {
            Stage::Running(since) => now.since(since),
            _ => Duration::ZERO,
        };
        self.back_off(id, workload, ran, now);
        self.gone(id, cause);
        self.clean_up(id);
        self.dirty.insert(workload);
    }

    fn back_off(&mut self, id: SandboxId, workload: WorkloadId, ran: Duration, now: Monotonic) {
        let Some(workload) = self.workloads.get_mut(&workload) else {
            return;
        };
        let started = ran > Duration::ZERO;
        workload.crashes = if ran >= LONG_RUN {
            0
        } else {
            workload.crashes.saturating_add(1)
        };
        // The first that ends after it ran is replaced at once.
        let steps = workload.crashes.saturating_sub(u32::from(started));
        if steps == 0 {
            return;
        }
        let delay = FIRST_BACKOFF.saturating_mul(1 << (steps - 1).min(16));
        let delay = delay.min(LONGEST_BACKOFF);
        workload.not_before = now + delay;
        let crashes = workload.crashes;
        let reason = BACKOFF.with("crashes", crashes).with("delay", delay);
        self.record(id, None, vec![reason]);
    }

    /// Tells that a replica is gone, once.
    fn gone(&mut self, id: SandboxId, cause: ExitCause) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut sandbox.told, true) {
            return;
        }
        let reason = ENDED
            .with("node", sandbox.replica.node.as_str())
            .with("cause", cause.to_string());
        sandbox.replica.phase = SandboxPhase::Exited(cause);
        let (workload, mut replica) = (sandbox.workload, sandbox.replica.clone());
        replica.endpoint = None;
        self.record(id, replica.caused_by, vec![reason]);
        self.tell(WorkloadEvent::Gone(workload, replica));
    }

    /// A stop is over: nothing of the sandbox is left.
    pub(super) fn stopped(&mut self, id: SandboxId) {
        self.gone(id, ExitCause::Stopped);
        let Some(sandbox) = self.sandboxes.remove(&id) else {
            return;
        };
        let node = sandbox.replica.node;
        if let Some(view) = self.cluster.nodes.get_mut(&node)
            && let Some(placed) = view.sandboxes.remove(&id)
        {
            view.allocated = std::mem::take(&mut view.allocated).minus(&placed.resources);
        }
        self.scheduler.observe(&ClusterChange::Freed(node, id));
        if let Some(workload) = self.workloads.get_mut(&sandbox.workload) {
            workload.replicas.remove(&id);
        }
        self.dirty.insert(sandbox.workload);
        for (other, workload) in &mut self.workloads {
            if workload.room.remove(&id) {
                self.dirty.insert(*other);
            }
        }
        self.wake_waiting();
    }
}
