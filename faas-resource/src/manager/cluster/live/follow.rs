//! Listening to a node: its events, and its list as the heartbeat.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Error, Monotonic, NodeName, Result};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use tokio::sync::oneshot;

use super::Live;
use crate::NodeAgent;
use crate::agent::{ExitCause, NodeEvent, NodeInfo, SandboxPhase, SandboxStatus};
use crate::manager::cluster::nodes::Settled;

/// The first wait after a list that failed; it doubles up to the time between probes.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// How often a node is probed within the time that it may be silent.
const PROBES: u32 = 4;

/// What a probe brings: what was settled when it began, and what the node says.
type Heard = (Settled, Result<(NodeInfo, Vec<SandboxStatus>)>);

/// One node as it is followed.
struct Follower {
    live: Arc<Live>,
    node: NodeName,
    agent: Arc<dyn NodeAgent>,
    interval: Duration,
    /// When it answered last; the beginning if it never did.
    heard: Monotonic,
    lost: bool,
    retry: Duration,
    /// Whether to list once more as soon as the probe that is under way is over.
    again: bool,
    /// Told when it has been heard, or could not be for as long as one probe may take.
    first: Option<oneshot::Sender<()>>,
}

impl Live {
    /// Opens the nodes, adopts what runs on them, and from then on follows them. Answers when every
    /// node has been heard that answers within a quarter of the time that it may be silent.
    pub(in crate::manager::cluster) async fn adopt(self: &Arc<Self>) {
        let mut first = Vec::new();
        for (name, node) in &self.nodes {
            let (tell, told) = oneshot::channel();
            let follower = Follower {
                live: self.clone(),
                node: name.clone(),
                agent: node.agent.clone(),
                interval: self.bounds.silence / PROBES,
                heard: self.clock.now(),
                lost: false,
                retry: FIRST_RETRY,
                again: false,
                first: Some(tell),
            };
            self.task(follower.follow());
            first.push(told);
        }
        // An error means that the manager is being closed.
        let heard = futures::future::join_all(first);
        let bound = self
            .clock
            .sleep_until(self.clock.now() + self.bounds.silence / PROBES);
        tokio::select! {
            biased;
            _ = heard => {}
            () = bound => tracing::warn!("not all nodes answer; what runs on the others is unknown"),
        }
    }
}

impl Follower {
    async fn follow(mut self) {
        // Watched before it is listed, so nothing falls between.
        let mut events = Some(self.agent.watch());
        let mut probe = Some(self.probe());
        let mut due = self.live.clock.now();
        loop {
            let sleep = self.live.clock.sleep_until(due);
            tokio::select! {
                heard = run(&mut probe), if probe.is_some() => {
                    probe = None;
                    due = self.take(heard);
                    if std::mem::take(&mut self.again) {
                        due = self.live.clock.now();
                    }
                }
                event = next(&mut events), if events.is_some() => match event {
                    // It is watched anew with the next probe.
                    None => events = None,
                    Some(NodeEvent::Resync) => {
                        self.again = probe.is_some();
                        due = self.live.clock.now();
                    }
                    Some(event) => self.learn(event),
                },
                () = sleep, if probe.is_none() => {
                    events.get_or_insert_with(|| self.agent.watch());
                    probe = Some(self.probe());
                }
            }
        }
    }

    /// Asks for the list, and waits for it for a bounded time.
    fn probe(&self) -> BoxFuture<'static, Heard> {
        let (live, node, agent) = (self.live.clone(), self.node.clone(), self.agent.clone());
        let limit = self.interval;
        async move {
            let settled = live.drive(|core, _| core.listing(&node));
            let list = std::panic::AssertUnwindSafe(agent.list()).catch_unwind();
            let listed = tokio::select! {
                biased;
                listed = list => listed.unwrap_or_else(|_| {
                    Err(Error::internal("list node", format!("the agent of {node} panicked")))
                }),
                () = live.clock.sleep_until(live.clock.now() + limit) => {
                    let message = format!("node {node} did not answer within {limit:?}");
                    Err(Error::deadline_exceeded("list node", message))
                }
            };
            (settled, listed.map(|listed| (agent.node(), listed)))
        }
        .boxed()
    }

    /// Makes of a probe what it says; answers when the next one is due.
    fn take(&mut self, (settled, heard): Heard) -> Monotonic {
        let now = self.live.clock.now();
        match heard {
            Ok((info, listed)) => {
                (self.heard, self.retry) = (now, FIRST_RETRY);
                if std::mem::take(&mut self.lost) {
                    tracing::info!(node = %self.node, "a node answers again");
                    self.mark(false);
                }
                self.live
                    .drive(|core, now| core.heard(info, &settled, listed, now));
                self.first.take();
                now + self.interval
            }
            Err(error) => {
                let silent = now.since(self.heard);
                tracing::warn!(node = %self.node, %error, ?silent, "a node does not answer");
                if silent >= self.live.bounds.silence && !std::mem::replace(&mut self.lost, true) {
                    self.mark(true);
                    self.live.drive(|core, now| core.lose(&self.node, now));
                    self.live.freed.notify_waiters();
                }
                let wait = self.retry.min(self.interval);
                self.retry = wait.saturating_mul(2);
                now + wait
            }
        }
    }

    fn mark(&self, lost: bool) {
        if let Some(node) = self.live.nodes.get(&self.node) {
            node.lost.send_replace(lost);
        }
    }

    fn learn(&self, event: NodeEvent) {
        match event {
            NodeEvent::Node(info) if !self.lost => {
                self.live.drive(|core, _| core.changed(*info));
            }
            NodeEvent::Removed(id) => {
                self.live
                    .drive(|core, now| core.exited(id, ExitCause::Unknown, now));
            }
            NodeEvent::Sandbox(status) => {
                if let SandboxPhase::Exited(cause) = status.phase {
                    self.live
                        .drive(|core, now| core.exited(status.id, cause, now));
                }
            }
            NodeEvent::Node(_) | NodeEvent::Resync => {}
        }
    }
}

/// The probe that is under way; never polled without one.
async fn run(probe: &mut Option<BoxFuture<'static, Heard>>) -> Heard {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

async fn next(events: &mut Option<BoxStream<'static, NodeEvent>>) -> Option<NodeEvent> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
