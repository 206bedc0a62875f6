//! Watches: woken after the sync, fed from the change log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::store::{Change, Key, KeyRange, Revision, Space, Version};
use faas_core::{Error, Result};
use futures::stream::{self, BoxStream, StreamExt};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use crate::readers::{Read, Readers, blob};

/// How many changes a watch takes at a time, but never half a commit.
const PAGE: usize = 256;
const WATCH: &str = "watch";

/// The last revision of each watched space that may be shown. Ends with the writer, which holds
/// it; watches hold only their receivers.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Option<Revisions>>);

type Revisions = HashMap<String, watch::Sender<Revision>>;

impl Hub {
    pub(crate) fn new(revisions: impl IntoIterator<Item = (String, Revision)>) -> Self {
        let revisions = revisions.into_iter();
        let known = revisions.map(|(space, revision)| (space, watch::Sender::new(revision)));
        Self(Mutex::new(Some(known.collect())))
    }

    /// Wakes the watches of a space.
    pub(crate) fn publish(&self, space: &str, revision: Revision) {
        if let Some(known) = &mut *self.lock() {
            let sender = known.entry(space.to_owned()).or_default();
            sender.send_replace(revision);
        }
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.lock().take();
    }

    fn subscribe(&self, space: &Space) -> Option<watch::Receiver<Revision>> {
        let mut known = self.lock();
        let sender = known.as_mut()?.entry(space.name().to_owned());
        Some(sender.or_default().subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Revisions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes of `space` under `prefix` after revision `after`.
pub(crate) fn watch(
    hub: &Hub,
    readers: Arc<Readers>,
    space: &Space,
    prefix: Key,
    after: Revision,
) -> BoxStream<'static, Result<Change>> {
    let revisions = if space.is_watched() {
        hub.subscribe(space).ok_or_else(|| readers.closed(WATCH))
    } else {
        let message = format!("space {} is declared unwatched", space.name());
        Err(Error::invalid(WATCH, message))
    };
    let revisions = match revisions {
        Ok(revisions) => revisions,
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let watcher = Watcher {
        readers,
        space: space.clone(),
        prefix,
        after,
        revisions,
    };
    stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(changes) => Some((changes.into_iter().map(Ok).collect(), Some(watcher))),
            Err(error) => Some((vec![Err(error)], None)),
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

struct Watcher {
    readers: Arc<Readers>,
    space: Space,
    prefix: Key,
    after: Revision,
    revisions: watch::Receiver<Revision>,
}

impl Watcher {
    /// The next changes under the prefix, once there are any.
    async fn next(&mut self) -> Result<Vec<Change>> {
        loop {
            let after = self.after;
            self.revisions
                .wait_for(|revision| *revision > after)
                .await
                .map_err(|_| self.readers.closed(WATCH))?;
            let (space, prefix) = (self.space.clone(), self.prefix.clone());
            let read = move |connection: &Connection| changes(connection, &space, prefix, after);
            let (changes, seen) = self.readers.read(WATCH, read).await?;
            self.after = seen;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

/// The next changes under `prefix`, and the revision up to which the space has now been read.
fn changes(
    connection: &Connection,
    space: &Space,
    prefix: Key,
    after: Revision,
) -> Read<(Vec<Change>, Revision)> {
    // One transaction: the log is compacted between any two.
    let transaction = connection.unchecked_transaction()?;
    let found = transaction
        .prepare_cached("SELECT id, revision, compacted FROM space WHERE name = ?1")?
        .query_row([space.name()], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((id, last, compacted)) = found else {
        return Ok(Ok((Vec::new(), after)));
    };
    let (last, compacted) = (Revision(last as u64), Revision(compacted as u64));
    if after < compacted {
        let message = format!(
            "changes after revision {} are gone; a watch can begin at revision {}",
            after.0, compacted.0
        );
        return Ok(Err(Error::compacted(WATCH, message)));
    }
    let changes = page(&transaction, id, KeyRange::prefix(prefix), after)?;
    let full = changes.len() >= PAGE;
    let end = changes.last().filter(|_| full);
    let seen = end.map_or(last, |change| change.revision);
    Ok(Ok((changes, seen)))
}

fn page(
    connection: &Connection,
    space: i64,
    range: KeyRange,
    after: Revision,
) -> rusqlite::Result<Vec<Change>> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, key, version, value FROM change
         WHERE space = ?1 AND revision > ?2 AND key >= ?3 AND (?4 IS NULL OR key < ?4)
         ORDER BY revision, position",
    )?;
    let end = range.end.as_ref().map(Key::as_bytes);
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![space, after, range.start.as_bytes(), end])?;
    let mut changes: Vec<Change> = Vec::new();
    while let Some(row) = rows.next()? {
        let revision = Revision(row.get::<_, i64>(0)? as u64);
        let whole = |last: &Change| last.revision < revision;
        if changes.len() >= PAGE && changes.last().is_some_and(whole) {
            break;
        }
        let version: Option<i64> = row.get(2)?;
        let value = version
            .map(|version| Ok::<_, rusqlite::Error>((blob(row, 3)?, Version(version as u64))))
            .transpose()?;
        changes.push(Change {
            revision,
            key: Key::from_bytes(blob(row, 1)?),
            value,
        });
    }
    Ok(changes)
}
