//! Endpoints in the naming service, beside the path of a start: for others to find sandboxes by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faas_core::{Clock, Error, ErrorKind, NodeName, Result, SandboxId};
use tokio::sync::Notify;

use crate::NamingService;
use crate::endpoint::{Address, Endpoint};
use crate::naming::{Bind, Expected, Path};

/// The first wait when naming fails; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What names are to be. Level-triggered, so bounded by the sandboxes however long naming fails:
/// what is to be done for a sandbox replaces what was to be done for it before.
#[derive(Debug, Default)]
struct Jobs {
    names: BTreeMap<(NodeName, SandboxId), Option<Address>>,
    sweeps: BTreeMap<NodeName, BTreeSet<SandboxId>>,
}

#[derive(Debug)]
enum Job {
    Name(NodeName, SandboxId, Option<Address>),
    /// Names of an earlier life are unbound, except for these.
    Sweep(NodeName, BTreeSet<SandboxId>),
}

/// Keeps the names of running sandboxes bound to their addresses.
#[derive(Debug, Default)]
pub(super) struct Names {
    jobs: Mutex<Jobs>,
    more: Notify,
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sandbox's name is to be bound to its endpoint, or to be unbound. What dials is for this
    /// process alone, and has no name.
    pub(super) fn name(&self, node: NodeName, sandbox: SandboxId, endpoint: Option<Endpoint>) {
        let address = match endpoint {
            Some(Endpoint::Address(address)) => Some(address),
            Some(Endpoint::Dial(_)) => return,
            None => None,
        };
        self.lock().names.insert((node, sandbox), address);
        self.more.notify_one();
    }

    /// Names of a node that are neither of `kept` nor bound by us are to be unbound.
    pub(super) fn sweep(&self, node: NodeName, kept: BTreeSet<SandboxId>) {
        self.lock().sweeps.insert(node, kept);
        self.more.notify_one();
    }

    fn take(&self) -> Option<Job> {
        let mut jobs = self.lock();
        if let Some((node, kept)) = jobs.sweeps.pop_first() {
            return Some(Job::Sweep(node, kept));
        }
        let ((node, sandbox), address) = jobs.names.pop_first()?;
        Some(Job::Name(node, sandbox, address))
    }

    /// Puts back what failed, unless something newer is to be done.
    fn put_back(&self, job: Job) {
        let mut jobs = self.lock();
        match job {
            Job::Name(node, sandbox, address) => {
                jobs.names.entry((node, sandbox)).or_insert(address);
            }
            Job::Sweep(node, kept) => {
                jobs.sweeps.entry(node).or_insert(kept);
            }
        }
    }

    /// Carries out what is to be done, for ever.
    pub(super) async fn serve(
        self: Arc<Self>,
        naming: Option<Arc<dyn NamingService>>,
        clock: Arc<dyn Clock>,
    ) {
        let mut bound = BTreeSet::new();
        let mut wait = FIRST_WAIT;
        loop {
            let Some(job) = self.take() else {
                self.more.notified().await;
                continue;
            };
            let Some(naming) = &naming else { continue };
            match carry_out(&**naming, &job, &mut bound).await {
                Ok(()) => wait = FIRST_WAIT,
                Err(error) => {
                    tracing::warn!(%error, ?job, ?wait, "a name is not as it should be; trying again");
                    self.put_back(job);
                    clock.sleep_until(clock.now() + wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }
}

async fn carry_out(
    naming: &dyn NamingService,
    job: &Job,
    bound: &mut BTreeSet<SandboxId>,
) -> Result<()> {
    match job {
        Job::Name(node, sandbox, Some(address)) => {
            bound.insert(*sandbox);
            bind(naming, path(node, *sandbox)?, address).await
        }
        Job::Name(node, sandbox, None) => {
            naming.unbind(&path(node, *sandbox)?, None).await?;
            bound.remove(sandbox);
            Ok(())
        }
        Job::Sweep(node, kept) => sweep(naming, node, kept, bound).await,
    }
}

async fn bind(naming: &dyn NamingService, path: Path, address: &Address) -> Result<()> {
    let value = serde_json::to_vec(address).map_err(|error| {
        Error::internal("bind endpoint", "an address has no form in JSON").with_source(error)
    })?;
    let mut bind = Bind::new(path, value);
    match naming.bind(bind.clone()).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        other => return other.map(drop),
    }
    // An earlier life of this process has bound it.
    if let Some(record) = naming.resolve(&bind.path).await? {
        bind.expected = Expected::At(record.revision);
    }
    naming.bind(bind).await.map(drop)
}

async fn sweep(
    naming: &dyn NamingService,
    node: &NodeName,
    kept: &BTreeSet<SandboxId>,
    bound: &BTreeSet<SandboxId>,
) -> Result<()> {
    let (records, _) = naming
        .list(&Path::new(format!("sandboxes/{node}"))?)
        .await?;
    for record in records {
        let id = record.path.segments().last().map(str::parse::<SandboxId>);
        let Some(Ok(id)) = id else {
            continue;
        };
        if kept.contains(&id) || bound.contains(&id) {
            continue;
        }
        match naming.unbind(&record.path, Some(record.revision)).await {
            // Somebody has bound or unbound it just now: then it is theirs.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            other => other?,
        }
    }
    Ok(())
}

fn path(node: &NodeName, sandbox: SandboxId) -> Result<Path> {
    Path::new(format!("sandboxes/{node}/{sandbox}"))
}
