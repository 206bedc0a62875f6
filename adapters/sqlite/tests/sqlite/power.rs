//! Power loss: what was not synced may be gone, as a whole or in part, and what was acknowledged
//! must be there all the same.
//!
//! A child works on a store with a library before libc that notes each write and each sync. From
//! the notes this test makes what a power loss at a random point leaves of the files, and opens
//! it. The acknowledgements are in the notes, too, in their order among the writes.

pub(crate) mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use faas_core::SeededRandom;
use faas_core::store::{Batch, Key, KeyRange, Precondition, Revision, Scan, Store};
use faas_sqlite::{Integrity, SqliteStore, Synchronous};
use futures::StreamExt;

use self::disk::{Disk, Kind, Left, Note};
use crate::common::{UNWATCHED, WATCHED};

const WRITERS: u64 = 4;
const BATCHES: u64 = 120;
/// Points at which the power is lost.
const POINTS: usize = 60;
/// Where the child says what was acknowledged and shown; notes of it are not written to the disk.
const HEARD: &str = "heard";

/// What was heard up to a point, by writer: how many batches.
type Heard = BTreeMap<u64, u64>;

#[tokio::test]
async fn what_was_acknowledged_or_shown_survives_power_loss() {
    let Some(notes) = trace("full") else { return };
    let lost = losses(&notes, Syncs::Count, 1).await;
    assert_eq!(lost, 0, "something acknowledged was lost");
}

/// The test above can fail: on a disk whose syncs do nothing it does.
#[tokio::test]
async fn without_syncs_something_is_lost() {
    let Some(notes) = trace("full") else { return };
    let lost = losses(&notes, Syncs::DoNothing, 2).await;
    assert!(lost > 0, "nothing is lost although nothing was synced");
}

/// `Synchronous::Normal` may lose what was acknowledged, as it says; the file stays sound, and
/// what is there is what was there once.
#[tokio::test]
async fn the_weaker_choice_loses_only_the_last() {
    let Some(notes) = trace("normal") else { return };
    let lost = losses(&notes, Syncs::Count, 3).await;
    assert!(lost > 0, "`Normal` promises too little");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syncs {
    Count,
    DoNothing,
}

fn trace(synchronous: &str) -> Option<Vec<Note>> {
    let disk = Disk::new()?;
    let status = disk.run("power::child", synchronous, "");
    assert!(status.success(), "the child: {status}");
    Some(disk.notes())
}

/// How many of the acknowledged or shown batches are gone, over all points. Panics where a file
/// does not open, or holds what never was.
async fn losses(notes: &[Note], syncs: Syncs, seed: u64) -> u64 {
    let mut random = SeededRandom::new(seed);
    let first = notes.iter().position(|note| note.name == HEARD);
    let first = first.expect("something was acknowledged");
    let mut lost = 0;
    for point in 0..POINTS {
        let end = first + 1 + random.below((notes.len() - first) as u64) as usize;
        let mut heard = Heard::new();
        let mut left = Left::default();
        for note in &notes[..end] {
            match (note.name.as_str(), note.kind) {
                (HEARD, Kind::Written) => hear(&mut heard, &note.data),
                (HEARD, _) => {}
                (_, Kind::Synced | Kind::DirectorySynced) if syncs == Syncs::DoNothing => {}
                _ => left.take(note),
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        left.lose_power(directory.path(), &mut random);
        let path = directory.path().join("state.db");
        let builder = SqliteStore::builder(&path).integrity(Integrity::Full);
        let store = match builder.open().await {
            Ok(store) => store,
            // Without syncs even the file may be damaged: that is a loss, too.
            Err(_) if syncs == Syncs::DoNothing => {
                lost += 1;
                continue;
            }
            Err(error) => panic!("point {point}, note {end}: {error}"),
        };
        let there = there(&store).await;
        for (writer, count) in heard {
            let have = there.get(&writer).copied().unwrap_or(0);
            lost += count.saturating_sub(have);
        }
    }
    lost
}

/// A line `writer number`: all batches of the writer up to that number were heard of.
fn hear(heard: &mut Heard, line: &[u8]) {
    let line = std::str::from_utf8(line).expect("text");
    let (writer, number) = line.trim().split_once(' ').expect("two numbers");
    let count = heard.entry(writer.parse().expect("a writer")).or_default();
    *count = (*count).max(number.parse().expect("a number"));
}

/// How many batches of each writer are there: whole ones, without a gap, in both spaces and in the
/// change log.
async fn there(store: &SqliteStore) -> Heard {
    let keys = async |space| {
        let scan = Scan::new(space, KeyRange::all()).limit(10_000);
        let page = store.scan(scan).await.expect("a page");
        let keys = page.entries.into_iter().map(|entry| entry.key);
        (keys.collect::<BTreeSet<_>>(), page.revision)
    };
    let (watched, revision) = keys(WATCHED).await;
    let (unwatched, _) = keys(UNWATCHED).await;
    assert_eq!(watched, unwatched, "half a batch");
    let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
    let changes: Vec<_> = changes.take(revision.0 as usize).collect().await;
    let changed = changes
        .into_iter()
        .map(|change| change.expect("a change").key);
    assert_eq!(changed.collect::<BTreeSet<_>>(), watched, "the change log");
    let mut counts = Heard::new();
    for key in watched {
        let number = |part: Option<&[u8]>| -> u64 {
            let text = std::str::from_utf8(part.expect("a part")).expect("text");
            text.parse().expect("a number")
        };
        let mut parts = key.parts();
        let (writer, number) = (number(parts.next()), number(parts.next()));
        let count = counts.entry(writer).or_default();
        *count += 1;
        assert_eq!(*count, number, "a batch of writer {writer} is missing");
    }
    counts
}

/// Does nothing unless it is the child of the tests above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some((directory, synchronous)) = disk::child() else {
        return;
    };
    let synchronous = match synchronous.as_str() {
        "normal" => Synchronous::Normal,
        _ => Synchronous::Full,
    };
    let builder = SqliteStore::builder(directory.join("state.db")).synchronous(synchronous);
    let store = builder.open().await.expect("a store");
    let heard = Arc::new(disk::Lines::new(&directory.join(HEARD)));
    let seen = {
        let (store, heard) = (store.clone(), heard.clone());
        tokio::spawn(async move {
            let changes = store.watch(&WATCHED, Key::empty(), Revision(0));
            let mut changes = changes.take((WRITERS * BATCHES) as usize);
            while let Some(change) = changes.next().await {
                let key = change.expect("a change").key;
                let parts: Vec<_> = key.parts().map(String::from_utf8_lossy).collect();
                heard.say(&format!("{} {}", parts[0], parts[1]));
            }
        })
    };
    let writers = (0..WRITERS).map(|writer| {
        let (store, heard) = (store.clone(), heard.clone());
        tokio::spawn(async move {
            for n in 1..=BATCHES {
                let key = Key::empty().number(writer).number(n);
                // Large enough that the log is brought into the file several times.
                let value = vec![b'x'; 9000];
                let batch = Batch::new()
                    .put(WATCHED, key.clone(), "v", Precondition::Absent)
                    .put(UNWATCHED, key, value, Precondition::Absent);
                store.commit(batch).await.expect("committed");
                heard.say(&format!("{writer} {n}"));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    seen.await.expect("the watch");
    store.close().await;
}
