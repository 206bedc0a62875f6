//! The child: says what it finds, then works until it is killed.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::journal::{Came, KEPT, Line, MARK, Question, WRITERS};
use crate::error::Retry;
use crate::store::{
    Batch, BatchId, BatchOutcome, Committed, Entry, Key, KeyRange, Precondition, Revision, Scan,
    Space, Store,
};

const WATCHED: Space = Space::watched("crash-watched");
const UNWATCHED: Space = Space::unwatched("crash-unwatched");

/// What the child process does with its store: answers the parent's question, which it reads from
/// its standard input, then commits and watches for as long as the parent listens.
///
/// # Panics
/// When a store that should be healthy fails; the parent takes that as a failure.
pub async fn work(store: Arc<dyn Store>) {
    let question = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        std::io::stdin()
            .read_line(&mut text)
            .expect("the parent asks");
        serde_json::from_str::<Question>(&text).expect("a question")
    });
    let question = question.await.expect("it reads");
    let (revision, counters) = find(&*store, question).await;
    say(&Line::Ready);
    tokio::spawn(watch(store.clone(), revision));
    let writers = (0..WRITERS).map(|writer| {
        let counter = counters[writer as usize].clone();
        tokio::spawn(write(store.clone(), writer, counter))
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await.expect("a writer goes on for ever");
    }
}

/// One line, whole. Nobody listens: the parent is gone, and so is this process's purpose.
fn say(line: &Line) {
    let text = serde_json::to_string(line).expect("a line has a form in JSON");
    let text = format!("{MARK}{text}\n");
    let mut output = std::io::stdout().lock();
    if output.write_all(text.as_bytes()).is_err() || output.flush().is_err() {
        std::process::exit(1);
    }
}

fn name(id: BatchId) -> String {
    format!("{:032x}", id.0)
}

fn readable(key: &Key) -> String {
    let parts = key.parts().map(String::from_utf8_lossy);
    parts.collect::<Vec<_>>().join("/")
}

fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Says what is there; answers the revision, and each writer's counter.
async fn find(store: &dyn Store, question: Question) -> (Revision, Vec<Option<Entry>>) {
    // What the last life left under way in a server comes before this, or not at all.
    let marker = Batch::new().put(WATCHED, Key::new("marker"), "", Precondition::Any);
    store.commit(marker).await.expect("a marker is committed");
    for batch in question.batches {
        let id = u128::from_str_radix(&batch, 16).expect("an id");
        let came = match store.outcome(BatchId(id)).await.expect("an outcome") {
            BatchOutcome::Committed(_) => Came::Committed,
            BatchOutcome::Aborted => Came::Aborted,
            BatchOutcome::Unknown => Came::Unknown,
        };
        say(&Line::Outcome { id: batch, came });
    }
    for entry in everything(store, UNWATCHED).await.0 {
        entry_line(false, &entry);
    }
    let (entries, revision) = everything(store, WATCHED).await;
    entries.iter().for_each(|entry| entry_line(true, entry));
    let mut changes = store.watch(&WATCHED, Key::empty(), Revision(question.after));
    let mut seen = Revision(question.after);
    while seen < revision {
        let change = changes.next().await.expect("a watch goes on");
        let change = change.expect("the changes of one life are kept");
        seen = change.revision;
        say(&Line::Change {
            revision: seen.0,
            key: readable(&change.key),
            value: change.value.map(|(value, _)| text(&value)),
        });
    }
    say(&Line::Revision(revision.0));
    let mut counters = Vec::new();
    for writer in 0..WRITERS {
        let counter = store.get(&UNWATCHED, &counter(writer)).await;
        counters.push(counter.expect("a read succeeds"));
    }
    (revision, counters)
}

async fn everything(store: &dyn Store, space: Space) -> (Vec<Entry>, Revision) {
    let scan = Scan::new(space, KeyRange::all()).limit(10_000);
    let page = store.scan(scan).await.expect("a scan succeeds");
    assert!(!page.more, "the work keeps few entries");
    (page.entries, page.revision)
}

fn entry_line(watched: bool, entry: &Entry) {
    say(&Line::Entry {
        watched,
        key: readable(&entry.key),
        value: text(&entry.value),
        version: entry.version.0,
    });
}

fn counter(writer: u64) -> Key {
    Key::new("counter").child(writer.to_string())
}

fn event(writer: u64, number: u64) -> Key {
    Key::new("event")
        .child(writer.to_string())
        .child(number.to_string())
}

/// Counts up, two batches under way at a time, the second on the first.
async fn write(store: Arc<dyn Store>, writer: u64, mut counter: Option<Entry>) {
    loop {
        let (last, value) = match &counter {
            None => (0, None),
            Some(entry) => {
                let value = text(&entry.value);
                let number = value.split(' ').next().and_then(|n| n.parse().ok());
                (number.expect("a number"), Some(entry.value.clone()))
            }
        };
        let (first, value) = step(writer, last + 1, value);
        let (second, value) = step(writer, last + 2, Some(value));
        let ids = [first.id(), second.id()];
        for (id, number) in ids.into_iter().zip(last + 1..) {
            let id = name(id);
            say(&Line::Try { id, writer, number });
        }
        let commits = [store.commit(first), store.commit(second)];
        let mut whole = true;
        for (id, commit) in ids.into_iter().zip(commits) {
            match commit.await {
                Ok(committed) => say(&done(id, &committed)),
                Err(error) => {
                    whole = false;
                    if error.retry() != Retry::Ambiguous {
                        say(&Line::Refused { id: name(id) });
                    }
                }
            }
        }
        let found = store.get(&UNWATCHED, &self::counter(writer)).await;
        let found = found.expect("a read succeeds");
        let wanted = found.as_ref().map(|entry| &entry.value);
        assert!(
            !whole || wanted == Some(&value),
            "an acknowledged commit is not seen"
        );
        counter = found;
    }
}

fn done(id: BatchId, committed: &Committed) -> Line {
    let version = committed.versions.get(1).copied().flatten();
    let revision = committed.revision(&WATCHED);
    Line::Done {
        id: name(id),
        version: version.expect("an event was written").0,
        revision: revision.expect("an event was written").0,
    }
}

/// One batch: the counter on the value before it, an event, both halves of a pair, and an old
/// event goes. Answers the counter's new value, too.
fn step(writer: u64, number: u64, before: Option<Bytes>) -> (Batch, Bytes) {
    let batch = Batch::new();
    let id = name(batch.id());
    let value = Bytes::from(format!("{number} {id}"));
    let condition = before.map_or(Precondition::Absent, Precondition::Value);
    let mut batch = batch
        .put(UNWATCHED, counter(writer), value.clone(), condition)
        .put(
            WATCHED,
            event(writer, number),
            id.clone(),
            Precondition::Absent,
        )
        .put(WATCHED, Key::new("left"), id.clone(), Precondition::Any)
        .put(WATCHED, Key::new("right"), id, Precondition::Any);
    if let Some(old) = number.checked_sub(KEPT) {
        batch = batch.delete(WATCHED, event(writer, old), Precondition::Any);
    }
    (batch, value)
}

/// Says which batches a watch shows.
async fn watch(store: Arc<dyn Store>, after: Revision) {
    let mut changes = store.watch(&WATCHED, Key::new("event"), after);
    while let Some(change) = changes.next().await {
        let change = change.expect("the watch goes on");
        if let Some((value, _)) = change.value {
            let revision = change.revision.0;
            let id = text(&value);
            say(&Line::Saw { id, revision });
        }
    }
}
