//! The suite of `NamingService` catches a service that breaks any one rule: each of these breaks
//! one, and the case of that name fails against it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::store::Revision;
use faas_core::{Description, ErrorKind, MemoryStore, Result, TokioClock};
use faas_resource::NamingService;
use faas_resource::naming::conformance::{CASES, Case, Fixture};
use faas_resource::naming::{Bind, Expected, LeaseId, NamingEvent, Path, Record, StoreNaming};
use futures::future;
use futures::stream::{BoxStream, StreamExt};

/// What a [`Broken`] service does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LastBindWins,
    IgnoresExpected,
    WrongErrorKind,
    UnbindsAnyway,
    RevisionStands,
    StaleReads,
    StaleLists,
    ListsAll,
    ListsByText,
    ListsBackwards,
    ListsOldRevision,
    WatchRepeats,
    WatchSkipsUnbinds,
    WatchFromNow,
    WatchesAll,
    NeverExpires,
    ExpiresSilently,
    RenewsNothing,
    RevokesNothing,
    RevokesOne,
    AnyLease,
}

#[derive(Debug)]
struct Broken {
    inner: StoreNaming,
    fault: Fault,
    /// What was answered before.
    seen: Mutex<HashMap<Path, Option<Record>>>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self {
            inner: StoreNaming::new(store, Arc::new(TokioClock::new())),
            fault,
            seen: Mutex::default(),
        }
    }

    /// Binds whatever is there.
    async fn force(&self, mut bind: Bind) -> Result<Revision> {
        let bound = self.inner.resolve(&bind.path).await?;
        bind.expected = bound.map_or(Expected::Absent, |record| Expected::At(record.revision));
        self.inner.bind(bind).await
    }

    fn stale(&self, path: &Path, record: Option<Record>) -> Option<Record> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(path.clone()).or_insert(record).clone()
    }
}

fn root(path: &Path) -> Path {
    let first = path.as_str().chars().take(1);
    Path::new(first.collect::<String>()).expect("a valid path")
}

#[async_trait]
impl NamingService for Broken {
    async fn bind(&self, mut bind: Bind) -> Result<Revision> {
        match self.fault {
            Fault::LastBindWins if bind.expected == Expected::Absent => {
                return self.force(bind).await;
            }
            Fault::IgnoresExpected => return self.force(bind).await,
            Fault::AnyLease => bind.lease = None,
            _ => {}
        }
        let result = self.inner.bind(bind).await;
        match self.fault {
            Fault::RevisionStands => result.map(|_| Revision(1)),
            Fault::WrongErrorKind => result.map_err(|error| match error.kind() {
                ErrorKind::Conflict => faas_core::Error::internal("bind", "something is wrong"),
                _ => error,
            }),
            _ => result,
        }
    }

    async fn resolve(&self, path: &Path) -> Result<Option<Record>> {
        let record = self.inner.resolve(path).await?;
        match self.fault {
            Fault::StaleReads => Ok(self.stale(path, record)),
            _ => Ok(record),
        }
    }

    async fn list(&self, prefix: &Path) -> Result<(Vec<Record>, Revision)> {
        let (mut records, mut revision) = self.inner.list(prefix).await?;
        match self.fault {
            Fault::StaleLists => {
                let shown = records.pop();
                records.extend(self.stale(prefix, shown));
            }
            Fault::ListsBackwards => records.reverse(),
            Fault::ListsOldRevision => revision = Revision(0),
            Fault::ListsAll => records = self.inner.list(&root(prefix)).await?.0,
            Fault::ListsByText => {
                let near = Path::new(format!("{prefix}b"))?;
                records.extend(self.inner.list(&near).await?.0);
            }
            _ => {}
        }
        Ok((records, revision))
    }

    async fn unbind(&self, path: &Path, expected: Option<Revision>) -> Result<()> {
        let expected = expected.filter(|_| self.fault != Fault::UnbindsAnyway);
        self.inner.unbind(path, expected).await
    }

    fn watch(&self, prefix: &Path, after: Revision) -> BoxStream<'static, Result<NamingEvent>> {
        let events = self.inner.watch(prefix, after);
        let unbound = |event: &Result<NamingEvent>| matches!(event, Ok(NamingEvent::Unbound(..)));
        match self.fault {
            Fault::WatchRepeats => self.inner.watch(prefix, Revision(0)),
            Fault::WatchSkipsUnbinds | Fault::ExpiresSilently => events
                .filter(move |event| future::ready(!unbound(event)))
                .boxed(),
            Fault::WatchFromNow => events.skip(1).boxed(),
            Fault::WatchesAll => {
                let others = self
                    .inner
                    .watch(&Path::new("ab").expect("a valid path"), after);
                futures::stream::select(events, others).boxed()
            }
            _ => events,
        }
    }

    async fn grant(&self, time_to_live: Duration) -> Result<LeaseId> {
        let longer = match self.fault {
            Fault::NeverExpires => Duration::from_secs(86_400),
            _ => time_to_live,
        };
        self.inner.grant(longer).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<()> {
        match self.fault {
            Fault::RenewsNothing | Fault::AnyLease => Ok(()),
            _ => self.inner.renew(lease).await,
        }
    }

    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        match self.fault {
            Fault::RevokesNothing => Ok(()),
            Fault::RevokesOne => self.inner.unbind(&Path::new("one/0")?, None).await,
            _ => self.inner.revoke(lease).await,
        }
    }

    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn case(rule: &str) -> Case {
    let found = CASES.iter().find(|(name, _)| *name == rule);
    found.unwrap_or_else(|| panic!("no case {rule}")).1
}

/// Fails unless the case of `rule` panics. Paused time makes waiting in vain cost nothing.
async fn caught(rule: &str, fault: Fault) {
    let fixture = Fixture::new(Broken::new(fault));
    let result = tokio::spawn(case(rule)(fixture)).await;
    let error = result.expect_err(&format!("{rule} does not catch {fault:?}"));
    assert!(error.is_panic(), "{error}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $rule() {
            $(caught(stringify!($rule), Fault::$fault).await;)*
        }
    )*

        const CAUGHT: &[&str] = &[$(stringify!($rule)),*];
    };
}
caught! {
    unique: LastBindWins;
    conditional: IgnoresExpected WrongErrorKind UnbindsAnyway;
    revisions_rise: RevisionStands;
    consistent: StaleReads StaleLists;
    list_is_by_prefix: ListsAll ListsByText ListsBackwards ListsOldRevision;
    watch_in_order: WatchRepeats WatchSkipsUnbinds WatchFromNow WatchesAll;
    lease_expires: NeverExpires ExpiresSilently;
    lease_renewed_lives: RenewsNothing;
    revoke_unbinds: RevokesNothing RevokesOne;
    unknown_lease: AnyLease;
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_breaks_nothing_passes() {
    for (_, case) in CASES {
        case(Fixture::new(Broken::new(Fault::None))).await;
    }
}

#[test]
fn every_case_has_a_service_that_it_catches() {
    let cases: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(CAUGHT, cases);
}
