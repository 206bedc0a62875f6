//! The table of sandboxes, which the node and the tasks that work on them share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use faas_core::{Error, Resources, Result, SandboxId};
use faas_resource::agent::{
    ExitCause, NodeEvent, NodeInfo, SandboxPhase, SandboxState, SandboxStatus,
};
use faas_resource::endpoint::{Address, Endpoint};
use tokio::sync::{broadcast, watch};

use crate::config::DockerNodeBuilder;
use crate::container::Identity;
use crate::error;
use crate::mounts::Mounts;

/// How many events a watcher may fall behind before it has to list again.
const EVENTS: usize = 1024;

/// What the tasks that work on one sandbox share, however long it stays in the table.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) identity: Identity,
    /// One thing is done with it at a time, in the order in which it was asked for.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Why it never came to be.
    failed: OnceLock<Error>,
    stopping: watch::Sender<bool>,
}

impl Handle {
    fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self {
            identity,
            turn: tokio::sync::Mutex::default(),
            failed: OnceLock::new(),
            stopping: watch::Sender::new(false),
        })
    }

    pub(crate) fn id(&self) -> SandboxId {
        self.identity.sandbox
    }

    /// Ends when it is to be stopped.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

struct Entry {
    handle: Arc<Handle>,
    status: SandboxStatus,
    /// The engine's id of its container, from when that is there.
    container: Option<String>,
    /// How often what is known of it has changed: what was seen before is older.
    version: u64,
}

/// Where a sandbox stands for whoever has its turn.
pub(crate) struct Standing {
    pub(crate) state: SandboxState,
    pub(crate) container: Option<String>,
}

/// What is known of a sandbox at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) version: u64,
    pub(crate) phase: SandboxPhase,
    pub(crate) container: Option<String>,
}

/// What the node and the tasks of its sandboxes share.
pub(crate) struct Shared {
    pub(crate) info: NodeInfo,
    pub(crate) config: DockerNodeBuilder,
    pub(crate) mounts: Option<Mounts>,
    /// Networks of our own are made and removed one at a time: to the engine, their names are not
    /// unique.
    pub(crate) networks: tokio::sync::Mutex<()>,
    entries: Mutex<BTreeMap<SandboxId, Entry>>,
    events: broadcast::Sender<NodeEvent>,
}

impl Shared {
    pub(crate) fn new(info: NodeInfo, config: DockerNodeBuilder) -> Self {
        Self {
            info,
            mounts: config.root.clone().map(Mounts),
            config,
            networks: tokio::sync::Mutex::default(),
            entries: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told under the lock, so that events come in the order of what happened.
    pub(crate) fn tell(&self, event: NodeEvent) {
        // An error means that nobody watches.
        let _ = self.events.send(event);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<NodeEvent> {
        self.events.subscribe()
    }

    /// The directory that a sandbox shares with us, if the node has such.
    pub(crate) fn directory(&self, sandbox: SandboxId) -> Option<PathBuf> {
        Some(self.mounts.as_ref()?.of(sandbox))
    }

    /// The sandbox that is asked for, which is entered if it is not there yet.
    pub(crate) fn enter(&self, identity: Identity) -> Result<Arc<Handle>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&identity.sandbox) {
            return Ok(entry.handle.clone());
        }
        let takes = &identity.takes;
        let taken = entries.values().fold(takes.clone(), Entry::add);
        if !self.info.capacity.covers(&taken) {
            let message = format!(
                "node {} has {}; with {takes} more, {taken} would be taken",
                self.info.name, self.info.capacity
            );
            return Err(Error::exhausted("ensure sandbox", message));
        }
        let phase = SandboxPhase::In(SandboxState::Created);
        Ok(Self::insert(&mut entries, identity, phase, None)
            .handle
            .clone())
    }

    fn insert(
        entries: &mut BTreeMap<SandboxId, Entry>,
        identity: Identity,
        phase: SandboxPhase,
        container: Option<String>,
    ) -> &mut Entry {
        let id = identity.sandbox;
        let mut status = SandboxStatus::new(id, identity.workload, identity.digest, phase);
        status.cookie = identity.cookie.clone();
        let entry = Entry {
            handle: Handle::new(identity),
            status,
            container,
            version: 0,
        };
        entries.entry(id).insert_entry(entry).into_mut()
    }

    /// Takes up a container that nobody here has made, unless it is known meanwhile.
    pub(crate) fn adopt(
        &self,
        identity: Identity,
        container: String,
        phase: SandboxPhase,
        address: Option<Address>,
    ) {
        let mut entries = self.lock();
        if entries.contains_key(&identity.sandbox) {
            return;
        }
        let entry = Self::insert(&mut entries, identity, phase.clone(), Some(container));
        entry.status.endpoint = reached(&phase, address);
        self.tell(NodeEvent::Sandbox(entry.status.clone()));
    }

    pub(crate) fn known(&self, sandbox: SandboxId) -> Option<Known> {
        let entries = self.lock();
        let entry = entries.get(&sandbox)?;
        Some(Known {
            version: entry.version,
            phase: entry.status.phase.clone(),
            container: entry.container.clone(),
        })
    }

    pub(crate) fn handle(&self, sandbox: SandboxId) -> Option<Arc<Handle>> {
        Some(self.lock().get(&sandbox)?.handle.clone())
    }

    /// Whether another sandbox is, or will be, on a network of ours.
    pub(crate) fn others_are_on(&self, network: &str, sandbox: SandboxId) -> bool {
        let entries = self.lock();
        let mut others = entries.iter().filter(|(id, _)| **id != sandbox);
        others.any(|(_, entry)| entry.handle.identity.network.as_deref() == Some(network))
    }

    pub(crate) fn ids(&self) -> Vec<SandboxId> {
        self.lock().keys().copied().collect()
    }

    /// Where a sandbox stands that can still be worked on.
    pub(crate) fn standing(&self, operation: &'static str, handle: &Handle) -> Result<Standing> {
        if let Some(error) = handle.failed.get() {
            return Err(error.clone());
        }
        let id = handle.id();
        let entries = self.lock();
        let stopped = || error::stopped(operation, id);
        let entry = entries.get(&id).ok_or_else(stopped)?;
        if handle.is_stopping() {
            return Err(stopped());
        }
        match &entry.status.phase {
            SandboxPhase::Exited(cause) => {
                let message = format!("sandbox {id} has {cause}; stop it first");
                Err(Error::conflict(operation, message))
            }
            SandboxPhase::In(state) => Ok(Standing {
                state: *state,
                container: entry.container.clone(),
            }),
        }
    }

    /// Its container is there.
    pub(crate) fn created(&self, sandbox: SandboxId, container: String) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&sandbox) {
            entry.container = Some(container);
            entry.version += 1;
            self.tell(NodeEvent::Sandbox(entry.status.clone()));
        }
    }

    /// What was seen of a sandbox of which so much was known before; answers whether nothing has
    /// changed meanwhile, so that this holds. An end stays an end.
    pub(crate) fn observed(
        &self,
        sandbox: SandboxId,
        version: u64,
        phase: SandboxPhase,
        address: Option<Address>,
    ) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&sandbox) else {
            return true;
        };
        if entry.version != version {
            return false;
        }
        match phase {
            _ if matches!(entry.status.phase, SandboxPhase::Exited(_)) => {}
            SandboxPhase::Exited(cause) => self.exit(entry, cause),
            phase if entry.status.phase != phase => {
                entry.status.endpoint = reached(&phase, address);
                entry.status.phase = phase;
                entry.version += 1;
                self.tell(NodeEvent::Sandbox(entry.status.clone()));
            }
            SandboxPhase::In(_) => {}
        }
        true
    }

    /// Its container is gone, and not by us.
    pub(crate) fn vanished(&self, sandbox: SandboxId, version: u64) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&sandbox) else {
            return true;
        };
        if entry.version != version {
            return false;
        }
        if let SandboxPhase::In(_) = entry.status.phase {
            self.exit(entry, ExitCause::Unknown);
        }
        true
    }

    fn exit(&self, entry: &mut Entry, cause: ExitCause) {
        let cause = match entry.handle.is_stopping() {
            true => ExitCause::Stopped,
            false => cause,
        };
        entry.status.phase = SandboxPhase::Exited(cause);
        entry.status.endpoint = None;
        entry.version += 1;
        self.tell(NodeEvent::Sandbox(entry.status.clone()));
    }

    /// It never ran, and nothing of it is left.
    pub(crate) fn failed(&self, handle: &Handle, error: &Error) {
        // Set before it leaves the table: who waits for its turn finds the one or the other.
        let _ = handle.failed.set(error.clone());
        let mut entries = self.lock();
        if let Some(mut entry) = entries.remove(&handle.id()) {
            self.exit(&mut entry, ExitCause::StartFailure(error.to_string()));
            self.tell(NodeEvent::Removed(handle.id()));
        }
    }

    /// From here on its end counts as a stop, and what prepares its start is cut short.
    pub(crate) fn begin_stop(&self, sandbox: SandboxId) -> Option<Arc<Handle>> {
        let entries = self.lock();
        let handle = entries.get(&sandbox)?.handle.clone();
        handle.stopping.send_replace(true);
        Some(handle)
    }

    /// Nothing of it is left.
    pub(crate) fn removed(&self, sandbox: SandboxId) {
        let mut entries = self.lock();
        if let Some(mut entry) = entries.remove(&sandbox) {
            if let SandboxPhase::In(_) = entry.status.phase {
                self.exit(&mut entry, ExitCause::Stopped);
            }
            self.tell(NodeEvent::Removed(sandbox));
        }
    }

    /// Where a sandbox stands, if it is in that state and nothing is left to do for that.
    pub(crate) fn settled(&self, sandbox: SandboxId, state: SandboxState) -> Option<SandboxStatus> {
        let entries = self.lock();
        let entry = entries.get(&sandbox)?;
        let there = entry.container.is_some() && !entry.handle.is_stopping();
        let settled = there && entry.status.phase == SandboxPhase::In(state);
        settled.then(|| entry.status.clone())
    }

    pub(crate) fn status(&self, sandbox: SandboxId) -> Option<SandboxStatus> {
        Some(self.lock().get(&sandbox)?.status.clone())
    }

    pub(crate) fn statuses(&self) -> Vec<SandboxStatus> {
        let entries = self.lock();
        entries.values().map(|entry| entry.status.clone()).collect()
    }
}

impl Entry {
    fn add(sum: Resources, entry: &Self) -> Resources {
        sum.plus(&entry.handle.identity.takes)
    }
}

/// Only what runs is reached.
fn reached(phase: &SandboxPhase, address: Option<Address>) -> Option<Endpoint> {
    let runs = *phase == SandboxPhase::In(SandboxState::Running);
    address.filter(|_| runs).map(Endpoint::from)
}
