//! `get`, `scan`, changes and outcomes: one statement each, so that each sees one moment.

use bytes::Bytes;
use faas_core::store::{
    BatchId, Change, Committed, Entry, Key, KeyRange, Page, Revision, Scan, Space, Version,
};
use faas_core::{Error, Result};
use tokio_postgres::{Row, types::ToSql};

use crate::pools::Pools;

fn blob(row: &Row, column: usize) -> Bytes {
    row.get::<_, Vec<u8>>(column).into()
}

fn version(number: i64) -> Version {
    Version(number.unsigned_abs())
}

fn revision(row: &Row, column: usize) -> Revision {
    Revision(row.get::<_, i64>(column).unsigned_abs())
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

pub(crate) async fn get(pools: &Pools, space: &Space, key: &Key) -> Result<Option<Entry>> {
    const STATEMENT: &str = "SELECT watched, version, value FROM space LEFT JOIN entry
         ON entry.space = space.id AND entry.key = $2 WHERE space.name = $1";
    let parameters: [&(dyn ToSql + Sync); 2] = [&space.name(), &key.as_bytes()];
    let found = pools.query("get", STATEMENT, &parameters).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    if row.get::<_, bool>(0) != space.is_watched() {
        return Err(declared_otherwise("get", space));
    }
    let written: Option<i64> = row.get(1);
    Ok(written.map(|number| Entry {
        key: key.clone(),
        value: blob(row, 2),
        version: version(number),
    }))
}

/// A range's statement: its bounds and its order, written out so that the index serves them.
fn scan_statement(range: &KeyRange, reverse: bool) -> &'static str {
    macro_rules! scan {
        ($end:literal, $order:literal) => {
            concat!(
                "SELECT watched, revision, found.key, found.version, found.value FROM space
                 LEFT JOIN LATERAL (
                     SELECT key, version, value FROM entry
                     WHERE entry.space = space.id AND key >= $2 AND ",
                $end,
                " ORDER BY key ",
                $order,
                " LIMIT $4
                 ) AS found ON true WHERE space.name = $1 ORDER BY found.key ",
                $order
            )
        };
    }
    match (range.end.is_some(), reverse) {
        (true, false) => scan!("key < $3", ""),
        (true, true) => scan!("key < $3", "DESC"),
        (false, false) => scan!("$3::bytea IS NULL", ""),
        (false, true) => scan!("$3::bytea IS NULL", "DESC"),
    }
}

pub(crate) async fn scan(pools: &Pools, scan: Scan) -> Result<Page> {
    let statement = scan_statement(&scan.range, scan.reverse);
    let (name, start) = (scan.space.name(), scan.range.start.as_bytes());
    let end = scan.range.end.as_ref().map(Key::as_bytes);
    // One more than asked for tells whether there is more.
    let wanted = i64::try_from(scan.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 4] = [&name, &start, &end, &wanted];
    let found = pools.query("scan", statement, &parameters).await?;
    let Some(first) = found.first() else {
        return Ok(Page::default());
    };
    if first.get::<_, bool>(0) != scan.space.is_watched() {
        return Err(declared_otherwise("scan", &scan.space));
    }
    let revision = revision(first, 1);
    let entries = found.iter().filter_map(|row| {
        let key: Vec<u8> = row.get::<_, Option<_>>(2)?;
        Some(Entry {
            key: Key::from_bytes(key),
            version: version(row.get(3)),
            value: blob(row, 4),
        })
    });
    let mut entries: Vec<_> = entries.collect();
    let more = entries.len() > scan.limit;
    entries.truncate(scan.limit);
    Ok(Page {
        entries,
        revision,
        more,
    })
}

/// How many changes a watch takes at a time: more than one commit may have.
const CHANGES: usize = 512;

/// The next changes under `prefix`, whole commits of them, and the revision up to which the space
/// has now been read.
pub(crate) async fn changes(
    pools: &Pools,
    space: &Space,
    prefix: &Key,
    after: Revision,
) -> Result<(Vec<Change>, Revision)> {
    const STATEMENT: &str = "SELECT watched, space.revision, compacted,
             found.revision, found.key, found.version, found.value
         FROM space LEFT JOIN LATERAL (
             SELECT revision, position, key, version, value FROM change
             WHERE change.space = space.id AND revision > $2
                 AND key >= $3 AND ($4::bytea IS NULL OR key < $4)
             ORDER BY revision, position LIMIT $5
         ) AS found ON true
         WHERE space.name = $1 ORDER BY found.revision, found.position";
    let range = KeyRange::prefix(prefix.clone());
    let (name, start) = (space.name(), range.start.as_bytes());
    let end = range.end.as_ref().map(Key::as_bytes);
    let since = i64::try_from(after.0).unwrap_or(i64::MAX);
    let limit = CHANGES as i64;
    let parameters: [&(dyn ToSql + Sync); 5] = [&name, &since, &start, &end, &limit];
    let found = pools.query("watch", STATEMENT, &parameters).await?;
    let Some(first) = found.first() else {
        return Ok((Vec::new(), after));
    };
    if !first.get::<_, bool>(0) {
        return Err(declared_otherwise("watch", space));
    }
    let (last, compacted) = (revision(first, 1), revision(first, 2));
    if after < compacted {
        let message = format!(
            "changes after revision {} are gone; a watch can begin at revision {}",
            after.0, compacted.0
        );
        return Err(Error::compacted("watch", message));
    }
    let mut changes: Vec<_> = found.iter().filter_map(change).collect();
    if changes.len() < CHANGES {
        return Ok((changes, last.max(after)));
    }
    // The last commit may go on behind the limit.
    let cut = changes.last().map(|change| change.revision);
    changes.retain(|change| Some(change.revision) != cut);
    let seen = changes.last().map_or(after, |change| change.revision);
    Ok((changes, seen))
}

fn change(row: &Row) -> Option<Change> {
    let key: Vec<u8> = row.get::<_, Option<_>>(4)?;
    let written: Option<i64> = row.get(5);
    Some(Change {
        revision: revision(row, 3),
        key: Key::from_bytes(key),
        value: written.map(|number| (blob(row, 6), version(number))),
    })
}

/// What is stored of a batch: `None` if nothing, `Some(None)` that it never happens.
pub(crate) async fn outcome(pools: &Pools, id: BatchId) -> Result<Option<Option<Committed>>> {
    const STATEMENT: &str = "SELECT number, written, revisions::text FROM batch WHERE id = $1";
    let bytes = id.0.to_be_bytes();
    let found = pools.query("outcome", STATEMENT, &[&&bytes[..]]).await?;
    found.first().map(stored).transpose()
}

fn stored(row: &Row) -> Result<Option<Committed>> {
    let Some(number) = row.get::<_, Option<i64>>(0) else {
        return Ok(None);
    };
    let (written, revisions): (&str, &str) = (row.get(1), row.get(2));
    let revisions: Vec<(String, u64)> = serde_json::from_str(revisions).map_err(|error| {
        Error::internal("outcome", "a stored outcome has another form").with_source(error)
    })?;
    let wrote = |letter| (letter == 'w').then_some(version(number));
    Ok(Some(Committed {
        versions: written.chars().map(wrote).collect(),
        revisions: revisions
            .into_iter()
            .map(|(space, revision)| (Space::declared(space, true), Revision(revision)))
            .collect(),
    }))
}
