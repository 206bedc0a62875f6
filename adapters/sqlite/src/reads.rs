//! `get`, `scan` and outcomes: what each reads, in one transaction.

use faas_core::store::{
    BatchId, Committed, Entry, Key, KeyRange, Page, Revision, Scan, Space, Version,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::readers::{Read, blob};
use crate::writer::declared_otherwise;

/// The last revision of each watched space.
pub(crate) fn revisions(connection: &Connection) -> rusqlite::Result<Vec<(String, Revision)>> {
    let mut statement = connection.prepare("SELECT name, revision FROM space WHERE watched")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, Revision(row.get::<_, i64>(1)? as u64)))
    })?;
    rows.collect()
}

fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<Version> {
    Ok(Version(row.get::<_, i64>(column)? as u64))
}

/// One entry.
pub(crate) fn get(connection: &Connection, space: &Space, key: Key) -> Read<Option<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT watched, version, value FROM space
         LEFT JOIN entry ON entry.space = space.id AND entry.key = ?2 WHERE space.name = ?1",
    )?;
    let mut rows = statement.query(params![space.name(), key.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(Ok(None));
    };
    if row.get::<_, bool>(0)? != space.is_watched() {
        return Ok(Err(declared_otherwise("get", space)));
    }
    if row.get::<_, Option<i64>>(1)?.is_none() {
        return Ok(Ok(None));
    }
    Ok(Ok(Some(Entry {
        key,
        version: version(row, 1)?,
        value: blob(row, 2)?,
    })))
}

/// One page of a range.
pub(crate) fn page(connection: &Connection, scan: Scan) -> Read<Page> {
    // One transaction: the revision is that of the entries.
    let transaction = connection.unchecked_transaction()?;
    let found = transaction
        .prepare_cached("SELECT id, watched, revision FROM space WHERE name = ?1")?
        .query_row([scan.space.name()], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, bool>(1)?,
                row.get::<_, i64>(2)? as u64,
            ))
        })
        .optional()?;
    let Some((space, watched, revision)) = found else {
        return Ok(Ok(Page::default()));
    };
    if scan.space.is_watched() != watched {
        return Ok(Err(declared_otherwise("scan", &scan.space)));
    }
    // One more than asked for tells whether there is more.
    let wanted = scan.limit.saturating_add(1);
    let mut entries = entries(&transaction, space, &scan.range, scan.reverse, wanted)?;
    let more = entries.len() > scan.limit;
    entries.truncate(scan.limit);
    Ok(Ok(Page {
        entries,
        revision: Revision(revision),
        more,
    }))
}

fn entries(
    connection: &Connection,
    space: i64,
    range: &KeyRange,
    reverse: bool,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    // The bounds are apart so that each uses the index.
    let query = match (range.end.is_some(), reverse) {
        (true, false) => {
            "SELECT key, version, value FROM entry
             WHERE space = ?1 AND key >= ?2 AND key < ?4 ORDER BY key LIMIT ?3"
        }
        (true, true) => {
            "SELECT key, version, value FROM entry
             WHERE space = ?1 AND key >= ?2 AND key < ?4 ORDER BY key DESC LIMIT ?3"
        }
        (false, false) => {
            "SELECT key, version, value FROM entry
             WHERE space = ?1 AND key >= ?2 AND ?4 IS NULL ORDER BY key LIMIT ?3"
        }
        (false, true) => {
            "SELECT key, version, value FROM entry
             WHERE space = ?1 AND key >= ?2 AND ?4 IS NULL ORDER BY key DESC LIMIT ?3"
        }
    };
    let mut statement = connection.prepare_cached(query)?;
    let end = range.end.as_ref().map(Key::as_bytes);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![space, range.start.as_bytes(), limit, end], |row| {
        Ok(Entry {
            key: Key::from_bytes(blob(row, 0)?),
            version: version(row, 1)?,
            value: blob(row, 2)?,
        })
    })?;
    rows.collect()
}

/// What is stored of a batch.
pub(crate) fn outcome(connection: &Connection, id: BatchId) -> rusqlite::Result<Option<Committed>> {
    let mut statement =
        connection.prepare_cached("SELECT number, written, revisions FROM batch WHERE id = ?1")?;
    let found = statement.query_row([id.0.to_be_bytes()], |row| {
        let (number, written, revisions): (_, String, String) =
            (version(row, 0)?, row.get(1)?, row.get(2)?);
        let revisions: Vec<(String, u64)> = serde_json::from_str(&revisions).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
        })?;
        let revisions = revisions.into_iter();
        Ok(Committed {
            versions: written
                .chars()
                .map(|c| (c == 'w').then_some(number))
                .collect(),
            revisions: revisions
                .map(|(space, r)| (Space::declared(space, true), Revision(r)))
                .collect(),
        })
    });
    found.optional()
}
