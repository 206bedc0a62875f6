//! Letters, in a watched space.

use async_trait::async_trait;
use faas_core::store::{Batch, Change, KeyRange, Precondition, Revision, Scan, Store};
use faas_core::{Error, ErrorKind, ExecutionId, Result, encoding};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::StoreExecutionStore;
use super::keys::{self, MAIL};
use super::stored::StoredLetter;
use crate::execution_store::mailbox::{Letter, Mailbox, SentBack};

#[async_trait]
impl Mailbox for StoreExecutionStore {
    async fn send(&self, letter: Letter) -> Result<()> {
        let key = keys::letter(letter.execution, letter.id);
        let value = encoding::encode(&StoredLetter::Waits(letter.content))?;
        let put = Batch::new().put(MAIL, key.clone(), value, Precondition::Absent);
        let put = self.store.commit(put).await?;
        let mut after = put.revision(&MAIL).unwrap_or_default();
        loop {
            let mut changes = self.store.watch(&MAIL, key.clone(), after);
            match changes.next().await {
                Some(Ok(change)) if change.key == key => match change.value {
                    None => return Ok(()),
                    Some((value, _)) => return Err(self.came_back(&key, &value).await?),
                },
                Some(Ok(change)) => after = change.revision,
                Some(Err(error)) if error.kind() == ErrorKind::Compacted => {
                    let scan = Scan::new(MAIL, KeyRange::prefix(key.clone())).limit(1);
                    let page = self.store.scan(scan).await?;
                    after = page.revision;
                    match page.entries.first().map(|entry| &entry.value) {
                        None => return Ok(()),
                        Some(value) if is_back(value)? => {
                            return Err(self.came_back(&key, value).await?);
                        }
                        Some(_) => {}
                    }
                }
                Some(Err(error)) => return Err(error.with_retry(faas_core::Retry::Ambiguous)),
                None => {
                    let message = "the store watches no longer";
                    let error = Error::unavailable("send to execution", message);
                    return Err(error.with_retry(faas_core::Retry::Ambiguous));
                }
            }
        }
    }

    async fn waiting(&self, execution: ExecutionId) -> Result<Vec<Letter>> {
        let mut range = KeyRange::prefix(keys::letters(execution));
        let mut found = Vec::new();
        loop {
            let page = self.store.scan(Scan::new(MAIL, range.clone())).await?;
            for entry in &page.entries {
                found.extend(letter(&entry.key, &entry.value)?);
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(&last.key),
                _ => return Ok(found),
            }
        }
    }

    fn arrivals(&self) -> BoxStream<'static, Result<Letter>> {
        let store = self.store.clone();
        let start = async move {
            let (found, revision) = all(&*store).await?;
            let waiting = stream::iter(found.into_iter().map(Ok));
            let later = store.watch(&MAIL, keys::all_letters(), revision);
            Ok::<_, Error>(waiting.chain(later.filter_map(async |change| arrived(change))))
        };
        let stream = stream::once(start).flat_map(|started| match started {
            Ok(stream) => stream.boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        stream.boxed()
    }

    async fn send_back(&self, letter: &Letter, reason: SentBack) -> Result<()> {
        let key = keys::letter(letter.execution, letter.id);
        let value = encoding::encode(&StoredLetter::Back(reason))?;
        let back = Batch::new().put(MAIL, key, value, Precondition::Present);
        match self.store.commit(back).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

impl StoreExecutionStore {
    /// Why the letter came back; it is thrown away.
    async fn came_back(&self, key: &faas_core::store::Key, value: &[u8]) -> Result<Error> {
        let away = Batch::new().delete(MAIL, key.clone(), Precondition::Any);
        self.store.commit(away).await?;
        match encoding::decode(value)? {
            StoredLetter::Back(reason) => Ok(reason.into()),
            StoredLetter::Waits(_) => Err(Error::internal("send to execution", "it was changed")),
        }
    }
}

fn is_back(value: &[u8]) -> Result<bool> {
    Ok(matches!(encoding::decode(value)?, StoredLetter::Back(_)))
}

/// The letter that lies there, unless it is on its way back.
fn letter(key: &faas_core::store::Key, value: &[u8]) -> Result<Option<Letter>> {
    let (execution, id) = keys::parse_letter(key)?;
    Ok(match encoding::decode(value)? {
        StoredLetter::Waits(content) => Some(Letter::new(id, execution, content)),
        StoredLetter::Back(_) => None,
    })
}

fn arrived(change: Result<Change>) -> Option<Result<Letter>> {
    match change {
        Ok(change) => {
            let (value, _) = change.value?;
            letter(&change.key, &value).transpose()
        }
        Err(error) => Some(Err(error)),
    }
}

/// All letters that wait, and the revision at which they do.
async fn all(store: &dyn Store) -> Result<(Vec<Letter>, Revision)> {
    let mut range = KeyRange::prefix(keys::all_letters());
    let mut found = Vec::new();
    let mut first = None;
    loop {
        let page = store.scan(Scan::new(MAIL, range.clone())).await?;
        // What changes while later pages are read is seen by the watch, once more at worst.
        let revision = *first.get_or_insert(page.revision);
        for entry in &page.entries {
            found.extend(letter(&entry.key, &entry.value)?);
        }
        match page.entries.last() {
            Some(last) if page.more => range = range.after(&last.key),
            _ => return Ok((found, revision)),
        }
    }
}
