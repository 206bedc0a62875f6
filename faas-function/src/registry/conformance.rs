//! The conformance suites of [`MetadataStore`] and [`CodeStore`](super::CodeStore): one case per
//! rule of a contract.
//!
//! A factory makes a **fresh, empty** store for each case.

mod code;

use std::sync::Arc;
use std::time::Duration;

use faas_core::{AliasName, ErrorKind, Name, Namespace, RevisionNumber, RuntimeName};
use faas_resource::Executable;
use futures::StreamExt;
use futures::future::BoxFuture;

pub use code::{
    CODE_CASES, CodeCase, CodeFactory, CodeFixture, delete_is_idempotent, put_get,
    put_is_idempotent, unknown_digest, verified,
};

use super::{
    Alias, AliasChange, FunctionConfig, FunctionId, Generation, MetadataStore, RegistryEvent,
};

/// Makes a fresh store.
pub type Factory = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn MetadataStore>> + Send + Sync>;

/// A case by name.
pub type Case = fn(Factory) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// All cases of [`MetadataStore`].
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |factory| Box::pin(async move {
                $case(factory().await).await;
            }))),*
        ];
    };
}
cases! {
    create_once update_makes_a_revision numbers_rise optimistic validated
    delete_removes_all list_is_by_namespace watch_misses_nothing
}

fn id(namespace: &str, name: &str) -> FunctionId {
    FunctionId {
        namespace: Namespace::new(namespace).expect("a namespace"),
        name: Name::new(name).expect("a name"),
    }
}

fn config(concurrency: u32) -> FunctionConfig {
    let runtime = RuntimeName::new("provided").expect("a runtime");
    let mut config = FunctionConfig::new(runtime, Executable::Image("image".into()));
    config.concurrency = concurrency;
    config
}

fn alias(number: u64) -> AliasChange {
    let name = AliasName::new("live").expect("an alias");
    AliasChange::Set(Alias::to(name, RevisionNumber(number)))
}

#[track_caller]
fn fails<T>(result: faas_core::Result<T>, kind: ErrorKind, what: &str) {
    let error = result.err().unwrap_or_else(|| panic!("{what} succeeds"));
    assert_eq!(error.kind(), kind, "{what}: {error}");
}

/// "creating a function that exists answers `AlreadyExists`; it begins at revision 1."
pub async fn create_once(store: impl MetadataStore) {
    let first = store
        .create(id("a", "f"), config(1))
        .await
        .expect("created");
    assert_eq!(first.latest.number, RevisionNumber(1));
    let again = store.create(id("a", "f"), config(2)).await;
    fails(again, ErrorKind::AlreadyExists, "a second creation");
    assert_eq!(store.get(&id("a", "f")).await.expect("it is there"), first);
}

/// "an update makes the next revision; earlier ones stay as they were."
pub async fn update_makes_a_revision(store: impl MetadataStore) {
    let f = id("a", "f");
    let first = store.create(f.clone(), config(1)).await.expect("created");
    let second = store.update(&f, config(2), None).await.expect("updated");
    assert_eq!(second.latest.number, RevisionNumber(2));
    assert_eq!(second.latest.config, config(2));
    let old = store.revision(&f, RevisionNumber(1)).await;
    assert_eq!(old.expect("the first stays"), first.latest);
}

/// "revision numbers rise by one and never return, also not after a deletion."
pub async fn numbers_rise(store: impl MetadataStore) {
    let f = id("a", "f");
    store.create(f.clone(), config(1)).await.expect("created");
    store.update(&f, config(2), None).await.expect("updated");
    store.delete(&f, None).await.expect("deleted");
    let anew = store.create(f.clone(), config(1)).await.expect("created");
    assert_eq!(anew.latest.number, RevisionNumber(3));
}

/// "a change that expects another generation answers `Conflict` and changes nothing."
pub async fn optimistic(store: impl MetadataStore) {
    let f = id("a", "f");
    let old = store.create(f.clone(), config(1)).await.expect("created");
    let stale = Some(old.generation);
    let new = store.update(&f, config(2), stale).await.expect("updated");
    fails(
        store.update(&f, config(3), stale).await,
        ErrorKind::Conflict,
        "a stale update",
    );
    fails(
        store.set_alias(&f, alias(1), stale).await,
        ErrorKind::Conflict,
        "a stale alias",
    );
    fails(
        store.delete(&f, stale).await,
        ErrorKind::Conflict,
        "a stale deletion",
    );
    assert_eq!(store.get(&f).await.expect("it is there"), new);
    let never = Some(Generation(u64::MAX));
    fails(
        store.delete(&f, never).await,
        ErrorKind::Conflict,
        "a deletion of the future",
    );
}

/// "a bad configuration, or an alias to a revision that does not exist, answers
/// `InvalidArgument` and changes nothing."
pub async fn validated(store: impl MetadataStore) {
    let f = id("a", "f");
    let bad = store.create(f.clone(), config(0)).await;
    fails(bad, ErrorKind::InvalidArgument, "a bad creation");
    fails(
        store.get(&f).await,
        ErrorKind::NotFound,
        "reading what was refused",
    );
    let good = store.create(f.clone(), config(1)).await.expect("created");
    let bad = store.update(&f, config(0), None).await;
    fails(bad, ErrorKind::InvalidArgument, "a bad update");
    let bad = store.set_alias(&f, alias(2), None).await;
    fails(bad, ErrorKind::InvalidArgument, "an alias to nothing");
    assert_eq!(store.get(&f).await.expect("it is there"), good);
}

/// "after a deletion neither revisions nor aliases are found."
pub async fn delete_removes_all(store: impl MetadataStore) {
    let f = id("a", "f");
    store.create(f.clone(), config(1)).await.expect("created");
    store.set_alias(&f, alias(1), None).await.expect("an alias");
    store.delete(&f, None).await.expect("deleted");
    fails(store.get(&f).await, ErrorKind::NotFound, "get");
    fails(store.delete(&f, None).await, ErrorKind::NotFound, "delete");
    let anew = store.create(f.clone(), config(1)).await.expect("created");
    assert!(anew.aliases.is_empty(), "an alias survived");
    let old = store.revision(&f, RevisionNumber(1)).await;
    fails(old, ErrorKind::NotFound, "an old revision");
}

/// "`list` answers the functions of a namespace in the order of names."
pub async fn list_is_by_namespace(store: impl MetadataStore) {
    for (namespace, name) in [("a", "g"), ("b", "h"), ("a", "f"), ("a", "f-1")] {
        let created = store.create(id(namespace, name), config(1)).await;
        created.expect("created");
    }
    let namespace = Namespace::new("a").expect("a namespace");
    let (records, _) = store.list(Some(namespace)).await.expect("a list");
    let names: Vec<_> = records.iter().map(|r| r.function.name.as_str()).collect();
    assert_eq!(names, ["f", "f-1", "g"]);
    assert_eq!(store.list(None).await.expect("a list").0.len(), 4);
}

/// "a watch from the revision of a `list` delivers every later change in order, or fails with
/// `Compacted`."
pub async fn watch_misses_nothing(store: impl MetadataStore) {
    let f = id("a", "f");
    store.create(f.clone(), config(1)).await.expect("created");
    let (_, revision) = store.list(None).await.expect("a list");
    let events = store.watch(revision);
    store.update(&f, config(2), None).await.expect("updated");
    store.set_alias(&f, alias(2), None).await.expect("an alias");
    store.delete(&f, None).await.expect("deleted");
    let seen = tokio::time::timeout(Duration::from_secs(10), events.take(3).collect::<Vec<_>>());
    let seen = seen.await.expect("three events within 10 s");
    let brief = seen
        .into_iter()
        .map(|event| match event.expect("an event") {
            RegistryEvent::Changed(record) => (record.latest.number.0, record.aliases.len()),
            RegistryEvent::Deleted(_) => (0, 0),
        });
    assert_eq!(brief.collect::<Vec<_>>(), [(2, 0), (2, 1), (0, 0)]);
}

/// Makes a test of each case of [`MetadataStore`]'s suite; the factory is an `async` closure.
#[macro_export]
macro_rules! metadata_store_conformance {
    ($factory:expr) => {
        $crate::metadata_store_conformance! { @cases $factory;
            create_once update_makes_a_revision numbers_rise optimistic validated
            delete_removes_all list_is_by_namespace watch_misses_nothing
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::registry::conformance::$case(($factory)().await).await;
        }
    )*};
}
