//! The crash part of the suite: a child process works on a store and is killed at random points,
//! again and again. Each new life of it says what it finds; the parent compares that with what
//! was acknowledged, which it heard through a pipe and keeps outside of the store.
//!
//! A store takes part with two tests in one binary: one that is the child when it is told so, and
//! one that is the parent.
//!
//! ```no_run
//! # use std::process::Command;
//! # use std::sync::Arc;
//! # use faas_core::store::{MemoryStore, Store};
//! # async fn open(path: &str) -> Arc<dyn Store> { Arc::new(MemoryStore::new()) }
//! use faas_core::store::conformance::crash;
//!
//! # async fn example() {
//! // The child, in a test of the name `child`:
//! if let Ok(path) = std::env::var("CRASH_CHILD") {
//!     crash::work(open(&path).await).await;
//! }
//!
//! // The parent:
//! let lives = crash::survives(100, 7, || {
//!     let mut child = Command::new(std::env::current_exe().expect("this program"));
//!     child.args(["--exact", "child", "--nocapture"]);
//!     child.env("CRASH_CHILD", "/path/of/the/store");
//!     child
//! });
//! println!("{lives:?}");
//! # }
//! ```
//!
//! What must hold after each kill:
//! - what was acknowledged is there, with the version and the revision that were told;
//! - a batch is there as a whole or not at all, each once, in the order of the calls;
//! - what was refused is not there;
//! - what a watch showed is there;
//! - a watch from the last life's end tells of exactly what is there, in order;
//! - versions do not return, and revisions go on rising;
//! - the outcome of a batch that nobody heard of says whether it happened.

mod child;
mod journal;
mod ledger;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::policy::SeededRandom;

pub use child::work;
use journal::{Line, MARK, Question};
use ledger::Ledger;

/// What a run of crashes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lives {
    /// How often the child was killed.
    pub kills: usize,
    /// Batches that were acknowledged.
    pub acknowledged: usize,
    /// Batches that were under way when the child was killed, and had happened.
    pub happened_unheard: usize,
    /// Batches that were under way when the child was killed, and had not happened.
    pub lost_unheard: usize,
}

/// Kills children of `command` `kills` times, at points that `seed` chooses, and checks what the
/// next one finds.
///
/// # Panics
/// When something acknowledged is lost, or another of the rules above does not hold.
pub fn survives(kills: usize, seed: u64, mut command: impl FnMut() -> Command) -> Lives {
    let mut random = SeededRandom::new(seed);
    let mut ledger = Ledger::default();
    for _ in 0..kills {
        life(&mut ledger, &mut command, Some(&mut random));
        ledger.lives.kills += 1;
    }
    // The last kill's outcome is looked at, too.
    life(&mut ledger, &mut command, None);
    ledger.lives
}

/// Starts a child, checks what it finds, and lets it work until it is killed.
fn life(
    ledger: &mut Ledger,
    command: &mut impl FnMut() -> Command,
    random: Option<&mut SeededRandom>,
) {
    let mut child = command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    ask(&mut child, &ledger.question());
    let output = BufReader::new(child.stdout.take().expect("the child's output"));
    let mut lines = output.lines().map_while(Result::ok).filter_map(|line| {
        // Other lines are the test runner's.
        let line = line.split_once(MARK)?.1.to_owned();
        // The last one may have been cut by the kill.
        serde_json::from_str::<Line>(&line).ok()
    });
    let mut ready = false;
    for line in lines.by_ref() {
        ready = matches!(line, Line::Ready);
        ledger.hear(line);
        if ready {
            break;
        }
    }
    if !ready {
        let status = child.wait();
        panic!("the child ended before it was ready: {status:?}");
    }
    ledger.check();
    let mut left = 0;
    if let Some(random) = random {
        left = 1 + random.below(120);
        for line in lines.by_ref() {
            left -= u64::from(matches!(line, Line::Done { .. }));
            ledger.hear(line);
            if left == 0 {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(2000)));
    }
    // It may have ended by itself; then it is told below.
    let _ = child.kill();
    let status = child.wait().expect("the child ends");
    assert!(left == 0, "the child ended by itself: {status}");
    for line in lines {
        ledger.hear(line);
    }
}

fn ask(child: &mut Child, question: &Question) {
    let mut input = child.stdin.take().expect("the child's input");
    let mut text = serde_json::to_string(question).expect("a question has a form in JSON");
    text.push('\n');
    input
        .write_all(text.as_bytes())
        .expect("the child reads its question");
}
