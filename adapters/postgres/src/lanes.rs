//! Lanes: each takes a group that nothing is in the way of, commits it, answers, and goes on.

mod columns;
mod judge;
mod transaction;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool_postgres::Object;
use faas_core::store::{AmbiguousCommit, Batch, Space};
use faas_core::{Error, Result};

use self::transaction::{Done, Failure, Target};
use crate::doubt::Doubts;
use crate::error::{is_lost_race, late, postgres};
use crate::pools::Pools;
use crate::queue::{Group, Queue, Submission};
use crate::reads::declared_otherwise;
use crate::watch::Hub;

const COMMIT: &str = "commit";
/// How often a group that lost a race inside the server is tried.
const TRIES: usize = 5;

/// What lanes share with the store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pools: Pools,
    pub(crate) queue: Queue,
    pub(crate) hub: Hub,
    pub(crate) doubts: Doubts,
    pub(crate) schema: String,
    /// The channel of NOTIFY.
    pub(crate) channel: String,
    spaces: Spaces,
}

/// The spaces that are known to be stored: they are never removed.
#[derive(Debug, Default)]
struct Spaces(Mutex<HashMap<String, (i32, bool)>>);

impl Spaces {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (i32, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(crate) fn new(pools: Pools, queue: Queue, schema: String) -> Self {
        Self {
            pools,
            queue,
            hub: Hub::default(),
            doubts: Doubts::default(),
            channel: format!("{schema}_changes"),
            schema,
            spaces: Spaces::default(),
        }
    }

    /// Commits what the queue gives, until it is closed and empty.
    pub(crate) async fn run_lane(self: Arc<Self>) {
        while let Some(group) = self.queue.next().await {
            self.commit(group).await;
        }
    }

    async fn commit(&self, group: Group<'_>) {
        let batches: Vec<&Batch> = group.submissions.iter().map(|s| &s.batch).collect();
        let mut outcomes = vec![self.attempt(&batches).await];
        if batches.len() > 1 && matches!(outcomes[0], Attempt::Undone { alone: true, .. }) {
            // Something is wrong with one of them: it must not spoil the others.
            outcomes.clear();
            for batch in &batches {
                outcomes.push(self.attempt(&[batch]).await);
            }
        }
        let mut submissions = group.finish().into_iter();
        for outcome in outcomes {
            let count = match &outcome {
                Attempt::Done(done) => done.verdicts.len(),
                Attempt::Undone { batches, .. } | Attempt::InDoubt { batches, .. } => *batches,
            };
            self.answer(submissions.by_ref().take(count), outcome);
        }
    }

    fn answer(&self, submissions: impl Iterator<Item = Submission>, outcome: Attempt) {
        match outcome {
            Attempt::Done(done) => {
                for (space, (_, revision)) in done.revisions {
                    self.hub
                        .publish(&space, faas_core::store::Revision(revision));
                }
                for (submission, verdict) in submissions.zip(done.verdicts) {
                    if verdict.is_err() {
                        self.doubts.refused(submission.id());
                    }
                    submission.answer(verdict);
                }
            }
            Attempt::Undone { error, .. } => {
                for submission in submissions {
                    self.doubts.refused(submission.id());
                    submission.answer(Err(error.clone()));
                }
            }
            Attempt::InDoubt { error, .. } => {
                for submission in submissions {
                    self.doubts.ambiguous(submission.id());
                    let error = AmbiguousCommit(submission.id()).into_error(&error);
                    submission.answer(Err(error));
                }
            }
        }
    }

    /// One transaction, again while it loses races inside the server.
    async fn attempt(&self, batches: &[&Batch]) -> Attempt {
        let undone = |error, alone| Attempt::Undone {
            error,
            alone,
            batches: batches.len(),
        };
        for tried in 1.. {
            let client = match self.pools.writer(COMMIT).await {
                Ok(client) => client,
                Err(error) => return undone(error, false),
            };
            match self.on_connection(client, batches).await {
                Ok(done) => return Attempt::Done(done),
                Err(Stopped::InDoubt(error)) => {
                    tracing::warn!(%error, batches = batches.len(), "commits are in doubt");
                    return Attempt::InDoubt {
                        error,
                        batches: batches.len(),
                    };
                }
                Err(Stopped::Refused(error)) => return undone(error, true),
                Err(Stopped::Undone(error)) if is_lost_race(&error) && tried < TRIES => {}
                // Connections of the pool are cut by a restart, and show it when they are used.
                Err(Stopped::Undone(error)) if error.as_db_error().is_none() && tried < TRIES => {}
                Err(Stopped::Undone(error)) => {
                    let alone = error.as_db_error().is_some();
                    return undone(postgres(COMMIT, error), alone);
                }
                Err(Stopped::Late) => return undone(late(COMMIT), false),
            }
        }
        undone(Error::internal(COMMIT, "no attempt was made"), false)
    }

    async fn on_connection(&self, client: Object, batches: &[&Batch]) -> Result<Done, Stopped> {
        let in_doubt = AtomicBool::new(false);
        let work = async {
            let spaces = self.spaces(&client, batches).await?;
            let target = Target {
                client: &client,
                schema: &self.schema,
                channel: &self.channel,
                in_doubt: &in_doubt,
            };
            Ok::<_, Stopped>(target.commit(batches, spaces).await?)
        };
        let done = self.pools.within(COMMIT, work).await;
        let stopped = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(stopped)) => stopped,
            Err(late) if in_doubt.load(Ordering::Relaxed) => Stopped::InDoubt(late),
            Err(_) => Stopped::Late,
        };
        if !matches!(stopped, Stopped::Refused(_)) {
            // Nobody else must meet what is left on it.
            drop(Object::take(client));
        }
        Err(stopped)
    }

    /// The ids of the batches' spaces, made where they are missing.
    async fn spaces(
        &self,
        client: &Object,
        batches: &[&Batch],
    ) -> Result<HashMap<String, i32>, Stopped> {
        let operations = batches.iter().flat_map(|batch| batch.operations());
        let declared: HashSet<&Space> = operations.map(|operation| &operation.space).collect();
        let missing: Vec<&Space> = {
            let known = self.spaces.lock();
            let missing = declared.iter().filter(|s| !known.contains_key(s.name()));
            missing.copied().collect()
        };
        if !missing.is_empty() {
            self.make_spaces(client, &missing).await?;
        }
        let known = self.spaces.lock();
        let mut ids = HashMap::new();
        for space in declared {
            match known.get(space.name()) {
                Some((id, watched)) if *watched == space.is_watched() => {
                    ids.insert(space.name().to_owned(), *id);
                }
                _ => return Err(Stopped::Refused(declared_otherwise(COMMIT, space))),
            }
        }
        Ok(ids)
    }

    async fn make_spaces(&self, client: &Object, missing: &[&Space]) -> Result<(), Stopped> {
        let names: Vec<&str> = missing.iter().map(|space| space.name()).collect();
        let watched: Vec<bool> = missing.iter().map(|space| space.is_watched()).collect();
        let made = async {
            let insert = client
                .prepare_cached(
                    "INSERT INTO space (name, watched)
                     SELECT * FROM unnest($1::text[], $2::boolean[]) ON CONFLICT DO NOTHING",
                )
                .await?;
            client.execute(&insert, &[&names, &watched]).await?;
            let select = "SELECT name, id, watched FROM space WHERE name = ANY ($1)";
            let select = client.prepare_cached(select).await?;
            client.query(&select, &[&names]).await
        };
        let rows = made.await.map_err(Stopped::Undone)?;
        let rows = rows
            .iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2))));
        self.spaces.lock().extend(rows);
        Ok(())
    }
}

/// Why a transaction stopped.
enum Stopped {
    Undone(tokio_postgres::Error),
    Late,
    InDoubt(Error),
    /// The batch itself is wrong.
    Refused(Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Undone(error) => Self::Undone(error),
            Failure::InDoubt(error) => Self::InDoubt(error),
        }
    }
}

/// What an attempt came to.
enum Attempt {
    Done(Done),
    /// Nothing happened; `alone` if one batch may be at fault.
    Undone {
        error: Error,
        alone: bool,
        batches: usize,
    },
    InDoubt {
        error: Error,
        batches: usize,
    },
}
