//! The task that ends leases which nobody renews.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::store::{Change, Key, KeyRange, Revision, Scan, Version};
use faas_core::{Clock, ErrorKind, Monotonic, Result, encoding};
use futures::future::{self, Either};
use futures::stream::StreamExt;
use tokio::task::JoinHandle;

use super::Names;
use super::layout::{LEASES, lease_of};
use super::lease::Lease;
use crate::naming::LeaseId;

/// How long the keeper rests after the store failed.
const REST: Duration = Duration::from_millis(500);

/// Runs the task until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    pub(super) fn spawn(names: Names, clock: Arc<dyn Clock>) -> Self {
        Self(tokio::spawn(keep(names, clock)))
    }
}

async fn keep(names: Names, clock: Arc<dyn Clock>) {
    let mut watched = Leases::default();
    loop {
        if let Err(error) = watched.follow(&names, &*clock).await {
            tracing::warn!(%error, "leases are not ended until the store answers again");
        }
        clock.sleep_until(clock.now() + REST).await;
    }
}

/// When each lease ends unless it is renewed, and at which version.
#[derive(Debug, Default)]
struct Leases(BTreeMap<LeaseId, (Version, Monotonic)>);

impl Leases {
    /// Notes a lease; one that was not written since keeps its deadline.
    fn note(&mut self, id: LeaseId, value: &Bytes, version: Version, now: Monotonic) -> Result<()> {
        if self.0.get(&id).is_some_and(|(known, _)| *known == version) {
            return Ok(());
        }
        let lease: Lease = encoding::decode(value)?;
        // Somebody is unbinding its names; if that one dies, it is finished here in time.
        self.0.insert(id, (version, now + lease.time_to_live));
        Ok(())
    }

    async fn load(&mut self, names: &Names, clock: &dyn Clock) -> Result<Revision> {
        let mut range = KeyRange::all();
        let mut found = BTreeMap::new();
        let mut first = None;
        loop {
            let page = names.store.scan(Scan::new(LEASES, range.clone())).await?;
            let revision = *first.get_or_insert(page.revision);
            for entry in &page.entries {
                let id = lease_of(&entry.key)?;
                self.note(id, &entry.value, entry.version, clock.now())?;
                found.insert(id, ());
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(&last.key),
                _ => {
                    self.0.retain(|id, _| found.contains_key(id));
                    return Ok(revision);
                }
            }
        }
    }

    /// Follows all leases and ends those whose time has come, until the store fails.
    async fn follow(&mut self, names: &Names, clock: &dyn Clock) -> Result<()> {
        let revision = self.load(names, clock).await?;
        let mut changes = names.store.watch(&LEASES, Key::empty(), revision);
        loop {
            let next = self.0.values().map(|(_, deadline)| *deadline).min();
            let due = next.map_or_else(
                || Either::Left(future::pending()),
                |deadline| Either::Right(clock.sleep_until(deadline)),
            );
            tokio::select! {
                // Renewals that have already arrived count before deadlines.
                biased;
                change = changes.next() => match change {
                    Some(change) => self.learn(change?, clock.now())?,
                    None => return Ok(()),
                },
                () = due => self.end_due(names, clock.now()).await?,
            }
        }
    }

    fn learn(&mut self, change: Change, now: Monotonic) -> Result<()> {
        let id = lease_of(&change.key)?;
        match change.value {
            Some((value, version)) => self.note(id, &value, version, now),
            None => {
                self.0.remove(&id);
                Ok(())
            }
        }
    }

    async fn end_due(&mut self, names: &Names, now: Monotonic) -> Result<()> {
        let due: Vec<_> = self
            .0
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= now)
            .map(|(id, (version, _))| (*id, *version))
            .collect();
        for (id, version) in due {
            match names.end(id, version).await {
                // Renewed: the watch will tell.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                ended => ended?,
            }
            self.0.remove(&id);
        }
        Ok(())
    }
}
