//! What is kept: the last changes of each space, the outcomes of the last ten minutes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use faas_core::Monotonic;
use faas_core::store::{OUTCOME_RETENTION, Revision};
use rusqlite::{Connection, OptionalExtension, params};

use crate::queue::Bounds;

/// How often it is marked which batch was the last.
const MARK: Duration = Duration::from_secs(1);
/// How much one transaction removes at least, where so much is too much.
const REMOVED: usize = 512;

/// How much there is. Changes only when a transaction has succeeded.
#[derive(Debug)]
pub(crate) struct Upkeep {
    kept: Bounds,
    /// The number of the last batch.
    number: u64,
    /// The change log of each space.
    logs: HashMap<i64, Bounds>,
    /// Which batch was the last at which time, by this process's own clock: the wall clock may
    /// jump.
    marks: VecDeque<(Monotonic, u64)>,
    /// Outcomes up to this batch are gone.
    pruned: u64,
}

/// What one transaction makes of it.
pub(super) struct Outcome {
    pub(super) number: u64,
    pub(super) revisions: Vec<(String, Revision)>,
    pub(super) logs: Vec<(i64, Bounds)>,
    pub(super) pruned: u64,
    pub(super) now: Monotonic,
}

impl Upkeep {
    /// As it is in the file. What an earlier process left counts as new.
    pub(crate) fn load(
        connection: &Connection,
        kept: Bounds,
        now: Monotonic,
    ) -> rusqlite::Result<Self> {
        let (first, number) = connection.query_row(
            "SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM batch",
            [],
            |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
        )?;
        let mut statement = connection.prepare(&format!("{SIZES} GROUP BY space"))?;
        let logs = statement.query_map([], |row| Ok((row.get(0)?, sizes(row)?)))?;
        Ok(Self {
            kept,
            number,
            logs: logs.collect::<rusqlite::Result<_>>()?,
            marks: VecDeque::from([(now, number)]),
            pruned: first.saturating_sub(1),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The transaction has succeeded.
    pub(super) fn advance(&mut self, outcome: Outcome) -> Vec<(String, Revision)> {
        self.number = outcome.number;
        self.logs.extend(outcome.logs);
        self.pruned = outcome.pruned;
        while self.marks.front().is_some_and(|(_, n)| *n <= self.pruned) {
            self.marks.pop_front();
        }
        let last = self.marks.back().map(|(at, _)| *at);
        if last.is_none_or(|last| outcome.now.since(last) >= MARK) {
            self.marks.push_back((outcome.now, outcome.number));
        }
        outcome.revisions
    }

    /// Removes the oldest commits from the logs that grew over their bounds, but never the last
    /// one. Removes faster than the logs grow, and not much at a time.
    pub(super) fn trim(
        &self,
        connection: &Connection,
        logged: &HashMap<i64, Bounds>,
    ) -> rusqlite::Result<Vec<(i64, Bounds)>> {
        let mut logs = Vec::with_capacity(logged.len());
        for (space, added) in logged {
            let mut size = self.logs.get(space).copied().unwrap_or_default();
            size.items += added.items;
            size.bytes += added.bytes;
            if self.is_over(size) {
                self.trim_space(connection, *space, &mut size, *added)?;
            }
            logs.push((*space, size));
        }
        Ok(logs)
    }

    fn is_over(&self, size: Bounds) -> bool {
        size.items > self.kept.items || size.bytes > self.kept.bytes
    }

    fn trim_space(
        &self,
        connection: &Connection,
        space: i64,
        size: &mut Bounds,
        added: Bounds,
    ) -> rusqlite::Result<()> {
        let mut removed = 0;
        let mut end = None;
        {
            let mut statement = connection.prepare_cached(&format!(
                "{SIZES} WHERE space = ?1
                 AND revision < (SELECT max(revision) FROM change WHERE space = ?1)
                 GROUP BY revision ORDER BY revision"
            ))?;
            let mut rows = statement.query([space])?;
            while self.is_over(*size) && removed < REMOVED.max(2 * added.items) {
                let Some(row) = rows.next()? else {
                    break;
                };
                let commit = sizes(row)?;
                size.items = size.items.saturating_sub(commit.items);
                size.bytes = size.bytes.saturating_sub(commit.bytes);
                removed += commit.items;
                end = Some(row.get(3)?);
            }
        }
        match end {
            Some(end) => remove(connection, space, end),
            None => Ok(()),
        }
    }

    /// Removes outcomes that are old enough, but never the last one. Answers up to which batch.
    pub(super) fn prune(
        &self,
        connection: &Connection,
        number: u64,
        now: Monotonic,
    ) -> rusqlite::Result<u64> {
        let old = |(at, _): &&(Monotonic, u64)| now.since(*at) >= OUTCOME_RETENTION;
        let horizon = self.marks.iter().take_while(old).last();
        let horizon = horizon.map_or(0, |(_, n)| (*n).min(number.saturating_sub(1)));
        let step = (REMOVED as u64).max(2 * number.saturating_sub(self.number));
        let end = horizon.min(self.pruned + step);
        if end <= self.pruned {
            return Ok(self.pruned);
        }
        let mut delete = connection.prepare_cached("DELETE FROM batch WHERE number <= ?1")?;
        delete.execute([end as i64])?;
        Ok(end)
    }

    /// Forgets the changes of a space up to a revision; answers what is left of its log.
    pub(super) fn compact(
        &self,
        connection: &Connection,
        space: &str,
        revision: Revision,
    ) -> rusqlite::Result<Option<(i64, Bounds)>> {
        let found = connection
            .query_row(
                "SELECT id, revision, compacted FROM space WHERE name = ?1",
                [space],
                |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
            )
            .optional()?;
        let Some((id, last, compacted)) = found else {
            return Ok(None);
        };
        let end = i64::try_from(revision.0).unwrap_or(i64::MAX).min(last);
        remove(connection, id, end.max(compacted))?;
        let left = connection.query_row(&format!("{SIZES} WHERE space = ?1"), [id], sizes)?;
        Ok(Some((id, left)))
    }

    /// The compaction has succeeded.
    pub(super) fn compacted(&mut self, left: Option<(i64, Bounds)>) {
        self.logs.extend(left);
    }
}

/// A space, its changes and their bytes, a revision of them.
const SIZES: &str = "SELECT space, count(*),
    coalesce(sum(length(key) + coalesce(length(value), 0)), 0), revision FROM change";

fn sizes(row: &rusqlite::Row<'_>) -> rusqlite::Result<Bounds> {
    let size =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs() as usize);
    Ok(Bounds {
        items: size(1)?,
        bytes: size(2)?,
    })
}

fn remove(connection: &Connection, space: i64, end: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM change WHERE space = ?1 AND revision <= ?2")?
        .execute(params![space, end])?;
    connection
        .prepare_cached("UPDATE space SET compacted = ?2 WHERE id = ?1")?
        .execute(params![space, end])?;
    Ok(())
}
