//! The conformance suite of [`NamingService`]: one case per rule of its contract.
//!
//! ```
//! # #[cfg(test)]
//! mod conformance {
//!     use std::sync::Arc;
//!
//!     use faas_core::{MemoryStore, TokioClock};
//!     use faas_resource::naming::StoreNaming;
//!
//!     faas_resource::naming_service_conformance!(async || {
//!         StoreNaming::new(Arc::new(MemoryStore::new()), Arc::new(TokioClock::new()))
//!     });
//! }
//! ```
//!
//! The factory makes a **fresh, empty** service for each case: anything that is a
//! `NamingService`, or a [`Fixture`] where something else must live as long as the service.

mod binds;
mod leases;
mod watches;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::store::Revision;
use faas_core::{ErrorKind, Result};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};

use super::{Bind, NamingEvent, NamingService, Path};

pub use binds::{conditional, consistent, list_is_by_prefix, revisions_rise, unique};
pub use leases::{lease_expires, lease_renewed_lives, revoke_unbinds, unknown_lease};
pub use watches::watch_in_order;

/// How long a case waits for what must happen, before it calls it missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fresh naming service, and what belongs to it.
pub struct Fixture {
    naming: Arc<dyn NamingService>,
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A service that needs nothing else.
    pub fn new(naming: impl NamingService) -> Self {
        Self {
            naming: Arc::new(naming),
            _guard: None,
        }
    }

    /// Keeps `guard` (a directory, a server) until the case is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self._guard = Some(Box::new(guard));
        self
    }
}

impl<N: NamingService> From<N> for Fixture {
    fn from(naming: N) -> Self {
        Self::new(naming)
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("naming", &self.naming.describe().name)
            .finish_non_exhaustive()
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
    unique conditional revisions_rise consistent list_is_by_prefix watch_in_order lease_expires
    lease_renewed_lives revoke_unbinds unknown_lease
}

/// Expands to one `#[tokio::test]` per rule of
/// [`NamingService`](crate::naming::NamingService)'s contract. Takes an `async` closure that makes a
/// fresh service, or a [`Fixture`](crate::naming::conformance::Fixture); put it into a module of its
/// own.
#[macro_export]
macro_rules! naming_service_conformance {
    ($factory:expr) => {
        $crate::naming_service_conformance! { @cases $factory;
            unique conditional revisions_rise consistent list_is_by_prefix watch_in_order
            lease_expires lease_renewed_lives revoke_unbinds unknown_lease
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let fixture = $crate::naming::conformance::Fixture::from(($factory)().await);
            $crate::naming::conformance::$case(fixture).await;
        }
    )*};
}

/// What `future` comes to, or a panic that says what is missing.
async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

fn path(text: &str) -> Path {
    Path::new(text).expect("a valid path")
}

async fn bind(naming: &dyn NamingService, bind: Bind) -> Revision {
    let what = format!("bind {bind:?}");
    within(&what, naming.bind(bind))
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"))
}

async fn add(naming: &dyn NamingService, name: &str, value: &'static str) -> Revision {
    bind(naming, Bind::new(path(name), value)).await
}

async fn remove(naming: &dyn NamingService, name: &str) {
    let removed = within("unbind", naming.unbind(&path(name), None)).await;
    removed.unwrap_or_else(|error| panic!("unbind {name}: {error}"));
}

/// What is bound to a name, as text.
async fn value(naming: &dyn NamingService, name: &str) -> Option<String> {
    let record = within("resolve", naming.resolve(&path(name))).await;
    let record = record.unwrap_or_else(|error| panic!("resolve {name}: {error}"));
    record.map(|record| String::from_utf8_lossy(&record.value).into_owned())
}

async fn list(naming: &dyn NamingService, prefix: &str) -> (Vec<String>, Revision) {
    let listed = within("list", naming.list(&path(prefix))).await;
    let (records, revision) = listed.unwrap_or_else(|error| panic!("list {prefix}: {error}"));
    let names = records.iter().map(|record| record.path.to_string());
    (names.collect(), revision)
}

/// The next event, as `name=value`, or `name` if it was unbound.
async fn next(events: &mut BoxStream<'static, Result<NamingEvent>>) -> String {
    let event = within("an event", events.next()).await;
    match event.expect("the watch goes on").expect("an event") {
        NamingEvent::Bound(record) => {
            format!("{}={}", record.path, String::from_utf8_lossy(&record.value))
        }
        NamingEvent::Unbound(path, _) => path.to_string(),
    }
}

fn refused<T: fmt::Debug>(result: Result<T>, kind: ErrorKind, what: &str) {
    match result {
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
        Ok(value) => panic!("{what}: {kind:?} expected, and it answered {value:?}"),
    }
}
