//! A pooled sandbox becomes a replica of another workload.

use std::sync::Arc;

use faas_core::explain::Reason;
use faas_core::{Error, HookName, Monotonic, NodeName, Result, SandboxId, WorkloadId};

use super::core::{Core, Stage, Template};
use crate::agent::SandboxStatus;
use crate::hook::ReachKind;
use crate::scheduler::{Placement, PlacementRequest};
use crate::spec::SandboxSpec;
use crate::workload::WorkloadEvent;

const OPERATION: &str = "assign sandbox";
const ASSIGNED: Reason = Reason::new("sandbox.assigned", "it stood by for {pool}");

/// What an agent is to be told.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) sandbox: SandboxId,
    pub(super) node: NodeName,
    pub(super) template: Arc<Template>,
}

impl Core {
    /// Checks whether a sandbox can be given to a workload, and marks it as being given; `None` if
    /// it is one of that workload already.
    pub(super) fn begin_assign(
        &mut self,
        id: SandboxId,
        to: WorkloadId,
        now: Monotonic,
        reach: &dyn Fn(&HookName) -> Vec<ReachKind>,
    ) -> Result<Option<Assignment>> {
        let target = self.known(to, OPERATION)?;
        let (template, taken) = (target.template.clone(), target.replicas.len());
        let Some(sandbox) = self.sandboxes.get(&id) else {
            let message = format!("there is no sandbox {id}");
            return Err(Error::not_found(OPERATION, message));
        };
        if sandbox.workload() == to {
            return Ok(None);
        }
        let (Stage::In(state), false) = (sandbox.stage, sandbox.retired) else {
            let message = format!("sandbox {id} is busy, or about to be stopped");
            return Err(Error::conflict(OPERATION, message));
        };
        let max = template.workload.max;
        if taken >= max as usize {
            let message = format!("workload {to} has all of its {max} replicas");
            return Err(Error::exhausted(OPERATION, message));
        }
        Error::check(
            OPERATION,
            differences(&sandbox.template.sandbox, &template.sandbox),
        )?;
        let node = sandbox.replica.node.clone();
        let mut request = PlacementRequest::new(id, template.workload.clone());
        request.state = state;
        request.only = Some(node.clone());
        request.reach = template
            .sandbox
            .hook
            .as_ref()
            .map(reach)
            .unwrap_or_default();
        self.may_stay(id, request, now)?;
        if let Some(sandbox) = self.sandboxes.get_mut(&id) {
            sandbox.enter(Stage::Assigning(state));
        }
        Ok(Some(Assignment {
            sandbox: id,
            node,
            template,
        }))
    }

    /// Asks the scheduler whether a sandbox could have its place under another workload.
    fn may_stay(&mut self, id: SandboxId, request: PlacementRequest, now: Monotonic) -> Result<()> {
        let Some(own) = self.sandboxes.get(&id).map(|found| found.template.clone()) else {
            return Ok(());
        };
        let Some(node) = request.only.clone() else {
            return Ok(());
        };
        self.vacate(id, &node);
        let answer = self.ask_scheduler(std::slice::from_ref(&request), now);
        self.occupy(id, &node, &own);
        match answer.into_iter().next() {
            Some(Placement::On {
                node: at, preempts, ..
            }) if at == node && preempts.is_empty() => Ok(()),
            Some(Placement::Unschedulable { reasons, .. }) => {
                let text: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                Err(Error::conflict(OPERATION, text.join("; ")))
            }
            _ => Err(Error::conflict(
                OPERATION,
                format!("others would have to leave node {node}"),
            )),
        }
    }

    /// The agent has answered.
    pub(super) fn assigned(
        &mut self,
        id: SandboxId,
        template: &Arc<Template>,
        result: Result<SandboxStatus>,
        now: Monotonic,
    ) -> Result<()> {
        let lost = || {
            let message = format!("sandbox {id} is gone");
            Error::unavailable(OPERATION, message)
        };
        let sandbox = self.sandboxes.get_mut(&id).ok_or_else(lost)?;
        let Stage::Assigning(state) = sandbox.stage else {
            return Err(lost());
        };
        let exit = sandbox.exit.take();
        let (pool, node) = (sandbox.workload(), sandbox.replica.node.clone());
        sandbox.enter(Stage::In(state));
        self.dirty.insert(pool);
        if let Some(cause) = exit {
            self.ended(id, cause, now);
            return Err(lost());
        }
        let status = result?;
        if let Err(error) = self.known(template.workload.id, OPERATION) {
            // Removed meanwhile, when this was none of its replicas yet.
            self.retire(id, now);
            return Err(error);
        }
        self.withdraw(id);
        self.hand_over(id, pool, template);
        self.vacate(id, &node);
        self.occupy(id, &node, template);
        self.arrived(id, state, status, now);
        let reason = ASSIGNED.with("pool", pool.as_u128());
        self.record(id, None, vec![reason]);
        Ok(())
    }

    /// The sandbox leaves one workload for another, which wants one more until somebody says how
    /// many it wants.
    fn hand_over(&mut self, id: SandboxId, pool: WorkloadId, template: &Arc<Template>) {
        if let Some(workload) = self.workloads.get_mut(&pool) {
            workload.replicas.remove(&id);
        }
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let left = sandbox.replica.clone();
        sandbox.template = template.clone();
        let state = sandbox.stage.state();
        sandbox.goal = state;
        self.tell(WorkloadEvent::Gone(pool, left));
        let target = template.workload.id;
        let present = self.workloads.get(&target).map(|found| self.present(found));
        if let (Some(workload), Some(present), Some(state)) =
            (self.workloads.get_mut(&target), present, state)
        {
            let wanted = workload.wanted.get_or_insert(present);
            *wanted.of(state) += 1;
            workload.replicas.insert(id);
        }
    }
}

/// Why a sandbox of one spec cannot become one of the other.
fn differences(from: &SandboxSpec, to: &SandboxSpec) -> Vec<String> {
    let mut faults = Vec::new();
    let (is, wants) = (from.executable.kind(), to.executable.kind());
    if is != wants {
        faults.push(format!("it runs a {is:?}, and a {wants:?} is wanted"));
    }
    if from.resources != to.resources {
        let (has, wants) = (&from.resources, &to.resources);
        faults.push(format!("it has {has}, and {wants} is wanted"));
    }
    if from.hook != to.hook {
        let name = |hook: &Option<HookName>| {
            let name = hook.as_ref().map(HookName::to_string);
            name.unwrap_or_else(|| "none".into())
        };
        let (has, wants) = (name(&from.hook), name(&to.hook));
        faults.push(format!("its hook is {has}, and {wants} is wanted"));
    }
    faults
}
