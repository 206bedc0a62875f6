//! A watch that misses no instance: a reader that falls behind is told of the present.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use faas_core::InstanceId;
use faas_core::explain::Reason;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{DeployerEvent, Shared};
use crate::registry::FunctionRevision;

const MISSED: Reason = Reason::new("instance.missed", "it went while nobody looked");

struct Watch {
    deployer: Weak<Shared>,
    events: Receiver<DeployerEvent>,
    /// The instances that the reader takes to be ready.
    seen: HashMap<InstanceId, Arc<FunctionRevision>>,
    backlog: VecDeque<DeployerEvent>,
}

pub(super) fn watch(deployer: &Arc<Shared>) -> BoxStream<'static, DeployerEvent> {
    // Locked, so that no change falls between the two.
    let table = deployer.table();
    let ready = table
        .ready()
        .map(|(id, ready)| (id, ready.revision.clone()));
    let watch = Watch {
        deployer: Arc::downgrade(deployer),
        events: deployer.events.subscribe(),
        seen: ready.collect(),
        backlog: VecDeque::new(),
    };
    drop(table);
    stream::unfold(watch, |mut watch| async {
        watch.next().await.map(|event| (event, watch))
    })
    .boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<DeployerEvent> {
        loop {
            if let Some(event) = self.backlog.pop_front() {
                return Some(event);
            }
            match self.events.recv().await {
                Ok(event) => {
                    self.note(&event);
                    return Some(event);
                }
                Err(RecvError::Lagged(_)) => self.catch_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn note(&mut self, event: &DeployerEvent) {
        match event {
            DeployerEvent::Ready {
                revision, instance, ..
            } => {
                self.seen.insert(instance.id(), revision.clone());
            }
            DeployerEvent::Gone { instance, .. } => {
                self.seen.remove(instance);
            }
            DeployerEvent::Waiting { .. } => {}
        }
    }

    /// Takes the difference between what the reader knows and what is there in place of what was
    /// missed, and of what is still to be read.
    fn catch_up(&mut self) {
        let Some(deployer) = self.deployer.upgrade() else {
            return;
        };
        let table = deployer.table();
        self.events = deployer.events.subscribe();
        let ready: HashMap<_, _> = table.ready().collect();
        self.seen.retain(|id, revision| {
            let here = ready.contains_key(id);
            if !here {
                self.backlog.push_back(DeployerEvent::Gone {
                    revision: revision.clone(),
                    instance: *id,
                    reason: MISSED,
                });
            }
            here
        });
        for (id, ready) in ready {
            if let Entry::Vacant(unseen) = self.seen.entry(id) {
                unseen.insert(ready.revision.clone());
                self.backlog.push_back(ready.clone().event());
            }
        }
    }
}
