//! A durable platform under load, killed at random moments, again and again: this very program is
//! the victim. What it acknowledged is heard through a pipe and kept outside, and so is what its
//! functions did; each life is compared with that.
//!
//! `FAAS_CRASHES` says how many kills; few by default, for these take a quarter of a second each.

#![cfg(all(
    feature = "sqlite",
    feature = "memory",
    feature = "process",
    target_os = "linux"
))]

mod journal;
mod orphans;
mod victim;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use faas::core::SeededRandom;

use journal::{Journal, Line};

/// Tells the victim its directory.
const DIRECTORY: &str = "FAAS_CRASH_DIRECTORY";
/// Tells the victim that nobody will kill it: it finishes what was begun, and ends.
const LAST: &str = "FAAS_CRASH_LAST";
/// Tells the victim which of all lives it is.
const LIFE: &str = "FAAS_CRASH_LIFE";
/// Tells the victim's lines from the test runner's.
const MARK: &str = "@crash ";
const SEED: &str = "FAAS_CRASH_SEED";

/// A victim, and what it says.
struct Life {
    child: Child,
    lines: mpsc::Receiver<Line>,
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Life {
    fn begin(directory: &Path, life: usize, last: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["victim::victim", "--exact", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        if last {
            command.env(LAST, "1");
        }
        let mut child = command.spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((_, line)) = line.split_once(MARK) else {
                    continue;
                };
                // The last one may have been cut by the kill.
                let Ok(line) = serde_json::from_str(line) else {
                    continue;
                };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Kills it, and takes in what it had said.
    fn kill(mut self, journal: &mut Journal) {
        // SIGKILL: nothing of it can tidy up.
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        assert!(status.code().is_none(), "it ended by itself: {status}");
        while let Ok(line) = self.lines.recv() {
            journal.hear(line);
        }
    }
}

fn kills() -> usize {
    let told = std::env::var("FAAS_CRASHES").ok();
    told.map_or(12, |told| told.parse().expect("FAAS_CRASHES is a number"))
}

/// One life that is killed: while it opens what the last one left, or in the midst of its work.
fn doomed(directory: &Path, n: usize, journal: &mut Journal, random: &mut SeededRandom) {
    let life = Life::begin(directory, n, false);
    if n > 0 && random.below(5) == 0 {
        std::thread::sleep(Duration::from_micros(random.below(200_000)));
    } else {
        loop {
            let line = life.lines.recv_timeout(Duration::from_secs(60));
            let line = line.expect("it gets ready");
            // The first life gets as far as to have its program kept.
            let far = match &line {
                Line::Deployed { name, .. } => n == 0 && name == victim::GUEST,
                line => n > 0 && matches!(line, Line::Ready),
            };
            journal.hear(line);
            if far {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
    }
    life.kill(journal);
    journal.check_life();
    orphans::none(directory, "after a kill");
}

#[test]
fn what_was_acknowledged_survives_any_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let mut random = SeededRandom::new(seed.unwrap_or(4));
    let mut journal = Journal::new(directory.path());
    let kills = kills();
    for n in 0..kills {
        doomed(directory.path(), n, &mut journal, &mut random);
    }
    journal.leave_for_the_last();
    let mut life = Life::begin(directory.path(), kills, true);
    while let Ok(line) = life.lines.recv_timeout(Duration::from_secs(120)) {
        journal.hear(line);
    }
    let status = life.child.wait().expect("it ends");
    assert!(status.success(), "the last life: {status}");
    journal.check_life();
    journal.check_end();
    orphans::none(directory.path(), "after a shutdown");
    orphans::no_sandbox(directory.path());
    println!("{kills} kills: {}", journal.summary());
}
