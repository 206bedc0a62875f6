//! Epochs: a fence key that changes only with ownership, and a key beside it for renewals.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::store::{Batch, KeyRange, Precondition, Scan, Store};
use faas_core::{Error, ErrorKind, Result};

use super::keys::{self, EXECUTIONS as SPACE};
use crate::execution_store::{Epoch, EpochState, Epochs, OpenEpoch};

/// How many epochs a batch voids: below the smallest limit of operations known.
const VOIDED_AT_ONCE: usize = 32;

pub(super) fn void(epoch: Epoch) -> Error {
    let message = format!(
        "epoch {} is void: another engine owns its executions",
        epoch.0
    );
    Error::permission_denied("append", message)
}

fn number(value: u64) -> Bytes {
    value.to_string().into()
}

/// The epochs of a [`StoreExecutionStore`](super::StoreExecutionStore).
#[derive(Debug, Clone)]
pub(super) struct StoreEpochs {
    store: Arc<dyn Store>,
}

impl StoreEpochs {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Epochs for StoreEpochs {
    async fn open(&self, request: OpenEpoch) -> Result<EpochState> {
        open(&*self.store, request).await
    }

    async fn renew(&self, epoch: Epoch) -> Result<EpochState> {
        renew(&*self.store, epoch).await
    }

    async fn void(&self, epoch: Epoch) -> Result<()> {
        let gone = remove(Batch::new(), epoch);
        self.store.commit(gone).await.map(|_| ())
    }

    async fn list(&self) -> Result<Vec<EpochState>> {
        list(&*self.store).await
    }
}

/// Takes the number after the last one, again while others are faster.
async fn open(store: &dyn Store, request: OpenEpoch) -> Result<EpochState> {
    loop {
        match try_open(store, request).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            other => return other,
        }
    }
}

async fn try_open(store: &dyn Store, request: OpenEpoch) -> Result<EpochState> {
    if request.exclusive {
        while let earlier @ [_, ..] = &*list(store).await? {
            for chunk in earlier.chunks(VOIDED_AT_ONCE) {
                let void = |batch: Batch, old: &EpochState| remove(batch, old.epoch);
                store.commit(chunk.iter().fold(Batch::new(), void)).await?;
            }
        }
    }
    let last = store.get(&SPACE, &keys::last_epoch()).await?;
    let (next, condition) = match &last {
        Some(entry) => (
            keys::parse::<u64>(&entry.value)? + 1,
            Precondition::At(entry.version),
        ),
        None => (1, Precondition::Absent),
    };
    let epoch = Epoch(next);
    let batch = Batch::new()
        .put(SPACE, keys::last_epoch(), number(next), condition)
        .put(SPACE, keys::renewals(epoch), number(0), Precondition::Any)
        .put(
            SPACE,
            keys::epoch(epoch),
            Bytes::new(),
            Precondition::Absent,
        );
    store.commit(batch).await?;
    Ok(EpochState { epoch, renewals: 0 })
}

fn remove(batch: Batch, epoch: Epoch) -> Batch {
    batch
        .delete(SPACE, keys::epoch(epoch), Precondition::Any)
        .delete(SPACE, keys::renewals(epoch), Precondition::Any)
}

async fn renew(store: &dyn Store, epoch: Epoch) -> Result<EpochState> {
    let renewals = renewals(store, epoch).await?.ok_or_else(|| void(epoch))? + 1;
    let batch = Batch::new()
        .check(SPACE, keys::epoch(epoch), Precondition::Present)
        .put(
            SPACE,
            keys::renewals(epoch),
            number(renewals),
            Precondition::Present,
        );
    match store.commit(batch).await {
        Ok(_) => Ok(EpochState { epoch, renewals }),
        Err(error) if error.kind() == ErrorKind::Conflict => Err(void(epoch)),
        Err(error) => Err(error),
    }
}

async fn renewals(store: &dyn Store, epoch: Epoch) -> Result<Option<u64>> {
    let entry = store.get(&SPACE, &keys::renewals(epoch)).await?;
    entry.map(|entry| keys::parse(&entry.value)).transpose()
}

pub(super) async fn list(store: &dyn Store) -> Result<Vec<EpochState>> {
    let mut found = Vec::new();
    let page = store
        .scan(Scan::new(SPACE, KeyRange::prefix(keys::epochs())))
        .await?;
    for entry in page.entries {
        let epoch = Epoch(keys::last_number(&entry.key)?);
        let renewals = renewals(store, epoch).await?.unwrap_or(0);
        found.push(EpochState { epoch, renewals });
    }
    Ok(found)
}
