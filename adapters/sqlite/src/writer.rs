//! The one thread that writes.
//!
//! ```text
//! commit() ──▶ queue ──▶ group ──▶ each batch judged, applied ──▶ one sync ──▶ watches, answers
//! ```
//!
//! What waits when the writer is free becomes one group: one transaction, one sync. A batch whose
//! precondition fails is judged before it writes, so it undoes nothing of its neighbours; where
//! SQLite itself refuses a batch, the group is taken back and each batch tried by itself.

mod turn;
mod upkeep;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use faas_core::store::{AmbiguousCommit, BatchId, Committed, Revision};
use faas_core::{Error, Result};
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use self::turn::Turn;
pub(crate) use self::turn::declared_otherwise;
pub(crate) use self::upkeep::Upkeep;
use crate::error::Fault;
use crate::file::DatabaseFile;
use crate::queue::{Request, Submission};
use crate::shared::Shared;

const COMMIT: &str = "commit";
/// How many batches one transaction takes at most, and how many bytes before it takes no more.
const GROUP: usize = 1024;
const GROUP_BYTES: usize = 16 << 20;
/// The log is brought into the database when it has so many pages (of 4 KiB).
const CHECKPOINT: u64 = 1000;

/// A transaction that failed.
enum Failure {
    /// Nothing of it will ever be there; `alone` if it may be a single batch's fault.
    Undone { fault: Fault, alone: bool },
    /// The log may hold it, unsynced.
    InDoubt(Fault),
}

/// A transaction that succeeded.
struct Done {
    verdicts: Vec<Result<Committed>>,
    revisions: Vec<(String, Revision)>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    requests: mpsc::Receiver<Request>,
    upkeep: Upkeep,
    /// Pages in the log after the last commit.
    pages: Arc<AtomicU64>,
    /// Checkpoint at so many pages.
    checkpoint_at: u64,
    /// What the log may hold although it was not acknowledged. While there is any, nothing is
    /// written.
    in_doubt: Vec<BatchId>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut connection: Connection,
        requests: mpsc::Receiver<Request>,
        upkeep: Upkeep,
    ) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicU64::new(0));
        let seen = pages.clone();
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(u64::from(pages.unsigned_abs()), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            shared,
            connection,
            requests,
            upkeep,
            pages,
            checkpoint_at: CHECKPOINT,
            in_doubt: Vec::new(),
        })
    }

    /// Works until it is told to end, or until nobody is left to ask.
    pub(crate) fn run(mut self) {
        let mut next = None;
        while let Some(request) = next.take().or_else(|| self.requests.recv().ok()) {
            match request {
                Request::Commit(first) => {
                    next = self.gather_and_commit(first);
                    self.checkpoint();
                }
                Request::Compact(space, revision, answer, _hold) => {
                    let _ = answer.send(self.compact(space.name(), revision));
                }
                Request::Close => break,
            }
        }
        self.close();
    }

    /// One group: what waits now. Answers the request that ended it, if one did.
    fn gather_and_commit(&mut self, first: Submission) -> Option<Request> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        let mut next = None;
        while group.len() < GROUP && bytes < GROUP_BYTES {
            match self.requests.try_recv() {
                Ok(Request::Commit(submission)) => {
                    bytes = bytes.saturating_add(submission.bytes());
                    group.push(submission);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(group);
        next
    }

    fn commit(&mut self, group: Vec<Submission>) {
        match self.transact(&group) {
            Ok(done) => self.acknowledge(group, done),
            Err(Failure::Undone { alone: true, .. }) if group.len() > 1 => {
                for submission in group {
                    self.commit(vec![submission]);
                }
            }
            Err(Failure::Undone { fault, .. }) => self.refuse(group, fault),
            Err(Failure::InDoubt(fault)) => {
                self.in_doubt = group.iter().map(Submission::id).collect();
                match self.settle() {
                    Ok(()) => self.refuse(group, fault),
                    Err(_) => {
                        tracing::error!(%fault, batches = group.len(), "commits are in doubt");
                        for submission in group {
                            let error = AmbiguousCommit(submission.id()).into_error(&fault);
                            submission.answer(Err(error));
                        }
                    }
                }
            }
        }
    }

    fn acknowledge(&mut self, group: Vec<Submission>, done: Done) {
        let shared = &self.shared;
        let commits = done.verdicts.iter().filter(|verdict| verdict.is_ok());
        let commits = commits.count() as u64;
        shared
            .counters
            .commits
            .fetch_add(commits, Ordering::Relaxed);
        if let Err(gone) = shared.file.check_identity() {
            // It is in files that nobody finds again once they are closed.
            for submission in group {
                let error = AmbiguousCommit(submission.id()).into_error(&gone);
                submission.answer(Err(error));
            }
            return;
        }
        for (space, revision) in done.revisions {
            shared.hub.publish(&space, revision);
        }
        for (submission, verdict) in group.into_iter().zip(done.verdicts) {
            if verdict.is_err() {
                shared.refusals.remember(submission.id());
            }
            submission.answer(verdict);
        }
    }

    fn refuse(&self, group: Vec<Submission>, fault: Fault) {
        tracing::warn!(%fault, batches = group.len(), "commits are refused");
        let error = fault.into_error(COMMIT);
        for submission in group {
            self.shared.refusals.remember(submission.id());
            submission.answer(Err(error.clone()));
        }
    }

    /// The whole group in one transaction; nothing of it if that fails.
    fn transact(&mut self, group: &[Submission]) -> Result<Done, Failure> {
        let undone = |fault| Failure::Undone {
            fault,
            alone: false,
        };
        self.settle().map_err(undone)?;
        self.shared.file.check_identity().map_err(undone)?;
        let sqlite = |error| self.shared.file.fault(error);
        self.begin().map_err(|error| undone(sqlite(error)))?;
        let last = group.iter().map(|submission| submission.at).max();
        let (now, wall) = last.unwrap_or_default();
        let mut turn = Turn::new(&self.connection, &self.upkeep, wall.as_millisecond());
        let judged = group.iter().map(|submission| turn.batch(&submission.batch));
        let written = judged
            .collect::<rusqlite::Result<Vec<_>>>()
            .and_then(|verdicts| Ok((verdicts, turn.finish(now)?)));
        let (verdicts, outcome) = match written {
            Ok(written) => written,
            Err(error) if is_repeated(&error) && group.len() == 1 => {
                self.roll_back();
                return Ok(Done {
                    verdicts: vec![Err(repeated(group[0].id()))],
                    revisions: Vec::new(),
                });
            }
            Err(error) => {
                let fault = sqlite(error);
                let alone = !matches!(fault, Fault::Busy { .. });
                self.roll_back();
                return Err(Failure::Undone { fault, alone });
            }
        };
        if verdicts.iter().all(Result::is_err) {
            self.roll_back();
            let revisions = Vec::new();
            return Ok(Done {
                verdicts,
                revisions,
            });
        }
        if let Err(error) = self
            .connection
            .prepare_cached("COMMIT")
            .and_then(|mut s| s.execute([]))
        {
            return Err(self.commit_failed(error));
        }
        self.shared
            .counters
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        let revisions = self.upkeep.advance(outcome);
        Ok(Done {
            verdicts,
            revisions,
        })
    }

    fn begin(&self) -> rusqlite::Result<()> {
        let mut begin = self.connection.prepare_cached("BEGIN IMMEDIATE")?;
        begin.execute([]).map(|_| ())
    }

    /// What is left when COMMIT fails: SQLite writes the log's frames, then syncs them. Without
    /// room for all frames the last one, which makes them count, is not there; after any other
    /// failure it may be.
    fn commit_failed(&self, error: rusqlite::Error) -> Failure {
        let fault = self.shared.file.fault(error);
        self.roll_back();
        match fault {
            Fault::Full { .. } => Failure::Undone { fault, alone: true },
            Fault::Busy { .. } => Failure::Undone {
                fault,
                alone: false,
            },
            fault => Failure::InDoubt(fault),
        }
    }

    /// SQLite may have rolled back by itself.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            tracing::error!(%error, "a failed transaction stays open");
        }
    }

    /// Makes sure that what is in doubt will never be there: brings what counts of the log into
    /// the database, synced, and empties the log, synced.
    fn settle(&mut self) -> Result<(), Fault> {
        if self.in_doubt.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        self.roll_back();
        shared.file.check_identity()?;
        empty_log(&self.connection, &shared.file)?;
        for id in self.in_doubt.drain(..) {
            shared.refusals.remember(id);
        }
        tracing::info!("no commit is in doubt any more");
        Ok(())
    }

    /// Brings the log into the database when it has grown. Readers of old pages keep the log from
    /// beginning anew; then the next attempt comes later.
    fn checkpoint(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.checkpoint_at {
            return;
        }
        let done = self
            .connection
            .wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE);
        let whole = matches!(done, Ok((log, moved)) if log == moved);
        self.checkpoint_at = if whole {
            CHECKPOINT
        } else {
            pages.saturating_mul(2)
        };
        if let Err(error) = done {
            tracing::warn!(%error, pages, "the log could not be brought into the database");
        }
    }

    fn compact(&mut self, space: &str, revision: Revision) -> Result<()> {
        let fault = |error| self.shared.file.fault(error).into_error("compact");
        self.begin().map_err(fault)?;
        let compacted = self
            .upkeep
            .compact(&self.connection, space, revision)
            .and_then(|kept| self.connection.execute_batch("COMMIT").map(|()| kept));
        match compacted {
            Ok(kept) => {
                self.upkeep.compacted(kept);
                Ok(())
            }
            Err(error) => {
                self.roll_back();
                Err(fault(error))
            }
        }
    }

    /// Ends the watches, answers what still comes, closes every connection, the last one last.
    fn close(self) {
        self.shared.hub.close();
        self.shared.readers.close();
        let closed = self.shared.readers.closed(COMMIT);
        while let Ok(request) = self.requests.try_recv() {
            match request {
                Request::Commit(submission) => submission.answer(Err(closed.clone())),
                Request::Compact(_, _, answer, _) => {
                    let _ = answer.send(Err(closed.clone()));
                }
                Request::Close => {}
            }
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::error!(%error, "the database was not closed cleanly");
        }
        self.shared.file.release();
    }
}

/// Brings the whole log into the database and empties it, both lasting.
pub(crate) fn empty_log(connection: &Connection, file: &DatabaseFile) -> Result<(), Fault> {
    let sqlite = |error| file.fault(error);
    connection
        .wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::TRUNCATE)
        .map_err(sqlite)?;
    file.sync_log()
}

/// An error of SQLite's own that means: this batch was submitted before.
fn is_repeated(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn repeated(id: BatchId) -> Error {
    let message = format!("{id:?} was submitted before; submit `again`");
    Error::invalid(COMMIT, message)
}
