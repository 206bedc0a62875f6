//! The conformance suite of [`Store`]: one case per rule of its contract.
//!
//! ```
//! # #[cfg(test)]
//! mod conformance {
//!     use faas_core::store::MemoryStore;
//!
//!     faas_core::store_conformance!(async || MemoryStore::new());
//! }
//! ```
//!
//! The factory makes a **fresh, empty** store for each case: anything that is a `Store`, or a
//! [`Fixture`] where something else must live as long as the store, or where the store can be made
//! to forget old changes.

mod agreement;
mod commits;
pub mod crash;
mod guarded;
mod reads;
mod watches;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};

use super::{Batch, Change, Committed, Entry, Key, KeyRange, Precondition, Revision, Scan};
use super::{Space, Store};
use crate::error::Result;

pub use agreement::agrees_with_memory;
pub use commits::{atomic, call_order, conflict, limits, outcome, submitted_at_call, versions};
pub use reads::{no_uncertain_reads, ordered_scan, spaces_apart};
pub use watches::{gap_free_watch, revisions_rise};

/// How long a case waits for what must happen, before it calls it missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The space of most cases.
const WATCHED: Space = Space::watched("conformance-watched");
/// Another one, to tell them apart.
const OTHER: Space = Space::watched("conformance-other");
/// A space without order across keys.
const UNWATCHED: Space = Space::unwatched("conformance-unwatched");

/// Makes a store forget the changes of a space up to and with a revision.
pub type Compact = Box<dyn Fn(Space, Revision) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fresh store, and what belongs to it.
pub struct Fixture {
    store: Arc<dyn Store>,
    compact: Option<Compact>,
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A store that needs nothing else.
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            compact: None,
            guard: None,
        }
    }

    /// Keeps `guard` (a directory, a server) until the case is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// Says how the store is made to forget, so that `gap_free_watch` sees `Compacted`.
    #[must_use]
    pub fn compacting(mut self, compact: Compact) -> Self {
        self.compact = Some(compact);
        self
    }

    /// The store, which keeps its guard itself: for the suites of components over a store.
    pub fn into_store(self) -> Arc<dyn Store> {
        Arc::new(guarded::Guarded::new(self.store, self.guard))
    }
}

impl<S: Store> From<S> for Fixture {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store)
            .field("compacts", &self.compact.is_some())
            .field("guard", &self.guard.is_some())
            .finish()
    }
}

/// One case of the suite.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule, for harnesses other than the macro.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |fixture| Box::pin($case(fixture)))),*
        ];
    };
}
cases! {
    atomic submitted_at_call call_order conflict versions ordered_scan revisions_rise
    gap_free_watch no_uncertain_reads spaces_apart limits outcome
}

/// Expands to one `#[tokio::test]` per rule of [`Store`](crate::store::Store)'s contract. Takes an
/// `async` closure that makes a fresh store, or a
/// [`Fixture`](crate::store::conformance::Fixture); put it into a module of its own.
#[macro_export]
macro_rules! store_conformance {
    ($factory:expr) => {
        $crate::store_conformance! { @cases $factory;
            atomic submitted_at_call call_order conflict versions ordered_scan revisions_rise
            gap_free_watch no_uncertain_reads spaces_apart limits outcome
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let fixture = $crate::store::conformance::Fixture::from(($factory)().await);
            $crate::store::conformance::$case(fixture).await;
        }
    )*};
}

/// What `future` comes to, or a panic that says what is missing.
async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

async fn commit(store: &dyn Store, batch: Batch) -> Committed {
    within("commit", store.commit(batch))
        .await
        .expect("a batch that nothing speaks against is committed")
}

async fn refused(store: &dyn Store, batch: Batch) -> crate::Error {
    within("commit", store.commit(batch))
        .await
        .expect_err("this batch must be refused")
}

fn put(space: Space, key: &Key, value: &str) -> Batch {
    Batch::new().put(space, key.clone(), value.to_owned(), Precondition::Any)
}

async fn get(store: &dyn Store, space: &Space, key: &Key) -> Option<Entry> {
    within("get", store.get(space, key))
        .await
        .expect("a read of a healthy store succeeds")
}

async fn value(store: &dyn Store, space: &Space, key: &Key) -> Option<Bytes> {
    get(store, space, key).await.map(|entry| entry.value)
}

async fn scan(store: &dyn Store, scan: Scan) -> super::Page {
    within("scan", store.scan(scan))
        .await
        .expect("a scan of a healthy store succeeds")
}

async fn everything(store: &dyn Store, space: Space) -> super::Page {
    scan(store, Scan::new(space, KeyRange::all()).limit(10_000)).await
}

type Changes = BoxStream<'static, Result<Change>>;

async fn next(changes: &mut Changes) -> Result<Change> {
    within("watch", changes.next())
        .await
        .expect("a watch goes on for ever, or ends with an error")
}

/// The next `count` changes.
async fn take(changes: &mut Changes, count: usize) -> Vec<Change> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        taken.push(next(changes).await.expect("the watch goes on"));
    }
    taken
}
