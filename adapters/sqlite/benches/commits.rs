//! Commits against what the disk alone takes, measured in the same run, in turns: an append of as
//! many bytes and an `fdatasync`, on the same file system.
//!
//! Run it with `cargo bench -p faas-sqlite`.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use faas_core::store::{Batch, Key, Precondition, Space, Store};
use faas_sqlite::SqliteStore;
use rusqlite::Connection;

const WATCHED: Space = Space::watched("watched");
const UNWATCHED: Space = Space::unwatched("unwatched");
const ROUNDS: u64 = 2_000;
const VALUE: usize = 256;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let figures = tokio::spawn(async {
            for space in [UNWATCHED, WATCHED] {
                one_committer(space).await;
            }
            for committers in [8, 64] {
                several(committers).await;
            }
            reads().await;
        });
        figures.await.expect("no figure panics");
    });
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn p50(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Beside the target directory rather than in memory, where `/tmp` may be.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

fn batch(space: Space, committer: u64, n: u64) -> Batch {
    let key = Key::new("bench").number(committer).number(n);
    Batch::new().put(space, key, vec![b'x'; VALUE], Precondition::Absent)
}

struct Raw {
    file: File,
    bytes: Vec<u8>,
}

impl Raw {
    fn new(directory: &tempfile::TempDir, bytes: usize) -> Self {
        let file = File::create(directory.path().join("raw")).expect("a file");
        let bytes = vec![b'x'; bytes];
        Self { file, bytes }
    }

    fn append(&mut self) -> Duration {
        let start = now();
        self.file.write_all(&self.bytes).expect("written");
        self.file.sync_data().expect("synced");
        start.elapsed()
    }
}

/// The latency of one commit after the other.
async fn one_committer(space: Space) {
    let directory = directory();
    let store = SqliteStore::open(directory.path().join("state.db")).await;
    let store = store.expect("a store");
    let mut raw = Raw::new(&directory, batch(space.clone(), 0, 0).bytes());
    let bare = bare(&directory);
    let (mut ours, mut bares, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        limits.push(raw.append());
        bares.push(insert(&bare, n));
        let batch = batch(space.clone(), 0, n);
        let start = now();
        store.commit(batch).await.expect("committed");
        ours.push(start.elapsed());
    }
    let (ours, bare, limit) = (p50(&mut ours), p50(&mut bares), p50(&mut limits));
    let ratio = ours.as_secs_f64() / limit.as_secs_f64();
    let name = space.name();
    println!(
        "durable_commit/{name} ratio={ratio:.2} p50={ours:.1?} limit_p50={limit:.1?} \
         sqlite_alone_p50={bare:.1?}"
    );
}

/// One table, on the caller's own thread: what SQLite itself takes.
fn bare(directory: &tempfile::TempDir) -> Connection {
    let connection = Connection::open(directory.path().join("bare.db")).expect("a database");
    let setup = "PRAGMA journal_mode = wal; PRAGMA synchronous = full;
        CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB)";
    connection.execute_batch(setup).expect("a table");
    connection
}

fn insert(connection: &Connection, n: u64) -> Duration {
    let key = Key::new("bench").number(n);
    let start = now();
    let mut insert = connection
        .prepare_cached("INSERT INTO entry VALUES (?1, ?2)")
        .expect("a statement");
    let row = rusqlite::params![key.as_bytes(), vec![b'x'; VALUE]];
    insert.execute(row).expect("inserted");
    start.elapsed()
}

/// How many commits share a sync when several wait.
async fn several(committers: u64) {
    let directory = directory();
    let store = SqliteStore::open(directory.path().join("state.db")).await;
    let store = store.expect("a store");
    let mut raw = Raw::new(&directory, batch(UNWATCHED, 0, 0).bytes());
    let mut limits: Vec<_> = (0..ROUNDS).map(|_| raw.append()).collect();
    let start = now();
    let tasks: Vec<_> = (0..committers)
        .map(|committer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..ROUNDS / 4 {
                    let batch = batch(UNWATCHED, committer, n);
                    store.commit(batch).await.expect("committed");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a committer");
    }
    let elapsed = start.elapsed();
    let statistics = store.statistics();
    let per_sync = statistics.commits as f64 / statistics.transactions as f64;
    let rate = statistics.commits as f64 / elapsed.as_secs_f64();
    let limit = 1.0 / p50(&mut limits).as_secs_f64();
    println!(
        "durable_commit_{committers} commits_per_sync={per_sync:.1} commits_per_second={rate:.0} \
         raw_syncs_per_second={limit:.0}"
    );
}

/// A read beside a writer that never rests, and one without.
async fn reads() {
    let directory = directory();
    let store = SqliteStore::open(directory.path().join("state.db")).await;
    let store = store.expect("a store");
    store
        .commit(batch(UNWATCHED, 0, 0))
        .await
        .expect("committed");
    let key = Key::new("bench").number(0).number(0);
    let measure = async || {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = now();
            store.get(&UNWATCHED, &key).await.expect("a read");
            times.push(start.elapsed());
        }
        p50(&mut times)
    };
    let alone = measure().await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 1.. {
                store
                    .commit(batch(UNWATCHED, 0, n))
                    .await
                    .expect("committed");
            }
        })
    };
    let beside = measure().await;
    writer.abort();
    println!("get p50={alone:.1?} beside_a_writer_p50={beside:.1?}");
}
