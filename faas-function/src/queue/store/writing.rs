//! What is put into the store: requests, and what they come to.

use std::time::Duration;

use faas_core::encoding::{decode, encode};
use faas_core::store::{Batch, Precondition};
use faas_core::{Error, ErrorKind, Invocation, InvocationId, Payload, Result, Retry};

use super::{Shared, taken};
use crate::backoff::Backoff;
use crate::queue::item::{self, Dead, Item, Letter, Place, SPACE};
use crate::queue::owner::{self, Epoch};
use crate::queue::payloads::{self, Pin};
use crate::queue::{Destination, QueueSettings, reasons};

/// How old an estimate of what is kept may be.
const ESTIMATE: Duration = Duration::from_secs(1);
/// How often a write that may have happened is tried again before the caller is told.
const TRIES: u32 = 5;

/// What came of a write of the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Written {
    Done,
    /// Another queue owns the requests.
    Fenced,
}

impl Shared {
    /// Makes room for one more.
    pub(super) async fn reserve(&self) -> Result<()> {
        if self.is_owner() || self.options.exclusive {
            return self.core().reserve();
        }
        // The owner counts; this one must look.
        let now = self.now();
        let known = *self.estimate();
        let kept = match known {
            Some((at, kept)) if now.since(at) < ESTIMATE => kept,
            _ => self.requests().await?.len() + self.resting().await?,
        };
        let at = known.map_or(now, |(at, _)| at);
        let at = if now.since(at) < ESTIMATE { at } else { now };
        *self.estimate() = Some((at, kept + 1));
        if kept >= self.options.capacity {
            let message =
                format!("{kept} requests, dead letters and messages are kept, which is the bound");
            return Err(Error::exhausted("submit", message).with_retry_after(ESTIMATE));
        }
        Ok(())
    }

    fn estimate(&self) -> std::sync::MutexGuard<'_, Option<(faas_core::Monotonic, usize)>> {
        let estimate = self.estimate.lock();
        estimate.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Gives room back.
    fn unreserve(&self) {
        self.core().release(1);
    }

    /// Stores a request for which there is room.
    pub(super) async fn take(
        &self,
        invocation: Invocation,
        settings: QueueSettings,
    ) -> Result<InvocationId> {
        let (id, payload) = (invocation.id, invocation.payload.clone());
        let mut item = self.item(invocation, settings);
        let stored = self.store_new(id, &mut item, payload).await;
        match &stored {
            Ok(true) => {
                self.explain(id, taken(&item));
                self.arrived(id, &item);
            }
            Ok(false) => self.unreserve(),
            Err(error) => {
                self.unreserve();
                if error.retry() == Retry::Ambiguous {
                    // It may be there: whoever owns the requests must look.
                    self.rescan
                        .store(true, std::sync::atomic::Ordering::Release);
                    self.changed.notify_one();
                }
            }
        }
        stored.map(|_| id)
    }

    fn item(&self, invocation: Invocation, settings: QueueSettings) -> Item {
        let now = self.parts.clock.wall();
        let deadline = invocation.deadline.map(|at| at.since(self.now()));
        let age = deadline.map_or(settings.max_age, |left| left.min(settings.max_age));
        let key = invocation.idempotency_key;
        Item {
            place: Place::Nowhere,
            content_type: invocation.payload.content_type().clone(),
            target: Destination::Function(invocation.function),
            attributes: invocation.attributes,
            caller: invocation.caller,
            trace: invocation
                .trace
                .is_present()
                .then(|| invocation.trace.to_string()),
            idempotency_key: key.unwrap_or_else(|| invocation.id.to_string().into()),
            accepted: now,
            expires: now.checked_add(age).unwrap_or(jiff::Timestamp::MAX),
            failures: 0,
            refusals: 0,
            due: None,
            last_error: None,
            hops: 0,
            settings,
        }
    }

    /// `false` if it is there already.
    async fn store_new(&self, id: InvocationId, item: &mut Item, payload: Payload) -> Result<bool> {
        let mut tries = 0;
        loop {
            // Anew each time: a place in the object store may have been given up by others.
            let placed = self.place(payload.clone()).await?;
            item.place = placed.place.clone();
            let batch = put_item(Batch::new(), id, item, Precondition::Absent)?;
            let batch = self.ring(placed.put(batch, id)?, id);
            match self.store().commit(batch).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let key = item::item(id);
                    if self.store().get(&SPACE, &key).await?.is_some() {
                        // Or an earlier try of this very call, and then it is known to nobody yet.
                        return Ok(tries > 0);
                    }
                    if tries >= TRIES {
                        return Err(error);
                    }
                }
                Err(error) if error.retry() == Retry::Ambiguous && tries < TRIES => {}
                Err(error) => return Err(error),
            }
            tries += 1;
            let pause = self.now() + Backoff::after(tries);
            self.parts.clock.sleep_until(pause).await;
        }
    }

    /// Finds a place for a payload; one in the object store is there when this answers.
    pub(in crate::queue) async fn place(&self, payload: Payload) -> Result<Placed> {
        let (place, pin) = match &self.parts.payloads {
            _ if payload.is_empty() => (Place::Nowhere, None),
            Some(payloads) if payloads.takes(&payload) => {
                let put = payloads.put(self.store(), &self.parts.ids, &payload);
                let (blob, pin) = put.await?;
                (Place::Object(blob), Some(pin))
            }
            _ => (Place::Store, None),
        };
        Ok(Placed {
            place,
            payload,
            _pin: pin,
        })
    }

    /// A payload is named by one thing less: if by none any more, it is removed later.
    pub(in crate::queue) fn freed(&self, place: &Place) {
        if let Place::Object(blob) = place {
            self.loose().push(blob.digest);
            self.changed.notify_one();
        }
    }

    pub(super) async fn redrive(&self, id: InvocationId) -> Result<()> {
        let gone = || Error::not_found("redrive", format!("there is no dead letter {id}"));
        let entry = self.store().get(&SPACE, &item::letter(id)).await?;
        let Dead { mut item, .. } = decode(&entry.as_ref().ok_or_else(gone)?.value)?;
        let now = self.parts.clock.wall();
        (item.accepted, item.due, item.failures, item.refusals) = (now, None, 0, 0);
        let expires = now.checked_add(item.settings.max_age);
        item.expires = expires.unwrap_or(jiff::Timestamp::MAX);
        let batch = Batch::new().delete(SPACE, item::letter(id), Precondition::Present);
        let batch = put_item(batch, id, &item, Precondition::Absent)?;
        match self.store().commit(self.ring(batch, id)).await {
            Ok(_) => {
                self.explain(id, reasons::REDRIVEN);
                self.arrived(id, &item);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Err(gone()),
            Err(error) => Err(error),
        }
    }

    /// Writes for the owner, however often it takes: with the request's key as precondition, what
    /// happened once does not happen twice.
    pub(in crate::queue) async fn write(
        &self,
        epoch: Epoch,
        id: InvocationId,
        batch: Batch,
    ) -> Result<Written> {
        let mut next = owner::fenced(batch, epoch);
        let mut backoff = Backoff::default();
        loop {
            let again = next.again();
            match self.store().commit(next).await {
                Ok(_) => return Ok(Written::Done),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    match owner::owns(self.store(), epoch).await {
                        Ok(true) => {
                            let found = self.store().get(&SPACE, &item::item(id)).await?;
                            return match found {
                                // It is gone: an earlier try had happened.
                                None => Ok(Written::Done),
                                Some(_) => Err(error),
                            };
                        }
                        Ok(false) => return Ok(Written::Fenced),
                        Err(error) => tracing::warn!(%error, "a queue cannot read its store"),
                    }
                }
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => tracing::warn!(%error, "a queue cannot write to its store"),
            }
            backoff.pause(&*self.parts.clock).await;
            next = again;
        }
    }

    /// Whether the store can hold a payload.
    pub(in crate::queue) fn holds(&self, payload: &Payload) -> bool {
        let payloads = self.parts.payloads.as_ref();
        if payloads.is_some_and(|payloads| payloads.takes(payload)) {
            return true;
        }
        let limits = self.store().limits();
        // Room for the request beside it.
        payload.len() <= limits.value_bytes && payload.len() + (64 << 10) <= limits.batch_bytes
    }
}

/// A payload that has its place, or will have it with the batch that names it.
#[derive(Debug)]
pub(in crate::queue) struct Placed {
    pub(in crate::queue) place: Place,
    payload: Payload,
    _pin: Option<Pin>,
}

impl Placed {
    /// No payload.
    pub(in crate::queue) fn nothing(payload: &Payload) -> Self {
        Self {
            place: Place::Nowhere,
            payload: Payload::new(bytes::Bytes::new(), payload.content_type().clone()),
            _pin: None,
        }
    }

    /// Adds what makes the payload that of `id`.
    pub(in crate::queue) fn put(&self, batch: Batch, id: InvocationId) -> Result<Batch> {
        Ok(match &self.place {
            Place::Nowhere => batch,
            Place::Store => {
                let bytes = self.payload.as_bytes().clone();
                batch.put(SPACE, item::payload(id), bytes, Precondition::Any)
            }
            Place::Object(blob) => payloads::refer(batch, blob, id)?,
        })
    }
}

/// Adds what frees the place of a payload.
pub(in crate::queue) fn free(batch: Batch, id: InvocationId, place: &Place) -> Batch {
    match place {
        Place::Nowhere => batch,
        Place::Store => batch.delete(SPACE, item::payload(id), Precondition::Any),
        Place::Object(blob) => payloads::release(batch, blob, id),
    }
}

pub(in crate::queue) fn put_item(
    batch: Batch,
    id: InvocationId,
    item: &Item,
    precondition: Precondition,
) -> Result<Batch> {
    Ok(batch.put(SPACE, item::item(id), encode(item)?, precondition))
}

pub(in crate::queue) fn put_dead(batch: Batch, id: InvocationId, dead: &Dead) -> Result<Batch> {
    Ok(batch.put(SPACE, item::letter(id), encode(dead)?, Precondition::Any))
}

pub(in crate::queue) fn put_letter(
    batch: Batch,
    queue: &crate::queue::QueueId,
    id: InvocationId,
    letter: &Letter,
) -> Result<Batch> {
    let key = item::message(queue, id);
    Ok(batch.put(SPACE, key, encode(letter)?, Precondition::Any))
}
