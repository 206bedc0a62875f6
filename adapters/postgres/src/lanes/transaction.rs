//! One group in one transaction: locks and reads, then all writes and COMMIT.
//!
//! Every key that a group touches is locked, by an advisory lock of its hash, before it is read:
//! also keys that are not there yet, which have no row to lock. Locks are taken in one order
//! everywhere, keys first, then the rows of watched spaces, so that no two groups wait for each
//! other. In READ COMMITTED each statement sees what was committed before it began, thus all that
//! was done under an earlier holder's locks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use faas_core::store::{Batch, Committed, Key, Version};
use faas_core::{Error, Result};
use futures::future::{join, join_all, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::columns::{Columns, Wanted};
use super::judge::{Held, Place, Writes, judge};
use crate::error::{is_refusal, postgres};

const COMMIT: &str = "commit";

const LOCK: &str = "SELECT CASE WHEN writes THEN pg_advisory_xact_lock(lock)
         ELSE pg_advisory_xact_lock_shared(lock) END
     FROM unnest($1::bigint[], $2::boolean[]) AS wanted (lock, writes)";
const REVISIONS: &str = "SELECT id, revision FROM space WHERE id = ANY ($1) ORDER BY id FOR UPDATE";
const ENTRIES: &str =
    "SELECT entry.space, entry.key, version, CASE WHEN wanted.value THEN entry.value END
     FROM unnest($1::integer[], $2::bytea[], $3::boolean[]) AS wanted (space, key, value)
     JOIN entry ON entry.space = wanted.space AND entry.key = wanted.key";
const NUMBERS: &str = "SELECT nextval('batch_number') FROM generate_series(1, $1::bigint)";

/// A group that failed as a whole.
pub(super) enum Failure {
    /// Nothing of it happened.
    Undone(tokio_postgres::Error),
    /// It may have happened.
    InDoubt(Error),
}

/// What a group came to.
pub(super) struct Done {
    pub(super) verdicts: Vec<Result<Committed>>,
    /// The last revision of each watched space that was changed.
    pub(super) revisions: BTreeMap<String, (i32, u64)>,
}

/// Where groups are committed, and by which names.
pub(super) struct Target<'t> {
    pub(super) client: &'t Object,
    pub(super) schema: &'t str,
    pub(super) channel: &'t str,
    /// Set when COMMIT was sent: from then on silence means doubt.
    pub(super) in_doubt: &'t AtomicBool,
}

impl Target<'_> {
    pub(super) async fn commit(
        &self,
        batches: &[&Batch],
        spaces: HashMap<String, i32>,
    ) -> Result<Done, Failure> {
        let held = match self.lock_and_read(batches, spaces).await {
            Ok(held) => held,
            Err(error) => return Err(self.undone(error).await),
        };
        let (verdicts, writes) = judge(held, batches.iter().copied());
        if writes.happened.is_empty() {
            // Nothing was written: whatever comes of this, nothing happened.
            let rolled_back = self.client.batch_execute("ROLLBACK").await;
            rolled_back.map_err(Failure::Undone)?;
        } else {
            self.write_and_commit(&writes).await?;
        }
        Ok(Done {
            verdicts,
            revisions: writes.revisions,
        })
    }

    async fn undone(&self, error: tokio_postgres::Error) -> Failure {
        if let Err(error) = self.client.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "the connection ended with its transaction");
        }
        Failure::Undone(error)
    }

    async fn statements<const N: usize>(
        &self,
        texts: [&str; N],
    ) -> Result<Vec<Statement>, tokio_postgres::Error> {
        let prepared = texts.map(|text| self.client.prepare_cached(text));
        try_join_all(prepared).await
    }

    /// One round trip: the statements are sent together, and each begins when the one before it
    /// has ended.
    async fn lock_and_read(
        &self,
        batches: &[&Batch],
        spaces: HashMap<String, i32>,
    ) -> Result<Held, tokio_postgres::Error> {
        let statements = self.statements([LOCK, REVISIONS, ENTRIES, NUMBERS]).await?;
        let wanted = Wanted::of(self.schema, batches, &spaces);
        let (locks, writes): (Vec<i64>, Vec<bool>) = wanted.locks.into_iter().unzip();
        let (places, values): (Vec<&Place>, Vec<bool>) = wanted
            .places
            .iter()
            .map(|(place, value)| (place, *value))
            .unzip();
        let ids: Vec<i32> = places.iter().map(|(space, _)| *space).collect();
        let keys: Vec<&[u8]> = places.iter().map(|(_, key)| key.as_bytes()).collect();
        let count = batches.len() as i64;
        let parameters: [&[&(dyn ToSql + Sync)]; 4] = [
            &[&locks, &writes],
            &[&wanted.watched],
            &[&ids, &keys, &values],
            &[&count],
        ];
        let queries = statements.iter().zip(parameters);
        let queries = join_all(queries.map(|(s, p)| self.client.query(s, p)));
        let (begun, answers) = join(self.client.batch_execute("BEGIN"), queries).await;
        begun?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let [_, revisions, entries, numbers] = answers.as_slice() else {
            return Ok(Held::default());
        };
        let number = |row: &Row, column| row.get::<_, i64>(column).unsigned_abs();
        Ok(Held {
            spaces,
            revisions: revisions
                .iter()
                .map(|row| (row.get(0), number(row, 1)))
                .collect(),
            entries: entries
                .iter()
                .map(|row| {
                    let key = Key::from_bytes(row.get::<_, Vec<u8>>(1));
                    let value = row.get::<_, Option<Vec<u8>>>(3).unwrap_or_default();
                    let held = (Version(number(row, 2)), value.into());
                    ((row.get(0), key), held)
                })
                .collect(),
            numbers: numbers.iter().map(|row| number(row, 0)).collect(),
        })
    }

    /// One round trip, too.
    async fn write_and_commit(&self, writes: &Writes) -> Result<(), Failure> {
        let columns = Columns::of(writes, self.channel);
        let needed = columns.statements();
        let prepared = needed
            .iter()
            .map(|(text, _)| self.client.prepare_cached(text));
        let prepared = match try_join_all(prepared).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.undone(error).await),
        };
        let executions = prepared.iter().zip(&needed);
        let executions = executions.map(|(s, (_, parameters))| self.client.query(s, parameters));
        self.in_doubt.store(true, Ordering::Relaxed);
        let written = join_all(executions);
        let (written, committed) = join(written, self.client.batch_execute("COMMIT")).await;
        let failed = written.into_iter().find_map(Result::err);
        // COMMIT of a failed transaction succeeds, and rolls it back.
        match (failed, committed) {
            (None, Ok(())) => Ok(()),
            (Some(error), _) if error.as_db_error().is_some() => {
                // Refused, or the session ended, before COMMIT was reached.
                self.in_doubt.store(false, Ordering::Relaxed);
                Err(Failure::Undone(error))
            }
            (None, Err(error)) if is_refusal(&error) => {
                self.in_doubt.store(false, Ordering::Relaxed);
                Err(Failure::Undone(error))
            }
            (Some(error), _) | (None, Err(error)) => Err(Failure::InDoubt(postgres(COMMIT, error))),
        }
    }
}
