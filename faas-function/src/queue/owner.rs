//! Who runs the requests: one queue of those that share a store.
//!
//! The owner's key holds its epoch and changes only with ownership; every write of the owner names
//! it as a precondition, so that one that was thought dead writes nothing any more. Renewals go to
//! a key beside it. Whether an owner is silent is judged by the observer's own monotonic clock.

use std::time::Duration;

use faas_core::store::{Batch, Entry, Key, Precondition, Store};
use faas_core::{Clock, Error, ErrorKind, Monotonic, Result};

use super::item::SPACE;

/// A time of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(pub(super) u64);

fn owner() -> Key {
    Key::new("owner")
}

fn renewals() -> Key {
    Key::new("renewals")
}

fn last() -> Key {
    Key::new("last-owner")
}

fn number(entry: &Entry) -> Result<u64> {
    let text = std::str::from_utf8(&entry.value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let message = format!("{:?} holds no number", entry.key);
        Error::internal("read queue", message)
    })
}

fn text(number: u64) -> String {
    number.to_string()
}

/// Adds the precondition that `epoch` still owns the requests.
pub(super) fn fenced(batch: Batch, epoch: Epoch) -> Batch {
    let value = Precondition::Value(text(epoch.0).into());
    batch.check(SPACE, owner(), value)
}

/// Whether `epoch` still owns the requests.
pub(super) async fn owns(store: &dyn Store, epoch: Epoch) -> Result<bool> {
    let found = store.get(&SPACE, &owner()).await?;
    let found = found.as_ref().map(number).transpose()?;
    Ok(found == Some(epoch.0))
}

/// Waits until nobody else owns the requests, and takes them; `lease` is how long an owner may be
/// silent, or none if there can be no other.
pub(super) async fn take(
    store: &dyn Store,
    clock: &dyn Clock,
    lease: Option<Duration>,
) -> Result<Epoch> {
    let mut seen: Option<(u64, u64, Monotonic)> = None;
    loop {
        let found = store.get(&SPACE, &owner()).await?;
        let silent = match (&found, lease) {
            (None, _) | (_, None) => true,
            (Some(entry), Some(lease)) => {
                let beats = store.get(&SPACE, &renewals()).await?;
                let beats = beats.as_ref().map(number).transpose()?.unwrap_or(0);
                let (epoch, now) = (number(entry)?, clock.now());
                match seen {
                    Some((e, b, since)) if (e, b) == (epoch, beats) => now.since(since) >= lease,
                    _ => {
                        seen = Some((epoch, beats, now));
                        false
                    }
                }
            }
        };
        if silent {
            match try_take(store, found).await {
                Err(error) if error.kind() == ErrorKind::Conflict => continue,
                other => return other,
            }
        }
        let pause = lease.unwrap_or_default() / 4;
        clock.sleep_until(clock.now() + pause).await;
    }
}

async fn try_take(store: &dyn Store, found: Option<Entry>) -> Result<Epoch> {
    let before = store.get(&SPACE, &last()).await?;
    let next = before.as_ref().map(number).transpose()?.unwrap_or(0) + 1;
    let as_it_was = |entry: &Option<Entry>| match entry {
        Some(entry) => Precondition::At(entry.version),
        None => Precondition::Absent,
    };
    let batch = Batch::new()
        .put(SPACE, owner(), text(next), as_it_was(&found))
        .put(SPACE, last(), text(next), as_it_was(&before))
        .put(SPACE, renewals(), text(0), Precondition::Any);
    store.commit(batch).await?;
    Ok(Epoch(next))
}

/// Says that the owner lives; `false` if it is the owner no more.
pub(super) async fn renew(store: &dyn Store, epoch: Epoch, beats: u64) -> Result<bool> {
    let batch = fenced(Batch::new(), epoch);
    let batch = batch.put(SPACE, renewals(), text(beats), Precondition::Any);
    match store.commit(batch).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => owns(store, epoch).await,
        Err(error) => Err(error),
    }
}

/// Gives the requests up, for others to take at once.
pub(super) async fn release(store: &dyn Store, epoch: Epoch) -> Result<()> {
    let value = Precondition::Value(text(epoch.0).into());
    match store
        .commit(Batch::new().delete(SPACE, owner(), value))
        .await
    {
        // It was taken already.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        other => other.map(drop),
    }
}
