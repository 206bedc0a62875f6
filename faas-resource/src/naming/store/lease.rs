//! Leases: granting, renewing and ending them.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use faas_core::encoding::{self, Stored};
use faas_core::store::{Batch, Entry, KeyRange, Precondition, Scan, Version};
use faas_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::layout::{LEASED, LEASES, NAMES, lease_key, leased_key, name_key, path_of};
use super::{Names, as_read, lost_race};
use crate::naming::{LeaseId, Path};

/// How many names are unbound in one commit at most.
const CHUNK: usize = 32;

/// A lease as it is stored; each renewal writes it again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) time_to_live: Duration,
    /// Nothing can be bound under it any more; its names are being unbound.
    pub(super) ended: bool,
}

impl Stored for Lease {
    const KIND: &'static str = "lease";
    const VERSION: u32 = 1;
}

fn gone(operation: &'static str, lease: LeaseId) -> Error {
    Error::not_found(operation, format!("lease {} is gone", lease.0))
}

/// The batch, with the note gone that the name is bound under the lease.
pub(super) fn released(batch: Batch, lease: LeaseId, path: &Path) -> Batch {
    batch.delete(LEASED, leased_key(lease, path), Precondition::Any)
}

impl Names {
    async fn lease(&self, lease: LeaseId) -> Result<Option<(Lease, Version)>> {
        let Some(entry) = self.store.get(&LEASES, &lease_key(lease)).await? else {
            return Ok(None);
        };
        Ok(Some((encoding::decode(&entry.value)?, entry.version)))
    }

    async fn alive(&self, operation: &'static str, id: LeaseId) -> Result<(Lease, Version)> {
        let found = self.lease(id).await?.filter(|(lease, _)| !lease.ended);
        found.ok_or_else(|| gone(operation, id))
    }

    /// The batch, to happen only if the lease lives, with a note that the name is bound under it.
    pub(super) async fn under(&self, batch: Batch, id: LeaseId, path: &Path) -> Result<Batch> {
        let (_, version) = self.alive("bind", id).await?;
        let batch = batch.check(LEASES, lease_key(id), Precondition::At(version));
        Ok(batch.put(LEASED, leased_key(id, path), "", Precondition::Any))
    }

    pub(super) async fn grant(&self, time_to_live: Duration) -> Result<LeaseId> {
        let faults = if time_to_live.is_zero() {
            vec!["a time to live of nothing".to_owned()]
        } else {
            Vec::new()
        };
        Error::check("grant lease", faults)?;
        let value = encoding::encode(&Lease {
            time_to_live,
            ended: false,
        })?;
        loop {
            // Keyed by the operating system's randomness, so that services sharing a store rarely
            // draw the same; if they do, the precondition tells.
            let id = LeaseId(RandomState::new().hash_one(0u8));
            let batch =
                Batch::new().put(LEASES, lease_key(id), value.clone(), Precondition::Absent);
            let result = self.store.commit(batch).await;
            if !lost_race(&result) {
                return result.map(|_| id);
            }
        }
    }

    pub(super) async fn renew(&self, id: LeaseId) -> Result<()> {
        loop {
            let (lease, version) = self.alive("renew lease", id).await?;
            let value = encoding::encode(&lease)?;
            let at = Precondition::At(version);
            let batch = Batch::new().put(LEASES, lease_key(id), value, at);
            let result = self.store.commit(batch).await;
            if !lost_race(&result) {
                return result.map(|_| ());
            }
        }
    }

    pub(super) async fn revoke(&self, id: LeaseId) -> Result<()> {
        while let Some((_, version)) = self.lease(id).await? {
            let result = self.end(id, version).await;
            if !lost_race(&result) {
                return result;
            }
        }
        Ok(())
    }

    /// Ends a lease if it stands at that version: marks it first, so that it can neither be
    /// renewed nor bound under, then unbinds its names, and removes it last. Whoever finds the mark
    /// can finish what a crash interrupted.
    pub(super) async fn end(&self, id: LeaseId, version: Version) -> Result<()> {
        let Some((mut lease, found)) = self.lease(id).await? else {
            return Ok(());
        };
        if found != version {
            return Err(Error::conflict(
                "end lease",
                format!("lease {} was renewed", id.0),
            ));
        }
        if !lease.ended {
            lease.ended = true;
            let value = encoding::encode(&lease)?;
            let at = Precondition::At(version);
            let mark = Batch::new().put(LEASES, lease_key(id), value, at);
            self.store.commit(mark).await?;
        }
        while self.unbind_some(id).await? {}
        let remove = Batch::new().delete(LEASES, lease_key(id), Precondition::Any);
        self.store.commit(remove).await.map(|_| ())
    }

    /// Unbinds a few of the lease's names; whether there may be more.
    async fn unbind_some(&self, id: LeaseId) -> Result<bool> {
        let turn = self.turn().await?;
        let limit = CHUNK
            .min(self.store.limits().operations.saturating_sub(1) / 2)
            .max(1);
        let scan = Scan::new(LEASED, KeyRange::prefix(lease_key(id))).limit(limit);
        let notes = self.store.scan(scan).await?.entries;
        if notes.is_empty() {
            return Ok(false);
        }
        let mut batch = Batch::new();
        for Entry { key, version, .. } in notes {
            let path = path_of(&key)?;
            batch = batch.delete(LEASED, key, Precondition::At(version));
            let (entry, bound) = self.read(&path).await?;
            if bound.is_some_and(|record| record.lease == Some(id)) {
                batch = batch.delete(NAMES, name_key(&path), as_read(entry.as_ref()));
            }
        }
        let result = self.store.commit(turn.take(batch)).await;
        if lost_race(&result) {
            return Ok(true);
        }
        result.map(|_| true)
    }
}
