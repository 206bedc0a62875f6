//! How sandboxes come to their end: stopped, by themselves, or because they never ran.

use std::time::Duration;

use faas_core::explain::Reason;
use faas_core::{Monotonic, NodeName, SandboxId, WorkloadId, telemetry};

use super::action::{Action, Stop};
use super::core::{Core, Stage};
use crate::agent::{ExitCause, SandboxPhase};
use crate::workload::WorkloadEvent;

const ENDED: Reason = Reason::new("sandbox.ended", "it is gone from {node}: {cause}");
const BACKOFF: Reason = Reason::new(
    "sandbox.backoff",
    "{crashes} in a row came to nothing; the next starts after {delay}",
);

/// The first wait in a crash loop; it doubles up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Who ran as long as this is not part of a crash loop.
const LONG_RUN: Duration = Duration::from_secs(10);

impl Core {
    /// Stops a sandbox whatever is wanted, as soon as nothing is under way.
    pub(super) fn retire(&mut self, id: SandboxId, now: Monotonic) {
        if let Some(sandbox) = self.sandboxes.get_mut(&id) {
            sandbox.retired = true;
            self.step(id, now);
        }
    }

    /// Has the agent remove what is left of it.
    pub(super) fn clean_up(&mut self, id: SandboxId) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        sandbox.enter(Stage::Stopping);
        sandbox.goal = None;
        let spec = &sandbox.template.sandbox;
        let stop = Stop {
            sandbox: id,
            node: sandbox.replica.node.clone(),
            grace: spec.grace,
            hook: spec.hook.clone(),
            end: match &sandbox.replica.phase {
                SandboxPhase::Exited(cause) => cause.clone(),
                SandboxPhase::In(_) => ExitCause::Stopped,
            },
        };
        self.actions.push(Action::Stop(stop));
    }

    /// The agent reports the end of a sandbox.
    pub(super) fn exited(&mut self, id: SandboxId, cause: ExitCause, now: Monotonic) {
        match self.sandboxes.get_mut(&id) {
            // What cleans up must not run beside what starts.
            Some(sandbox) if !matches!(sandbox.stage, Stage::In(_)) => sandbox.exit = Some(cause),
            _ => self.ended(id, cause, now),
        }
    }

    /// A sandbox has ended by itself, or failed to start.
    pub(super) fn ended(&mut self, id: SandboxId, cause: ExitCause, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let (workload, stage) = (sandbox.workload(), sandbox.stage);
        if stage == Stage::Stopping {
            return;
        }
        let ran = match stage {
            Stage::In(_) => now.since(sandbox.since),
            _ => Duration::ZERO,
        };
        // Its end is its last word: it is not about to be stopped.
        sandbox.told = None;
        if sandbox.replica.endpoint.take().is_some() {
            let node = sandbox.replica.node.clone();
            self.actions.push(Action::Name(node, id, None));
        }
        if let Some(workload) = self.workloads.get_mut(&workload) {
            workload.last_end = Some(cause.clone());
        }
        self.back_off(id, workload, ran, now);
        self.tell_gone(id, cause);
        self.clean_up(id);
        self.dirty.insert(workload);
    }

    pub(super) fn back_off(
        &mut self,
        id: SandboxId,
        workload: WorkloadId,
        ran: Duration,
        now: Monotonic,
    ) {
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
    pub(super) fn tell_gone(&mut self, id: SandboxId, cause: ExitCause) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut sandbox.gone, true) {
            return;
        }
        let node = sandbox.replica.node.to_string();
        let labels = [("node", node), ("cause", cause.label().to_owned())];
        metrics::counter!(telemetry::SANDBOX_EXITS, &labels).increment(1);
        let reason = ENDED
            .with("node", sandbox.replica.node.as_str())
            .with("cause", cause.to_string());
        sandbox.replica.phase = SandboxPhase::Exited(cause);
        let (workload, mut replica) = (sandbox.workload(), sandbox.replica.clone());
        replica.endpoint = None;
        self.record(id, replica.caused_by, vec![reason]);
        self.tell(WorkloadEvent::Gone(workload, replica));
    }

    /// A stop is over: nothing of the sandbox is left.
    pub(super) fn stopped(&mut self, id: SandboxId, node: &NodeName, now: Monotonic) {
        self.strays.remove(&id);
        self.buried(id, node);
        self.tell_gone(id, ExitCause::Stopped);
        self.forget(id, now);
        self.wake_waiting();
    }

    /// Gives back the place of a sandbox that is gone.
    pub(super) fn forget(&mut self, id: SandboxId, now: Monotonic) {
        let Some(sandbox) = self.sandboxes.remove(&id) else {
            return;
        };
        self.vacate(id, &sandbox.replica.node);
        let workload = sandbox.workload();
        if let Some(workload) = self.workloads.get_mut(&workload) {
            workload.replicas.remove(&id);
        }
        self.dirty.insert(workload);
        for beneficiary in self.making_room.remove(&id).into_iter().flatten() {
            if let Some(sandbox) = self.sandboxes.get_mut(&beneficiary) {
                sandbox.room.remove(&id);
                self.step(beneficiary, now);
            }
        }
    }
}
