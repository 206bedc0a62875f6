//! One transaction: each batch judged by itself, then applied.

use std::collections::HashMap;

use bytes::Bytes;
use faas_core::store::batch::Effect;
use faas_core::store::{Batch, Committed, Key, Operation, Precondition, Revision, Space, Version};
use faas_core::{Error, Monotonic, Result};
use rusqlite::{Connection, OptionalExtension, params};

use super::upkeep::{Outcome, Upkeep};
use crate::queue::Bounds;

/// What came of one batch, if SQLite itself did not fail.
type Verdict = rusqlite::Result<Result<Committed>>;

/// A space as the transaction sees it.
struct Row {
    id: i64,
    watched: bool,
    revision: u64,
    raised: bool,
}

pub(super) struct Turn<'c> {
    connection: &'c Connection,
    upkeep: &'c Upkeep,
    wall: i64,
    /// The number of the last batch that was applied.
    number: u64,
    spaces: HashMap<String, Row>,
    /// What the turn added to each space's log.
    logged: HashMap<i64, Bounds>,
}

impl<'c> Turn<'c> {
    pub(super) fn new(connection: &'c Connection, upkeep: &'c Upkeep, wall: i64) -> Self {
        Self {
            connection,
            upkeep,
            wall,
            number: upkeep.number(),
            spaces: HashMap::new(),
            logged: HashMap::new(),
        }
    }

    /// Judges the whole batch, and only then writes.
    pub(super) fn batch(&mut self, batch: &Batch) -> Verdict {
        for operation in batch.operations() {
            if let Err(error) = self.judge(operation)? {
                return Ok(Err(error));
            }
        }
        let number = self.number + 1;
        let mut committed = Committed::default();
        for (position, operation) in batch.operations().iter().enumerate() {
            let version = self.apply(operation, number, position, &mut committed)?;
            committed.versions.push(version);
        }
        self.record(batch, number, &committed)?;
        self.number = number;
        Ok(Ok(committed))
    }

    /// The last part of the transaction: the spaces' revisions, and what need not be kept.
    pub(super) fn finish(self, now: Monotonic) -> rusqlite::Result<Outcome> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE space SET revision = ?2 WHERE id = ?1")?;
        let mut revisions = Vec::new();
        for (name, row) in self.spaces {
            if row.raised {
                update.execute(params![row.id, row.revision as i64])?;
                revisions.push((name, Revision(row.revision)));
            }
        }
        let logs = self.upkeep.trim(self.connection, &self.logged)?;
        let pruned = self.upkeep.prune(self.connection, self.number, now)?;
        Ok(Outcome {
            number: self.number,
            revisions,
            logs,
            pruned,
            now,
        })
    }

    fn judge(&mut self, operation: &Operation) -> rusqlite::Result<Result<()>> {
        let space = &operation.space;
        let row = match operation.effect {
            Effect::Put(_) => Some(self.made_space(space)?),
            _ => self.space(space)?,
        };
        if let Some(row) = row
            && row.watched != space.is_watched()
        {
            return Ok(Err(declared_otherwise("commit", space)));
        }
        let id = row.map(|row| row.id);
        if matches!(operation.precondition, Precondition::Any) {
            return Ok(Ok(()));
        }
        let entry = match id {
            Some(id) => self.entry(id, &operation.key, &operation.precondition)?,
            None => None,
        };
        let seen = entry.as_ref().map(|(value, version)| (value, *version));
        if operation.precondition.holds(seen) {
            return Ok(Ok(()));
        }
        Ok(Err(operation.conflict(entry.is_some())))
    }

    /// The entry as a precondition needs it: few ask for the value.
    fn entry(
        &self,
        space: i64,
        key: &Key,
        precondition: &Precondition,
    ) -> rusqlite::Result<Option<(Bytes, Version)>> {
        let query = match precondition {
            Precondition::Value(_) => {
                "SELECT version, value FROM entry WHERE space = ?1 AND key = ?2"
            }
            _ => "SELECT version, x'' FROM entry WHERE space = ?1 AND key = ?2",
        };
        self.connection
            .prepare_cached(query)?
            .query_row(params![space, key.as_bytes()], |row| {
                let value = crate::readers::blob(row, 1)?;
                Ok((value, Version(row.get::<_, i64>(0)? as u64)))
            })
            .optional()
    }

    /// Answers the new version of the key, if it was written.
    fn apply(
        &mut self,
        operation: &Operation,
        number: u64,
        position: usize,
        committed: &mut Committed,
    ) -> rusqlite::Result<Option<Version>> {
        let (space, key) = (&operation.space, operation.key.as_bytes());
        let value = match &operation.effect {
            Effect::Put(value) => {
                let id = self.made_space(space)?.id;
                let mut put = self.connection.prepare_cached(
                    "INSERT INTO entry (space, key, version, value) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (space, key)
                     DO UPDATE SET version = excluded.version, value = excluded.value",
                )?;
                put.execute(params![id, key, number as i64, &value[..]])?;
                Some(value)
            }
            Effect::Delete => {
                let Some(row) = self.space(space)? else {
                    return Ok(None);
                };
                let id = row.id;
                let mut delete = self
                    .connection
                    .prepare_cached("DELETE FROM entry WHERE space = ?1 AND key = ?2")?;
                if delete.execute(params![id, key])? == 0 {
                    return Ok(None);
                }
                None
            }
            _ => return Ok(None),
        };
        let version = value.map(|_| Version(number));
        if space.is_watched() {
            self.log(space, key, version, value, position, committed)?;
        }
        Ok(version)
    }

    /// Adds to the change log of a watched space.
    fn log(
        &mut self,
        space: &Space,
        key: &[u8],
        version: Option<Version>,
        value: Option<&Bytes>,
        position: usize,
        committed: &mut Committed,
    ) -> rusqlite::Result<()> {
        let Some(row) = self.spaces.get_mut(space.name()) else {
            return Ok(());
        };
        let revision = committed.revision(space).unwrap_or_else(|| {
            row.revision += 1;
            row.raised = true;
            let revision = Revision(row.revision);
            committed.revisions.push((space.clone(), revision));
            revision
        });
        let logged = self.logged.entry(row.id).or_default();
        logged.items += 1;
        logged.bytes += key.len() + value.map_or(0, Bytes::len);
        let version = version.map(|version| version.0 as i64);
        let value = value.map(|value| &value[..]);
        let mut change = self.connection.prepare_cached(
            "INSERT INTO change (space, revision, position, key, version, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let place = params![
            row.id,
            revision.0 as i64,
            position as i64,
            key,
            version,
            value
        ];
        change.execute(place)?;
        Ok(())
    }

    /// Remembers what came of the batch.
    fn record(&self, batch: &Batch, number: u64, committed: &Committed) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO batch (number, id, committed_at, written, revisions)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let letters = committed.versions.iter();
        let written: String = letters
            .map(|v| if v.is_some() { 'w' } else { '-' })
            .collect();
        let revisions = committed.revisions.iter();
        let revisions: Vec<_> = revisions.map(|(space, r)| (space.name(), r.0)).collect();
        let revisions = serde_json::to_string(&revisions)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let id = batch.id().0.to_be_bytes();
        insert.execute(params![number as i64, id, self.wall, written, revisions])?;
        Ok(())
    }

    fn space(&mut self, space: &Space) -> rusqlite::Result<Option<&Row>> {
        if !self.spaces.contains_key(space.name()) {
            let found = self
                .connection
                .prepare_cached("SELECT id, watched, revision FROM space WHERE name = ?1")?
                .query_row([space.name()], |row| {
                    Ok(Row {
                        id: row.get(0)?,
                        watched: row.get(1)?,
                        revision: row.get::<_, i64>(2)? as u64,
                        raised: false,
                    })
                })
                .optional()?;
            let Some(row) = found else {
                return Ok(None);
            };
            self.spaces.insert(space.name().to_owned(), row);
        }
        Ok(self.spaces.get(space.name()))
    }

    /// The space, which a batch that is refused may leave behind, empty.
    fn made_space(&mut self, space: &Space) -> rusqlite::Result<&Row> {
        if self.space(space)?.is_none() {
            let mut insert = self
                .connection
                .prepare_cached("INSERT INTO space (name, watched) VALUES (?1, ?2)")?;
            insert.execute(params![space.name(), space.is_watched()])?;
        }
        let missing = rusqlite::Error::QueryReturnedNoRows;
        self.space(space)?.ok_or(missing)
    }
}

/// A space is declared alike everywhere; here it was not.
pub(crate) fn declared_otherwise(operation: &'static str, space: &Space) -> Error {
    let (here, there) = match space.is_watched() {
        true => ("watched", "unwatched"),
        false => ("unwatched", "watched"),
    };
    let message = format!(
        "space {} is declared {here}, but it is stored as {there}",
        space.name()
    );
    Error::invalid(operation, message)
}
