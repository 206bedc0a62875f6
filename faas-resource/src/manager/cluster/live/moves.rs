//! What is done with one sandbox.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, NodeName, Result, SandboxId, telemetry};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::Live;
use crate::NodeAgent;
use crate::agent::{AssignSandbox, EnsureSandbox, SandboxStatus};
use crate::hook::{Prepared, Reach, SandboxHook};
use crate::manager::cluster::action::{Move, Stop};
use crate::manager::cluster::assign::Assignment;
use crate::manager::cluster::core::Template;
use crate::workload::StartTimes;

/// The first wait between attempts at a stop, which must succeed in the end; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

impl Live {
    /// Brings a sandbox to a state.
    pub(super) async fn bring(self: Arc<Self>, to: Move) {
        let mut times = StartTimes {
            place: to.place,
            ..StartTimes::default()
        };
        let Ok(_permit) = self.starts.acquire().await else {
            return;
        };
        let workload = to.template.workload.id;
        let span =
            tracing::info_span!("start sandbox", sandbox = %to.sandbox, node = %to.node, %workload);
        let attempt = self.attempt(&to, &mut times).instrument(span);
        let limit = self.bounds.start;
        let result = self
            .bounded("start sandbox", &to.node, limit, attempt)
            .await;
        if result.is_ok() {
            metrics::counter!(telemetry::SANDBOX_STARTS, "node" => to.node.to_string())
                .increment(1);
        }
        self.drive(|core, now| core.moved(to.sandbox, result, times, now));
    }

    async fn attempt(&self, to: &Move, times: &mut StartTimes) -> Result<SandboxStatus> {
        let agent = &self.node(&to.node)?.agent;
        let begin = self.clock.now();
        let hook = self.hook(&to.template.sandbox)?;
        let mut prepared = Prepared::default();
        if let Some(hook) = &hook {
            let reach = reach(agent, &**hook, to.sandbox).await?;
            prepared = hook.prepare(to.sandbox, reach).await?;
        }
        let middle = self.clock.now();
        times.prepare = middle.since(begin);
        let status = agent.ensure(EnsureSandbox {
            id: to.sandbox,
            workload: to.template.workload.id,
            spec: to.template.sandbox.clone(),
            digest: to.template.digest,
            state: to.to,
            prepared,
        });
        let status = status.await;
        times.start = self.clock.now().since(middle);
        status
    }

    /// Has the hook of a sandbox of an earlier life take it up again.
    pub(super) async fn resume(
        self: Arc<Self>,
        status: SandboxStatus,
        node: NodeName,
        template: Arc<Template>,
    ) {
        let resumed = async {
            if let Some(hook) = self.hook(&template.sandbox)? {
                let reach = reach(&self.node(&node)?.agent, &*hook, status.id).await?;
                hook.resume(status.id, reach, &status.cookie).await?;
            }
            Ok(())
        };
        let limit = self.bounds.start;
        let result = self.bounded("resume sandbox", &node, limit, resumed).await;
        self.drive(|core, now| core.resumed(status, result, now));
    }

    /// Stops a sandbox, however often that has to be attempted while its node answers.
    pub(super) async fn stop(self: Arc<Self>, stop: Stop) {
        let mut wait = FIRST_RETRY;
        while let Err(error) = self.attempt_stop(&stop).await {
            if self.node(&stop.node).is_ok_and(|node| *node.lost.borrow()) {
                // Taken for gone; if the node returns, its list tells.
                break;
            }
            tracing::warn!(sandbox = %stop.sandbox, %error, ?wait, "not stopped yet; trying again");
            self.clock.sleep_until(self.clock.now() + wait).await;
            wait = (wait * 2).min(LONGEST_RETRY);
        }
        if let Some(hook) = stop.hook.as_ref().and_then(|hook| self.hooks.get(hook)) {
            self.release(&**hook, stop.sandbox, &stop.end).await;
        }
        self.drive(|core, now| core.stopped(stop.sandbox, &stop.node, now));
        self.freed.notify_waiters();
    }

    async fn attempt_stop(&self, stop: &Stop) -> Result<()> {
        let stopped = async {
            self.node(&stop.node)?
                .agent
                .stop(stop.sandbox, stop.grace)
                .await
        };
        let limit = stop.grace.saturating_add(self.bounds.start);
        self.bounded("stop sandbox", &stop.node, limit, stopped)
            .await
    }

    /// Gives a sandbox to another workload. In a task of its own, so that it comes to its end
    /// although who asked for it went away.
    pub(in crate::manager::cluster) async fn give(
        self: &Arc<Self>,
        assignment: Assignment,
    ) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let live = self.clone();
        self.task(async move {
            let Assignment {
                sandbox,
                node,
                template,
            } = assignment;
            let given = live.attempt_assign(sandbox, &node, &template);
            let limit = live.bounds.start;
            let result = live.bounded("assign sandbox", &node, limit, given).await;
            let result = live.drive(|core, now| core.assigned(sandbox, &template, result, now));
            // An error means that who asked went away.
            let _ = answer.send(result);
        });
        let closed = |_| Error::unavailable("assign sandbox", "the manager is closed");
        answered.await.map_err(closed)?
    }

    async fn attempt_assign(
        &self,
        sandbox: SandboxId,
        node: &NodeName,
        template: &Template,
    ) -> Result<SandboxStatus> {
        let Some(agent) = self.node(node)?.agent.assign() else {
            let message = format!("node {node} cannot give a sandbox to another workload");
            return Err(Error::unsupported("assign sandbox", message));
        };
        let (workload, spec) = (template.workload.id, template.sandbox.clone());
        let request = AssignSandbox::new(sandbox, workload, spec, template.digest);
        agent.assign(request).await
    }
}

async fn reach(
    agent: &Arc<dyn NodeAgent>,
    hook: &dyn SandboxHook,
    sandbox: SandboxId,
) -> Result<Option<Reach>> {
    let needs = hook.needs();
    for kind in &needs {
        if let Some(reach) = agent.reach(sandbox, *kind).await? {
            return Ok(Some(reach));
        }
    }
    if needs.is_empty() {
        return Ok(None);
    }
    let message = format!("the node offers none of {needs:?}, which its hook needs");
    Err(Error::unsupported("prepare sandbox", message))
}
