//! [`Payloads`]: those that are too large for the store lie in an object store, and are referred
//! to.
//!
//! An object lies at `<prefix>/<digest>/<generation>`, and the store says which generation of a
//! digest is the living one, and who refers to it. A generation that nobody refers to is given up
//! by a write that fails if somebody has come to refer to it since; only then its object is removed.
//! Who needs the digest again makes a new generation. So a slow removal never hits what is needed,
//! and a crash at any point leaves at most an object to be removed later.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faas_core::encoding::{Stored, decode, encode};
use faas_core::store::{Batch, Entry, Key, KeyRange, Precondition, Scan, Store};
use faas_core::{Digest, Error, ErrorKind, IdSource, InvocationId, Payload, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::item::SPACE;
use super::owner::{Epoch, fenced};

/// Payloads of more bytes than this are kept as objects, unless it is said otherwise.
const OVER: usize = 256 << 10;
/// How often a payload is put that others give up at the same time.
const TRIES: usize = 5;

/// Where large payloads lie; a clone is the same place.
#[derive(Clone)]
pub struct Payloads {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    over: usize,
    /// What is about to be referred to by this process.
    pins: Arc<Mutex<HashMap<Digest, usize>>>,
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads")
            .field("objects", &format_args!("{}", self.objects))
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// A payload that lies in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    generation: InvocationId,
}

/// Which generation of a digest lives.
#[derive(Debug, Serialize, Deserialize)]
struct Living {
    generation: InvocationId,
}

impl Stored for Living {
    const KIND: &'static str = "payload-object";
    const VERSION: u32 = 1;
}

/// Keeps what is about to be referred to from being given up by this process.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Mutex<HashMap<Digest, usize>>>,
    digest: Digest,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.pins);
        if let Some(count) = pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
}

fn lock(pins: &Mutex<HashMap<Digest, usize>>) -> MutexGuard<'_, HashMap<Digest, usize>> {
    pins.lock().unwrap_or_else(PoisonError::into_inner)
}

fn living() -> Key {
    Key::new("object")
}

fn object(digest: &Digest) -> Key {
    living().child(digest.hex())
}

fn referrers(digest: &Digest) -> Key {
    Key::new("object-referrer").child(digest.hex())
}

fn doomed() -> Key {
    Key::new("object-doomed")
}

impl Payloads {
    /// Payloads of more than 256 KiB lie under `payloads/` of `objects`.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            prefix: Path::from("payloads"),
            over: OVER,
            pins: Arc::default(),
        }
    }

    /// Only payloads of more bytes than this.
    #[must_use]
    pub fn over(self, bytes: usize) -> Self {
        Self {
            over: bytes,
            ..self
        }
    }

    pub(super) fn takes(&self, payload: &Payload) -> bool {
        payload.len() > self.over
    }

    fn path(&self, digest: &Digest, generation: InvocationId) -> Path {
        let prefix = self.prefix.clone().join(digest.hex());
        prefix.join(generation.to_string())
    }

    fn pin(&self, digest: Digest) -> Pin {
        *lock(&self.pins).entry(digest).or_default() += 1;
        let pins = self.pins.clone();
        Pin { pins, digest }
    }

    /// Puts a payload where [`refer`](Self::refer) finds it. While the pin lives, only another
    /// process can give it up, and then the write that refers to it fails.
    pub(super) async fn put(
        &self,
        store: &dyn Store,
        ids: &IdSource,
        payload: &Payload,
    ) -> Result<(Blob, Pin)> {
        let digest = Digest::of(payload.as_bytes());
        let pin = self.pin(digest);
        for _ in 0..TRIES {
            let generation = match store.get(&SPACE, &object(&digest)).await? {
                Some(entry) => decode::<Living>(&entry.value)?.generation,
                None => {
                    let generation = ids.next();
                    let value = encode(&Living { generation })?;
                    let batch = Batch::new();
                    let batch = batch.put(SPACE, object(&digest), value, Precondition::Absent);
                    match store.commit(batch).await {
                        Err(error) if error.kind() == ErrorKind::Conflict => continue,
                        other => other.map(drop)?,
                    }
                    generation
                }
            };
            let blob = Blob { digest, generation };
            // Who refers to it has put it, whole.
            if !self.is_referred_to(store, &digest).await? {
                let path = self.path(&digest, generation);
                let put = self.objects.put(&path, payload.as_bytes().clone().into());
                put.await
                    .map_err(|error| failed("put payload", &digest, error))?;
            }
            return Ok((blob, pin));
        }
        let message = format!("others give up payload {digest} as often as it is put");
        Err(Error::unavailable("put payload", message))
    }

    async fn is_referred_to(&self, store: &dyn Store, digest: &Digest) -> Result<bool> {
        let range = KeyRange::prefix(referrers(digest));
        let page = store.scan(Scan::new(SPACE, range).limit(1)).await?;
        Ok(!page.entries.is_empty())
    }

    pub(super) async fn read(&self, blob: &Blob) -> Result<Bytes> {
        let Blob { digest, generation } = blob;
        let lost = |error| failed("read payload", digest, error);
        let found = self.objects.get(&self.path(digest, *generation)).await;
        let bytes = found.map_err(lost)?.bytes().await.map_err(lost)?;
        let is = Digest::of(&bytes);
        if is != *digest {
            let message = format!("what is kept as payload {digest} is {is}: it was damaged");
            return Err(Error::internal("read payload", message));
        }
        Ok(bytes)
    }

    /// Removes the generation that nobody refers to, if there is one: what `epoch` owns alone.
    pub(super) async fn collect(
        &self,
        store: &dyn Store,
        epoch: Epoch,
        digest: Digest,
    ) -> Result<()> {
        let Some(entry) = store.get(&SPACE, &object(&digest)).await? else {
            return Ok(());
        };
        // Looked for after the version was read: who comes to refer to it changes that.
        if self.is_referred_to(store, &digest).await? || lock(&self.pins).contains_key(&digest) {
            return Ok(());
        }
        let Living { generation } = decode(&entry.value)?;
        let blob = Blob { digest, generation };
        let batch = fenced(Batch::new(), epoch)
            .delete(SPACE, object(&digest), Precondition::At(entry.version))
            .put(
                SPACE,
                grave(&blob),
                encode(&Dead(blob.clone()))?,
                Precondition::Any,
            );
        match store.commit(batch).await {
            // Somebody refers to it, or another owns the queue.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
            Ok(_) => self.bury(store, &blob).await,
        }
    }

    /// Removes the object of a generation that was given up, and then what remembers it.
    async fn bury(&self, store: &dyn Store, blob: &Blob) -> Result<()> {
        let path = self.path(&blob.digest, blob.generation);
        match self.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("remove payload", &blob.digest, error)),
        }
        let batch = Batch::new().delete(SPACE, grave(blob), Precondition::Any);
        store.commit(batch).await.map(drop)
    }

    /// Removes all that nobody refers to, and what a crash kept from being removed.
    pub(super) async fn sweep(&self, store: &dyn Store, epoch: Epoch) -> Result<()> {
        for entry in entries(store, doomed()).await? {
            let Dead(blob) = decode(&entry.value)?;
            self.bury(store, &blob).await?;
        }
        for entry in entries(store, living()).await? {
            let hex = entry.key.parts().next_back().map(String::from_utf8_lossy);
            let digest = format!("sha256:{}", hex.unwrap_or_default()).parse()?;
            self.collect(store, epoch, digest).await?;
        }
        Ok(())
    }
}

/// What is to be removed from the object store.
#[derive(Debug, Serialize, Deserialize)]
struct Dead(Blob);

impl Stored for Dead {
    const KIND: &'static str = "payload-doomed";
    const VERSION: u32 = 1;
}

fn grave(blob: &Blob) -> Key {
    let digest = doomed().child(blob.digest.hex());
    digest.child(blob.generation.to_string())
}

async fn entries(store: &dyn Store, prefix: Key) -> Result<Vec<Entry>> {
    let (mut range, mut found) = (KeyRange::prefix(prefix), Vec::new());
    loop {
        let page = store.scan(Scan::new(SPACE, range.clone())).await?;
        found.extend(page.entries);
        match found.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => return Ok(found),
        }
    }
}

/// Adds that `id` refers to a payload; the batch fails if it was given up.
pub(super) fn refer(batch: Batch, blob: &Blob, id: InvocationId) -> Result<Batch> {
    let generation = blob.generation;
    let value = encode(&Living { generation })?;
    let referrer = referrers(&blob.digest).child(id.to_string());
    // Written anew, so that whoever is about to give it up sees that it has changed.
    Ok(batch
        .put(
            SPACE,
            object(&blob.digest),
            value.clone(),
            Precondition::Value(value),
        )
        .put(SPACE, referrer, Bytes::new(), Precondition::Any))
}

/// Adds that `id` refers to it no more.
pub(super) fn release(batch: Batch, blob: &Blob, id: InvocationId) -> Batch {
    let referrer = referrers(&blob.digest).child(id.to_string());
    batch.delete(SPACE, referrer, Precondition::Any)
}

fn failed(operation: &'static str, digest: &Digest, error: object_store::Error) -> Error {
    // All that is done here is idempotent.
    let message = format!("payload {digest}: {error}");
    Error::unavailable(operation, message).with_source(error)
}

#[cfg(test)]
mod tests;
