//! One commit after the other on SQLite, each durable when it is answered.
//!
//! Its limit is a raw append of as many bytes and an `fdatasync`, on the same file system.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use faas::core::store::{Batch, Key, Precondition, Space, Store};
use faas::sqlite::SqliteStore;
use tempfile::TempDir;

use crate::Figure;
use crate::measure::{Bench, Samples, now};

pub(crate) const FIGURE: Figure = Figure {
    name: "durable_commit",
    about: "durable commit of one committer, against a raw append and fdatasync",
    reach: Some(1.5),
    rounds: 2000,
    run,
};

const SPACE: Space = Space::unwatched("bench");
const VALUE: usize = 256;

/// Beside the target directory rather than in memory, where `/tmp` may be.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

pub(crate) async fn store(directory: &TempDir) -> SqliteStore {
    let store = SqliteStore::open(directory.path().join("state.sqlite")).await;
    store.expect("a store")
}

pub(crate) fn batch(committer: u64, n: u64) -> Batch {
    let key = Key::new("bench").number(committer).number(n);
    Batch::new().put(SPACE, key, vec![b'x'; VALUE], Precondition::Absent)
}

/// A file that is appended to and synced.
pub(crate) struct Raw(File);

impl Raw {
    pub(crate) fn new(directory: &TempDir) -> Self {
        Self(File::create(directory.path().join("raw")).expect("a file"))
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Duration {
        let start = now();
        self.0.write_all(bytes).expect("written");
        self.0.sync_data().expect("synced");
        start.elapsed()
    }
}

fn run(bench: &Bench) -> Samples {
    let rounds = bench.rounds();
    bench.run(async move {
        let directory = directory();
        let store = store(&directory).await;
        let mut raw = Raw::new(&directory);
        let bytes = vec![b'x'; batch(0, 0).bytes()];
        let mut samples = Samples::default();
        for round in rounds {
            samples.limit.push(raw.append(&bytes));
            let batch = batch(0, round as u64);
            let start = now();
            store.commit(batch).await.expect("committed");
            samples.ours.push(start.elapsed());
        }
        samples
    })
}
