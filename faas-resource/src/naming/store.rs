//! [`StoreNaming`]: the naming service over any store.

mod keeper;
mod layout;
mod lease;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::component::Component;
use faas_core::store::{Batch, Entry, KeyRange, Precondition, Revision, Scan};
use faas_core::{Clock, Description, Error, ErrorKind, Result, Store};
use futures::future;
use futures::stream::{BoxStream, StreamExt};

use super::{Bind, Expected, LeaseId, NamingEvent, NamingService, Path, Record};
use keeper::Keeper;
use layout::{NAMES, name_key, path_of, record, sealed};

/// The naming service over any [`Store`]; a clone is the same service.
///
/// Names live in the watched space `naming`, leases in the watched space `naming-leases`. Each
/// change of a name also passes through one key, so that names have one order however many
/// services share the store, and a record can hold the revision it was bound at.
///
/// Every service watches the leases and ends one that nobody renewed for its time to live *by the
/// service's own clock since it saw the last renewal*; so clocks of several machines need not
/// agree. The ending is a conditional commit, which a renewal that came first defeats. After a
/// restart leases get a full time to live. The watching task ends with the last clone.
#[derive(Debug, Clone)]
pub struct StoreNaming {
    names: Names,
    _keeper: Arc<Keeper>,
}

/// The names in a store, without the task that ends leases.
#[derive(Debug, Clone)]
struct Names {
    store: Arc<dyn Store>,
}

impl StoreNaming {
    /// The service over what the store holds. Needs a tokio runtime, for the task that ends leases.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let names = Names { store };
        let keeper = Arc::new(Keeper::spawn(names.clone(), clock));
        Self {
            names,
            _keeper: keeper,
        }
    }
}

fn conflict(operation: &'static str, path: &Path, why: &str) -> Error {
    Error::conflict(operation, format!("name {path} {why}"))
}

/// Whether what is expected of a name is so.
fn expected(bind: &Bind, bound: Option<&Record>) -> Result<()> {
    match (bind.expected, bound) {
        (Expected::Absent, None) => Ok(()),
        (Expected::At(revision), Some(record)) if record.revision == revision => Ok(()),
        (_, None) => Err(conflict("bind", &bind.path, "is not bound")),
        (_, Some(record)) => {
            let why = format!("is bound at revision {}", record.revision.0);
            Err(conflict("bind", &bind.path, &why))
        }
    }
}

/// That the key is still as it was read.
fn as_read(entry: Option<&Entry>) -> Precondition {
    entry.map_or(Precondition::Absent, |entry| {
        Precondition::At(entry.version)
    })
}

/// Whether to read and try once more: somebody else came first, and perhaps with another name.
fn lost_race<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::Conflict)
}

impl Names {
    async fn read(&self, path: &Path) -> Result<(Option<Entry>, Option<Record>)> {
        let entry = self.store.get(&NAMES, &name_key(path)).await?;
        let record = entry.as_ref().map(|entry| record(path, &entry.value));
        Ok((entry, record.transpose()?))
    }

    async fn bind_once(&self, bind: &Bind) -> Result<Result<Revision>> {
        let turn = self.turn().await?;
        let (entry, bound) = self.read(&bind.path).await?;
        expected(bind, bound.as_ref())?;
        let mut batch = Batch::new();
        if let Some(lease) = bind.lease {
            batch = self.under(batch, lease, &bind.path).await?;
        }
        let former = bound.and_then(|record| record.lease);
        if let Some(former) = former.filter(|former| Some(*former) != bind.lease) {
            batch = lease::released(batch, former, &bind.path);
        }
        let revision = turn.revision();
        let value = sealed(revision, bind.lease, &bind.value)?;
        let batch = batch.put(NAMES, name_key(&bind.path), value, as_read(entry.as_ref()));
        let committed = self.store.commit(turn.take(batch)).await;
        Ok(committed.map(|_| revision))
    }

    async fn unbind_once(&self, path: &Path, at: Option<Revision>) -> Result<Result<()>> {
        let turn = self.turn().await?;
        let (entry, bound) = self.read(path).await?;
        let Some(record) = bound else {
            let missing = || conflict("unbind", path, "is not bound");
            return at.map_or(Ok(Ok(())), |_| Err(missing()));
        };
        if at.is_some_and(|revision| revision != record.revision) {
            let why = format!("is bound at revision {}", record.revision.0);
            return Err(conflict("unbind", path, &why));
        }
        let mut batch = Batch::new().delete(NAMES, name_key(path), as_read(entry.as_ref()));
        if let Some(lease) = record.lease {
            batch = lease::released(batch, lease, path);
        }
        Ok(self.store.commit(turn.take(batch)).await.map(|_| ()))
    }
}

#[async_trait]
impl NamingService for StoreNaming {
    async fn bind(&self, bind: Bind) -> Result<Revision> {
        loop {
            let result = self.names.bind_once(&bind).await?;
            if !lost_race(&result) {
                return result;
            }
        }
    }

    async fn resolve(&self, path: &Path) -> Result<Option<Record>> {
        let (_, record) = self.names.read(path).await?;
        Ok(record)
    }

    async fn list(&self, prefix: &Path) -> Result<(Vec<Record>, Revision)> {
        let mut records = Vec::new();
        let mut range = KeyRange::prefix(name_key(prefix));
        let mut first = None;
        loop {
            let scan = Scan::new(NAMES, range.clone());
            let page = self.names.store.scan(scan).await?;
            // Later pages may show later changes, which a watch from the first one tells again.
            let revision = *first.get_or_insert(page.revision);
            for entry in &page.entries {
                records.push(record(&path_of(&entry.key)?, &entry.value)?);
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(&last.key),
                _ => {
                    records.sort_by(|a: &Record, b| a.path.cmp(&b.path));
                    return Ok((records, revision));
                }
            }
        }
    }

    async fn unbind(&self, path: &Path, expected: Option<Revision>) -> Result<()> {
        loop {
            let result = self.names.unbind_once(path, expected).await?;
            if !lost_race(&result) {
                return result;
            }
        }
    }

    fn watch(&self, prefix: &Path, after: Revision) -> BoxStream<'static, Result<NamingEvent>> {
        let changes = self.names.store.watch(&NAMES, name_key(prefix), after);
        let events = changes.map(|change| {
            let change = change?;
            let path = path_of(&change.key)?;
            Ok(match change.value {
                Some((value, _)) => NamingEvent::Bound(record(&path, &value)?),
                None => NamingEvent::Unbound(path, change.revision),
            })
        });
        // A store whose revisions leap may repeat the bind that `after` was the answer to.
        let seen = move |event: &Result<NamingEvent>| {
            let Ok(NamingEvent::Bound(record)) = event else {
                return false;
            };
            record.revision <= after
        };
        events
            .filter(move |event| future::ready(!seen(event)))
            .boxed()
    }

    async fn grant(&self, time_to_live: Duration) -> Result<LeaseId> {
        self.names.grant(time_to_live).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<()> {
        self.names.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.names.revoke(lease).await
    }

    fn describe(&self) -> Description {
        let store = self.names.store.name();
        Description::new(format!("StoreNaming over {store}")).provides(Component::R1)
    }
}
