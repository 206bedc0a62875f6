//! The crash part of the suite catches a store that loses something when it is killed: each of
//! these does so in its own way, and one does not.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faas_core::Result;
use faas_core::store::batch::Effect;
use faas_core::store::conformance::crash;
use faas_core::store::{
    Batch, BatchId, BatchOutcome, Change, Committed, Durability, Entry, Key, Limits, MemoryStore,
    Page, Precondition, Revision, Scan, Space, Store, Version,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// Tells a child which fault it has, and where its file is.
const CHILD: &str = "FAAS_BROKEN_CRASH_CHILD";

/// What a [`Logged`] store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Fault {
    None,
    /// Acknowledges some batches that it has not written.
    Forgets,
    /// Writes some batches without their last part.
    Halves,
    /// Writes what a watch shows only later.
    ShowsEarly,
    /// Counts versions in a circle.
    VersionsReturn,
    /// Begins to count revisions anew.
    RevisionsReturn,
    /// Does not remember which batches happened.
    OutcomesGone,
}

/// Each, and a part of what the parent says of it.
const FAULTS: [(Fault, &str); 6] = [
    (Fault::Forgets, "acknowledged batch"),
    (Fault::Halves, "is not whole"),
    (Fault::ShowsEarly, "a watch showed batch"),
    (Fault::VersionsReturn, "returned"),
    (Fault::RevisionsReturn, "acknowledged batch"),
    (Fault::OutcomesGone, "happened"),
];

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Record {
    id: u128,
    operations: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    space: String,
    watched: bool,
    key: Vec<u8>,
    /// `None` deletes.
    value: Option<Vec<u8>>,
    /// The value before, if the batch demands one; `Some(None)` demands none.
    before: Option<Option<Vec<u8>>>,
}

impl Record {
    fn of(batch: &Batch) -> Self {
        let operations = batch.operations().iter().map(|operation| Written {
            space: operation.space.name().to_owned(),
            watched: operation.space.is_watched(),
            key: operation.key.as_bytes().to_vec(),
            value: match &operation.effect {
                Effect::Put(value) => Some(value.to_vec()),
                _ => None,
            },
            before: match &operation.precondition {
                Precondition::Absent => Some(None),
                Precondition::Value(value) => Some(Some(value.to_vec())),
                _ => None,
            },
        });
        Self {
            id: batch.id().0,
            operations: operations.collect(),
        }
    }

    fn batch(self) -> Batch {
        self.operations.into_iter().fold(Batch::new(), |batch, w| {
            let (space, key) = (Space::declared(w.space, w.watched), Key::from_bytes(w.key));
            let before = match w.before {
                None => Precondition::Any,
                Some(None) => Precondition::Absent,
                Some(Some(value)) => Precondition::Value(value.into()),
            };
            match w.value {
                Some(value) => batch.put(space, key, value, before),
                None => batch.delete(space, key, before),
            }
        })
    }
}

/// A store in memory, and a file from which it is made anew: what was called, line by line. A
/// file's writes survive the process.
#[derive(Debug)]
struct Logged {
    inner: MemoryStore,
    fault: Fault,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    late: Vec<u8>,
    outcomes: HashMap<u128, Committed>,
    calls: usize,
}

impl Logged {
    async fn open(path: &str, fault: Fault) -> Self {
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(path);
        let file = file.expect("a file");
        cut_torn_line(&file);
        let (inner, mut outcomes) = (MemoryStore::new(), HashMap::new());
        let lines = BufReader::new(file.try_clone().expect("the file")).lines();
        let records = lines.map_while(|line| serde_json::from_str::<Record>(&line.ok()?).ok());
        let mut state = HashMap::new();
        for record in records {
            let (id, batch) = (record.id, record.batch());
            for operation in batch.operations() {
                let place = (operation.space.clone(), operation.key.clone());
                state.insert(place, operation.effect.clone());
            }
            if let Ok(committed) = inner.commit(batch).await {
                outcomes.insert(id, committed);
            }
        }
        let inner = match fault {
            Fault::RevisionsReturn => from_its_end(state).await,
            _ => inner,
        };
        if fault == Fault::OutcomesGone {
            outcomes.clear();
        }
        let log = Arc::new(Mutex::new(Log {
            file,
            late: Vec::new(),
            outcomes,
            calls: 0,
        }));
        Self { inner, fault, log }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A kill may end a write between two pages: what follows must not be written onto that half line,
/// or it is never read again.
fn cut_torn_line(file: &File) {
    let mut written = Vec::new();
    let mut reader = file;
    reader.read_to_end(&mut written).expect("the file");
    let whole = written.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(0, |end| end as u64 + 1);
    file.set_len(whole).expect("it is cut");
    reader.rewind().expect("from its beginning");
}

/// A store that holds what `state` came to, without the way there.
async fn from_its_end(state: HashMap<(Space, Key), Effect>) -> MemoryStore {
    let store = MemoryStore::new();
    let batch = Batch::new();
    let batch = state
        .into_iter()
        .fold(batch, |batch, ((space, key), effect)| match effect {
            Effect::Put(value) => batch.put(space, key, value, Precondition::Any),
            _ => batch,
        });
    store.commit(batch).await.expect("committed");
    store
}

/// Versions that come again.
fn again(version: Version) -> Version {
    Version(version.0 % 50)
}

#[async_trait::async_trait]
impl Store for Logged {
    async fn get(&self, space: &Space, key: &Key) -> Result<Option<Entry>> {
        let mut found = self.inner.get(space, key).await?;
        if let Some(entry) = found
            .as_mut()
            .filter(|_| self.fault == Fault::VersionsReturn)
        {
            entry.version = again(entry.version);
        }
        Ok(found)
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        let mut page = self.inner.scan(scan).await?;
        if self.fault == Fault::VersionsReturn {
            for entry in &mut page.entries {
                entry.version = again(entry.version);
            }
        }
        Ok(page)
    }

    /// Written, then done: so what is shown or answered is in the file.
    fn commit(&self, batch: Batch) -> BoxFuture<'static, Result<Committed>> {
        let mut record = Record::of(&batch);
        let mut log = self.log();
        log.calls += 1;
        let odd = log.calls % 5 == 4;
        if odd && self.fault == Fault::Halves {
            record.operations.pop();
        }
        let mut line = serde_json::to_vec(&record).expect("a record has a form");
        line.push(b'\n');
        match self.fault {
            Fault::Forgets if odd => log.late.extend(line),
            Fault::ShowsEarly => log.late.extend(line),
            _ => {
                let mut late = std::mem::take(&mut log.late);
                late.extend(line);
                log.file.write_all(&late).expect("written");
            }
        }
        let id = batch.id().0;
        let mut result = self.inner.commit(batch).now_or_never().expect("at once");
        if let (Ok(committed), Fault::VersionsReturn) = (&mut result, self.fault) {
            let versions = committed.versions.iter_mut().flatten();
            versions.for_each(|version| *version = again(*version));
        }
        if let Ok(committed) = &result {
            log.outcomes.insert(id, committed.clone());
        }
        if self.fault == Fault::ShowsEarly {
            // The answer comes when it is written, but a watch has shown it.
            let log = self.log.clone();
            return Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                let late = std::mem::take(&mut log.late);
                log.file.write_all(&late).expect("written");
                result
            });
        }
        Box::pin(async move { result })
    }

    fn watch(
        &self,
        space: &Space,
        prefix: Key,
        after: Revision,
    ) -> BoxStream<'static, Result<Change>> {
        self.inner.watch(space, prefix, after)
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome> {
        let known = self.log().outcomes.get(&id.0).cloned();
        Ok(known.map_or(BatchOutcome::Unknown, BatchOutcome::Committed))
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn name(&self) -> &'static str {
        "logged"
    }
}

fn crashes(fault: Fault, kills: usize) -> crash::Lives {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    crash::survives(kills, 3, || {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "child", "--nocapture"]);
        let fault = serde_json::to_string(&fault).expect("a fault has a form");
        child.env(CHILD, format!("{fault} {}", path.display()));
        child
    })
}

/// Does nothing unless it is a child of the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn child() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let (fault, path) = told.split_once(' ').expect("a fault and a path");
    let fault = serde_json::from_str(fault).expect("a fault");
    crash::work(Arc::new(Logged::open(path, fault).await)).await;
}

#[tokio::test]
async fn what_follows_a_torn_line_is_kept() {
    const SPACE: Space = Space::unwatched("torn");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    std::fs::write(&path, r#"{"id":1,"opera"#).expect("written");
    let path = path.to_str().expect("a path");
    let store = Logged::open(path, Fault::None).await;
    let batch = Batch::new().put(SPACE, Key::new("a"), "1", Precondition::Absent);
    store.commit(batch).await.expect("committed");
    let again = Logged::open(path, Fault::None).await;
    let kept = again.get(&SPACE, &Key::new("a")).await.expect("a read");
    assert_eq!(kept.expect("it is kept").value, "1");
}

#[test]
fn a_store_that_loses_nothing_survives() {
    let lives = crashes(Fault::None, 10);
    assert_eq!(lives.kills, 10);
    assert!(lives.acknowledged >= 10, "{lives:?}");
}

#[test]
fn each_that_loses_something_is_caught() {
    for (fault, said) in FAULTS {
        let caught = std::panic::catch_unwind(|| crashes(fault, 60));
        let panic = caught.expect_err(&format!("{fault:?} survives"));
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(said), "{fault:?}: {message}");
    }
}
