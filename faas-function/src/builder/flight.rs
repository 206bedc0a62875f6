//! [`Flights`]: concurrent builds of one key run once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use faas_core::{Digest, Error, Result};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Artifact, BuildEvent};

/// Bytes of the log that a build keeps for those that join it; what follows is not shown.
const LONGEST_LOG: usize = 8 << 20;
const CUT: &str = "(the log goes on, and is not shown)";

#[derive(Debug, Default)]
struct Progress {
    lines: Vec<Arc<str>>,
    bytes: usize,
    end: Option<Result<Artifact>>,
}

/// Where a build writes its log; 8 MiB of it are kept.
#[derive(Debug, Clone)]
pub struct Log(Arc<watch::Sender<Progress>>);

impl Log {
    /// Adds a line.
    pub fn line(&self, line: &str) {
        self.0.send_modify(|progress| {
            if progress.bytes > LONGEST_LOG {
                return;
            }
            progress.bytes += line.len() + 1;
            let cut = progress.bytes > LONGEST_LOG;
            progress.lines.push(if cut { CUT } else { line }.into());
        });
    }
}

/// A running build; it is stopped when the last who waits for it goes.
struct Flight {
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The running builds by key, for implementations of [`FunctionBuilder`](super::FunctionBuilder):
/// what is built by several at once runs once, and ends when nobody waits for it any longer. A clone
/// is the same set.
#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<Digest, Weak<Flight>>>>);

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl Flights {
    /// The events of the build of `key`: of the one that runs, or of `build`, which is started.
    pub fn join<F>(
        &self,
        key: Digest,
        build: impl FnOnce(Log) -> F,
    ) -> BoxStream<'static, Result<BuildEvent>>
    where
        F: Future<Output = Result<Artifact>> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        let running = flights.get(&key).and_then(Weak::upgrade);
        let running = running.filter(|flight| flight.progress.borrow().end.is_none());
        let flight = running.unwrap_or_else(|| {
            let flight = Arc::new(start(build));
            flights.insert(key, Arc::downgrade(&flight));
            flight
        });
        events(flight)
    }
}

fn start<F>(build: impl FnOnce(Log) -> F) -> Flight
where
    F: Future<Output = Result<Artifact>> + Send + 'static,
{
    let (sender, progress) = watch::channel(Progress::default());
    let log = Log(Arc::new(sender));
    let build = build(log.clone());
    let task = tokio::spawn(async move {
        let end = build.await;
        log.0.send_modify(|progress| progress.end = Some(end));
    });
    let task = task.abort_handle();
    Flight { progress, task }
}

fn events(flight: Arc<Flight>) -> BoxStream<'static, Result<BuildEvent>> {
    let progress = flight.progress.clone();
    stream::unfold(Some((flight, progress, 0)), |state| async {
        let (flight, mut progress, seen) = state?;
        let (event, ended) = next(&mut progress, seen).await;
        let rest = (!ended).then_some((flight, progress, seen + 1));
        Some((event, rest))
    })
    .boxed()
}

/// The event after `seen` lines, and whether it is the last.
async fn next(progress: &mut watch::Receiver<Progress>, seen: usize) -> (Result<BuildEvent>, bool) {
    let more = |progress: &Progress| progress.lines.len() > seen || progress.end.is_some();
    let Ok(progress) = progress.wait_for(more).await else {
        return (Err(Error::internal("build", "the build panicked")), true);
    };
    if let Some(line) = progress.lines.get(seen) {
        return (Ok(BuildEvent::Log(line.to_string())), false);
    }
    let lost = || Err(Error::internal("build", "the build has no end"));
    let end = progress.end.clone().unwrap_or_else(lost);
    (end.map(BuildEvent::Done), true)
}
