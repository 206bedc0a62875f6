//! What is in the store: found, listed, counted.

use faas_core::encoding::decode;
use faas_core::store::{Key, KeyRange, Page, Scan};
use faas_core::{Error, InvocationId, Payload, Result};

use super::Shared;
use crate::queue::item::{self, Dead, Item, Letter, Place, SPACE};
use crate::queue::{DeadLetter, LetterPage, LetterQuery, Message, QueueId, Queued};

impl Shared {
    pub(in crate::queue) async fn payload(
        &self,
        id: InvocationId,
        content_type: &faas_core::ContentType,
        place: &Place,
    ) -> Result<Payload> {
        match place {
            Place::Nowhere => Ok(Payload::new(bytes::Bytes::new(), content_type.clone())),
            Place::Store => {
                let found = self.store().get(&SPACE, &item::payload(id)).await?;
                let lost = || Error::internal("read queue", format!("the payload of {id} is gone"));
                let found = found.ok_or_else(lost)?;
                Ok(Payload::new(found.value, content_type.clone()))
            }
            Place::Object(blob) => {
                let none = || {
                    let message = format!("the payload of {id} is an object, and there are none");
                    Error::unsupported("read queue", message)
                };
                let payloads = self.parts.payloads.as_ref().ok_or_else(none)?;
                Ok(Payload::new(
                    payloads.read(blob).await?,
                    content_type.clone(),
                ))
            }
        }
    }

    pub(super) async fn find(&self, id: InvocationId) -> Result<Queued> {
        if let Some(entry) = self.store().get(&SPACE, &item::item(id)).await? {
            let item: Item = decode(&entry.value)?;
            return Ok(Queued::Pending {
                accepted: item.accepted,
                failures: item.failures,
                due: item.due,
                last_error: item.last_error,
            });
        }
        let letter = self.store().get(&SPACE, &item::letter(id)).await?;
        let Some(letter) = letter else {
            let message = format!("invocation {id} has ended, or never was");
            return Err(Error::not_found("find queued invocation", message));
        };
        let letter = self.letter(id, decode(&letter.value)?).await?;
        Ok(Queued::Dead(Box::new(letter)))
    }

    async fn letter(&self, id: InvocationId, dead: Dead) -> Result<DeadLetter> {
        let Dead { item, cause, at } = dead;
        Ok(DeadLetter {
            id,
            payload: self.payload(id, &item.content_type, &item.place).await?,
            target: item.target,
            attributes: item.attributes,
            idempotency_key: item.idempotency_key,
            accepted: item.accepted,
            failed: at,
            failures: item.failures,
            cause,
        })
    }

    pub(super) async fn dead_letters(&self, query: LetterQuery) -> Result<LetterPage> {
        let range = KeyRange::prefix(item::letters());
        let range = match query.after {
            Some(after) => range.after(&item::letter(after)),
            None => range,
        };
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let page = self
            .store()
            .scan(Scan::new(SPACE, range).limit(limit))
            .await?;
        let mut letters = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let id = item::id_of(&entry.key)?;
            letters.push(self.letter(id, decode(&entry.value)?).await?);
        }
        let more = page.more;
        Ok(LetterPage { letters, more })
    }

    pub(super) async fn messages(&self, queue: &QueueId, limit: usize) -> Result<Vec<Message>> {
        let range = KeyRange::prefix(item::queue(queue));
        let page = self
            .store()
            .scan(Scan::new(SPACE, range).limit(limit))
            .await?;
        let mut messages = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let id = item::id_of(&entry.key)?;
            let letter: Letter = decode(&entry.value)?;
            messages.push(Message {
                id,
                payload: self
                    .payload(id, &letter.content_type, &letter.place)
                    .await?,
                attributes: letter.attributes,
                at: letter.at,
            });
        }
        Ok(messages)
    }

    /// Calls `each` with all pages under a prefix.
    async fn pages(
        &self,
        prefix: Key,
        mut each: impl FnMut(Page) -> Result<()> + Send,
    ) -> Result<()> {
        let mut range = KeyRange::prefix(prefix);
        loop {
            let page = self.store().scan(Scan::new(SPACE, range.clone())).await?;
            let last = page.entries.last().map(|entry| entry.key.clone());
            let more = page.more;
            each(page)?;
            match last {
                Some(last) if more => range = range.after(&last),
                _ => return Ok(()),
            }
        }
    }

    /// All requests that have not ended. One that cannot be read is left where it is, and told of.
    pub(in crate::queue) async fn requests(&self) -> Result<Vec<(InvocationId, Item)>> {
        let mut found = Vec::new();
        let read = |page: Page| {
            for entry in page.entries {
                let read = item::id_of(&entry.key).and_then(|id| Ok((id, decode(&entry.value)?)));
                match read {
                    Ok(request) => found.push(request),
                    Err(error) => tracing::error!(%error, "a queued request cannot be read"),
                }
            }
            Ok(())
        };
        self.pages(item::items(), read).await?;
        Ok(found)
    }

    /// How many dead letters and messages there are.
    pub(in crate::queue) async fn resting(&self) -> Result<usize> {
        let mut count = 0;
        for prefix in [item::letters(), item::all_messages()] {
            let add = |page: Page| {
                count += page.entries.len();
                Ok(())
            };
            self.pages(prefix, add).await?;
        }
        Ok(count)
    }
}
