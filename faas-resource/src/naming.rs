//! R1, the naming service: [`NamingService`].

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod store;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::store::Revision;
use faas_core::{Description, Error, Result};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use store::StoreNaming;

/// A name in the cluster: segments joined by `/`, each by the rule of
/// [names](faas_core::name), e.g. `sandboxes/node-1/0a1b`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Arc<str>);

impl Path {
    /// Checks and makes a path.
    ///
    /// # Errors
    /// `InvalidArgument` with the fault of each bad segment.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let fault = |segment: &str| {
            let fault = faas_core::name::fault(segment)?;
            Some(format!("segment {segment:?} of {text:?} {fault}"))
        };
        Error::check("parse path", text.split('/').filter_map(fault).collect())?;
        Ok(Self(text.into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether this path is `prefix` or lies below it.
    pub fn is_under(&self, prefix: &Self) -> bool {
        let rest = self.0.strip_prefix(&*prefix.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Path {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Path {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.0.as_ref().into()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.0)
    }
}

/// A lease: whatever is bound under it is gone when it is not renewed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// What is bound to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The name.
    pub path: Path,
    /// What is bound to it.
    pub value: Bytes,
    /// When it was bound last.
    pub revision: Revision,
    /// The lease that it depends on.
    pub lease: Option<LeaseId>,
}

/// What must hold for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is not bound.
    Absent,
    /// It was bound last at this revision.
    At(Revision),
}

/// A name to bind.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bind {
    /// The name.
    pub path: Path,
    /// What to bind to it.
    pub value: Bytes,
    /// If this holds.
    pub expected: Expected,
    /// Only as long as this lease is renewed.
    pub lease: Option<LeaseId>,
}

impl Bind {
    /// A name that is not bound yet, without a lease.
    pub fn new(path: Path, value: impl Into<Bytes>) -> Self {
        Self {
            path,
            value: value.into(),
            expected: Expected::Absent,
            lease: None,
        }
    }
}

/// A change of what is bound to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamingEvent {
    /// It was bound.
    Bound(Record),
    /// It was unbound, or its lease ran out.
    Unbound(Path, Revision),
}

/// Cluster-wide unique and consistent names, by which components find each other; it also stores
/// cluster-wide configuration.
///
/// ```text
/// R2 ResourceManager ── bind(sandbox → endpoint) ──▶ R1 NamingService ◀── resolve, watch ── anybody
/// ```
///
/// # Contract
/// - **unique**: of several who bind an absent name, one succeeds and the others get `Conflict`.
/// - **conditional**: a bind or unbind whose expectation fails answers `Conflict` and changes
///   nothing.
/// - **revisions_rise**: each bind and unbind has a higher revision than those before.
/// - **consistent**: what was acknowledged is seen by every later `resolve` and `list`.
/// - **list_is_by_prefix**: `list(prefix)` answers the name itself and all below it, and nothing
///   else, in order, with the revision from which a watch misses nothing.
/// - **watch_in_order**: a watch from revision N delivers every later change under its prefix once
///   and in order, or fails with `Compacted`.
/// - **lease_expires**: a name bound under a lease that is not renewed within its time to live is
///   gone soon after, and its watchers are told.
/// - **lease_renewed_lives**: a name bound under a lease that is renewed in time stays.
/// - **revoke_unbinds**: revoking a lease unbinds all that is bound under it.
/// - **unknown_lease**: binding under, or renewing, a lease that is gone answers `NotFound`.
///
/// # Errors
/// As above; `Unavailable` when it cannot be reached, `Ambiguous` if it may have happened.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait NamingService: Send + Sync + 'static {
    /// Binds a value to a name.
    async fn bind(&self, bind: Bind) -> Result<Revision>;
    /// What is bound to a name.
    async fn resolve(&self, path: &Path) -> Result<Option<Record>>;
    /// What is bound to a name and to all below it.
    async fn list(&self, prefix: &Path) -> Result<(Vec<Record>, Revision)>;
    /// Unbinds a name; one that is not bound is no fault unless `expected` names a revision.
    async fn unbind(&self, path: &Path, expected: Option<Revision>) -> Result<()>;
    /// What changes under a prefix after a revision.
    fn watch(&self, prefix: &Path, after: Revision) -> BoxStream<'static, Result<NamingEvent>>;
    /// A new lease.
    async fn grant(&self, time_to_live: Duration) -> Result<LeaseId>;
    /// Renews a lease for another time to live.
    async fn renew(&self, lease: LeaseId) -> Result<()>;
    /// Ends a lease now.
    async fn revoke(&self, lease: LeaseId) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: NamingService + ?Sized> NamingService for $pointer<T> {
            async fn bind(&self, bind: Bind) -> Result<Revision> {
                (**self).bind(bind).await
            }
            async fn resolve(&self, path: &Path) -> Result<Option<Record>> {
                (**self).resolve(path).await
            }
            async fn list(&self, prefix: &Path) -> Result<(Vec<Record>, Revision)> {
                (**self).list(prefix).await
            }
            async fn unbind(&self, path: &Path, expected: Option<Revision>) -> Result<()> {
                (**self).unbind(path, expected).await
            }
            fn watch(&self, prefix: &Path, after: Revision) -> BoxStream<'static, Result<NamingEvent>> {
                (**self).watch(prefix, after)
            }
            async fn grant(&self, time_to_live: Duration) -> Result<LeaseId> {
                (**self).grant(time_to_live).await
            }
            async fn renew(&self, lease: LeaseId) -> Result<()> {
                (**self).renew(lease).await
            }
            async fn revoke(&self, lease: LeaseId) -> Result<()> {
                (**self).revoke(lease).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
