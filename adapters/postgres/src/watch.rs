//! Watches: woken by commits of this process, by NOTIFY of others, and now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faas_core::store::{Change, Key, Revision, Space};
use faas_core::{Error, Result, Retry};
use futures::future::{Either, select};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::error::closed;
use crate::lanes::Shared;
use crate::reads;

const WATCH: &str = "watch";
/// How long a watch waits for a server that is away, before it looks again.
const PAUSE: Duration = Duration::from_millis(500);

/// What is known of a space: its last revision, and how often a look was asked for without one.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    revision: Revision,
    looks: u64,
}

type Spaces = HashMap<String, watch::Sender<Known>>;

/// Wakes watches.
#[derive(Debug)]
pub(crate) struct Hub(Mutex<Option<Spaces>>);

impl Default for Hub {
    fn default() -> Self {
        Self(Mutex::new(Some(Spaces::new())))
    }
}

impl Hub {
    /// A commit of the space is visible.
    pub(crate) fn publish(&self, space: &str, revision: Revision) {
        if let Some(sender) = self.lock().as_mut().and_then(|spaces| spaces.get(space)) {
            sender.send_if_modified(|known| {
                let newer = revision > known.revision;
                known.revision = known.revision.max(revision);
                newer
            });
        }
    }

    /// Something may have been missed: every watch looks.
    pub(crate) fn look(&self) {
        let mut spaces = self.lock();
        let Some(spaces) = spaces.as_mut() else {
            return;
        };
        spaces.retain(|_, sender| sender.receiver_count() > 0);
        for sender in spaces.values() {
            sender.send_modify(|known| known.looks += 1);
        }
    }

    pub(crate) fn close(&self) {
        self.lock().take();
    }

    fn subscribe(&self, space: &Space) -> Result<watch::Receiver<Known>> {
        let mut spaces = self.lock();
        let spaces = spaces.as_mut().ok_or_else(|| closed(WATCH))?;
        let sender = spaces.entry(space.name().to_owned()).or_default();
        Ok(sender.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Spaces>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes of `space` under `prefix` after revision `after`.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    space: &Space,
    prefix: Key,
    after: Revision,
) -> BoxStream<'static, Result<Change>> {
    let woken = if space.is_watched() {
        shared.hub.subscribe(space)
    } else {
        let message = format!("space {} is declared unwatched", space.name());
        Err(Error::invalid(WATCH, message))
    };
    let woken = match woken {
        Ok(woken) => woken,
        Err(error) => return stream::iter([Err(error)]).boxed(),
    };
    let watcher = Watcher {
        shared: shared.clone(),
        space: space.clone(),
        prefix,
        after,
        woken,
    };
    stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(changes) => Some((changes.into_iter().map(Ok).collect(), Some(watcher))),
            Err(error) => Some((vec![Err(error)], None)),
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

struct Watcher {
    shared: Arc<Shared>,
    space: Space,
    prefix: Key,
    after: Revision,
    woken: watch::Receiver<Known>,
}

impl Watcher {
    /// The next changes under the prefix, once there are any.
    async fn next(&mut self) -> Result<Vec<Change>> {
        loop {
            // What comes from here on wakes it again.
            self.woken.borrow_and_update();
            let pools = &self.shared.pools;
            let read = reads::changes(pools, &self.space, &self.prefix, self.after).await;
            let (changes, seen) = match read {
                Ok(found) => found,
                // The server is away: its news wait, and none is missed.
                Err(error) if error.retry() == Retry::Safe => {
                    tracing::debug!(%error, "a watch waits for the server");
                    let pause = pools.pause(PAUSE);
                    let woken = std::pin::pin!(self.woken.changed());
                    if let Either::Left((Err(_), _)) = select(woken, pause).await {
                        return Err(closed(WATCH));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let moved = seen > self.after;
            self.after = seen;
            if !changes.is_empty() {
                return Ok(changes);
            }
            if !moved {
                self.woken.changed().await.map_err(|_| closed(WATCH))?;
            }
        }
    }
}
