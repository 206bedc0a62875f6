//! Kills, and looks at what is left.

use std::process::{Command, Stdio};
use std::time::Duration;

use faas_core::policy::SeededRandom;

use crate::{DIRECTORY, judge};

#[test]
fn killed_at_any_point_every_execution_ends_as_if_nothing_had_happened() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = SeededRandom::new(seed);
    let mut judge = judge::Judge::new(directory.path());
    let mut kills = 0;
    loop {
        // From "while it opens the store" to "while most of it runs".
        let patience = Duration::from_millis(20 + random.below(1200));
        let ended = run(directory.path(), patience);
        judge.look();
        if ended {
            break;
        }
        kills += 1;
        assert!(kills < 1000, "it makes no progress");
    }
    println!("{kills} kills; {}", judge.verdict());
}

/// Runs the child until it has done all, or `patience` has passed: then it is killed. A child that
/// was killed often enough is given all the time that it wants.
fn run(directory: &std::path::Path, patience: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::works", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let rounds = judge::rounds(directory);
    if rounds < KILLS {
        std::thread::sleep(patience);
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    // A child that failed by itself found something wrong.
    assert!(
        status.success() || status.code().is_none(),
        "the child failed: {status}"
    );
    status.success()
}

/// How many kills are enough.
const KILLS: usize = 15;
