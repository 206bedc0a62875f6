//! What a group asks of the database and writes to it, column by column: one statement a table,
//! however large the group.

use std::collections::{BTreeMap, HashMap};

use faas_core::store::batch::Effect;
use faas_core::store::{Batch, Committed, Key, Precondition};
use sha2::{Digest, Sha256};
use tokio_postgres::types::ToSql;

use super::judge::{Happened, Logged, Place, Writes};

const PUT: &str = "INSERT INTO entry (space, key, version, value)
     SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bigint[], $4::bytea[])
     ON CONFLICT (space, key) DO UPDATE SET version = excluded.version, value = excluded.value";
const DELETE: &str =
    "DELETE FROM entry USING unnest($1::integer[], $2::bytea[]) AS gone (space, key)
     WHERE entry.space = gone.space AND entry.key = gone.key";
const LOG: &str = "INSERT INTO change (space, revision, position, key, version, value)
     SELECT * FROM unnest($1::integer[], $2::bigint[], $3::integer[], $4::bytea[], $5::bigint[],
         $6::bytea[])";
const RAISE: &str = "UPDATE space SET revision = raised.revision
     FROM unnest($1::integer[], $2::bigint[]) AS raised (id, revision) WHERE space.id = raised.id";
const REMEMBER: &str = "INSERT INTO batch (id, number, written, revisions)
     SELECT id, number, written, revisions::jsonb
     FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[])
         AS happened (id, number, written, revisions)";
const NOTIFY: &str = "SELECT pg_notify($1, revision || ' ' || name)
     FROM unnest($2::bigint[], $3::text[]) AS raised (revision, name)";

type Parameters<'c> = Vec<&'c (dyn ToSql + Sync)>;

/// What a group must lock and read.
#[derive(Default)]
pub(super) struct Wanted {
    /// Locks by number, and whether the group writes under them.
    pub(super) locks: BTreeMap<i64, bool>,
    /// Keys, and whether a precondition asks for the value.
    pub(super) places: BTreeMap<Place, bool>,
    /// Watched spaces that the group may change.
    pub(super) watched: Vec<i32>,
}

impl Wanted {
    pub(super) fn of(schema: &str, batches: &[&Batch], spaces: &HashMap<String, i32>) -> Self {
        let mut wanted = Self::default();
        for operation in batches.iter().flat_map(|batch| batch.operations()) {
            let space = &operation.space;
            let writes = !matches!(operation.effect, Effect::Check);
            let lock = lock(schema, space.name(), &operation.key);
            *wanted.locks.entry(lock).or_default() |= writes;
            let Some(id) = spaces.get(space.name()) else {
                continue;
            };
            let value = matches!(operation.precondition, Precondition::Value(_));
            *wanted
                .places
                .entry((*id, operation.key.clone()))
                .or_default() |= value;
            if writes && space.is_watched() {
                wanted.watched.push(*id);
            }
        }
        wanted.watched.sort_unstable();
        wanted.watched.dedup();
        wanted
    }
}

/// The number of a key's lock, the same in every process.
fn lock(schema: &str, space: &str, key: &Key) -> i64 {
    let mut hash = Sha256::new();
    for part in [
        schema.as_bytes(),
        b"\0",
        space.as_bytes(),
        b"\0",
        key.as_bytes(),
    ] {
        hash.update(part);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// What a group writes.
pub(super) struct Columns<'w> {
    put: Put<'w>,
    deleted: (Vec<i32>, Vec<&'w [u8]>),
    log: Log<'w>,
    raised: Raised<'w>,
    remembered: Remembered,
    channel: &'w str,
}

#[derive(Default)]
struct Put<'w> {
    spaces: Vec<i32>,
    keys: Vec<&'w [u8]>,
    versions: Vec<i64>,
    values: Vec<&'w [u8]>,
}

#[derive(Default)]
struct Log<'w> {
    spaces: Vec<i32>,
    revisions: Vec<i64>,
    positions: Vec<i32>,
    keys: Vec<&'w [u8]>,
    versions: Vec<Option<i64>>,
    values: Vec<Option<&'w [u8]>>,
}

#[derive(Default)]
struct Raised<'w> {
    ids: Vec<i32>,
    revisions: Vec<i64>,
    names: Vec<&'w str>,
}

#[derive(Default)]
struct Remembered {
    ids: Vec<Vec<u8>>,
    numbers: Vec<i64>,
    written: Vec<String>,
    revisions: Vec<String>,
}

impl<'w> Columns<'w> {
    pub(super) fn of(writes: &'w Writes, channel: &'w str) -> Self {
        let (mut put, mut deleted) = (Put::default(), (Vec::new(), Vec::new()));
        for ((space, key), value) in &writes.entries {
            match value {
                Some((version, value)) => {
                    put.spaces.push(*space);
                    put.keys.push(key.as_bytes());
                    put.versions.push(version.0 as i64);
                    put.values.push(value);
                }
                None => {
                    deleted.0.push(*space);
                    deleted.1.push(key.as_bytes());
                }
            }
        }
        let mut raised = Raised::default();
        for (name, (id, revision)) in &writes.revisions {
            raised.ids.push(*id);
            raised.revisions.push(*revision as i64);
            raised.names.push(name);
        }
        Self {
            put,
            deleted,
            log: Log::of(&writes.changes),
            raised,
            remembered: Remembered::of(&writes.happened),
            channel,
        }
    }

    /// The statements that have something to do, and their parameters.
    pub(super) fn statements(&self) -> Vec<(&'static str, Parameters<'_>)> {
        let (put, log, raised) = (&self.put, &self.log, &self.raised);
        let mut needed: Vec<(_, Parameters<'_>)> = Vec::new();
        if !put.spaces.is_empty() {
            let columns: Parameters<'_> = vec![&put.spaces, &put.keys, &put.versions, &put.values];
            needed.push((PUT, columns));
        }
        if !self.deleted.0.is_empty() {
            needed.push((DELETE, vec![&self.deleted.0, &self.deleted.1]));
        }
        if !log.spaces.is_empty() {
            let columns: Parameters<'_> = vec![
                &log.spaces,
                &log.revisions,
                &log.positions,
                &log.keys,
                &log.versions,
                &log.values,
            ];
            needed.push((LOG, columns));
            needed.push((RAISE, vec![&raised.ids, &raised.revisions]));
            needed.push((
                NOTIFY,
                vec![&self.channel, &raised.revisions, &raised.names],
            ));
        }
        let happened = &self.remembered;
        let columns: Parameters<'_> = vec![
            &happened.ids,
            &happened.numbers,
            &happened.written,
            &happened.revisions,
        ];
        needed.push((REMEMBER, columns));
        needed
    }
}

impl<'w> Log<'w> {
    fn of(changes: &'w [Logged]) -> Self {
        let mut log = Self::default();
        for change in changes {
            let (space, key) = &change.place;
            let value = change.value.as_ref();
            log.spaces.push(*space);
            log.revisions.push(change.revision as i64);
            log.positions.push(change.position);
            log.keys.push(key.as_bytes());
            log.versions
                .push(value.map(|(version, _)| version.0 as i64));
            log.values.push(value.map(|(_, value)| &value[..]));
        }
        log
    }
}

impl Remembered {
    fn of(happened: &[Happened]) -> Self {
        let mut remembered = Self::default();
        for batch in happened {
            let versions = batch.committed.versions.iter();
            let letters = versions.map(|v| if v.is_some() { 'w' } else { '-' });
            remembered.ids.push(batch.id.0.to_be_bytes().to_vec());
            remembered.numbers.push(batch.number as i64);
            remembered.written.push(letters.collect());
            remembered.revisions.push(revisions(&batch.committed));
        }
        remembered
    }
}

/// The revisions of a batch as JSON. Names have no character that JSON cannot hold.
fn revisions(committed: &Committed) -> String {
    let revisions = committed.revisions.iter();
    let pairs = revisions.map(|(space, revision)| (space.name(), revision.0));
    serde_json::Value::from_iter(pairs.map(|(name, revision)| {
        serde_json::Value::from_iter([serde_json::Value::from(name), revision.into()])
    }))
    .to_string()
}
