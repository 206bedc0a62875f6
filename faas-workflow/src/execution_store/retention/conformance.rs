//! The suite of [`Retention`]'s contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{ErrorKind, ExecutionId, Namespace};
use jiff::Timestamp;
use serde_json::Value;

use super::Retention;
use crate::execution_store::{
    Append, Epoch, ExecutionFilter, ExecutionHead, ExecutionName, OpenEpoch, TransitionNumber,
    WorkflowExecutionStore,
};
use crate::history::{HistoryQuery, HistoryRecord};
use crate::program::Ending;

/// Makes stores over one durable place, some of which fail.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The store.
    async fn open(&self) -> Arc<dyn WorkflowExecutionStore>;
    /// The same store, whose writes fail after the next `writes` of them.
    async fn failing(&self, writes: usize) -> Arc<dyn WorkflowExecutionStore>;
}

/// A fresh place.
pub type Subject = Arc<dyn Harness>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "expired_listed",
    "deleted_whole",
    "only_the_ended",
    "deleted_in_the_end",
];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "expired_listed" => expired_listed(subject).await,
        "deleted_whole" => deleted_whole(subject).await,
        "only_the_ended" => only_the_ended(subject).await,
        "deleted_in_the_end" => deleted_in_the_end(subject).await,
        other => panic!("there is no case {other}"),
    }
}

type Store = Arc<dyn WorkflowExecutionStore>;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn id(number: u64) -> ExecutionId {
    ExecutionId::from_u128(number.into())
}

fn name(number: u64) -> ExecutionName {
    ExecutionName::new(format!("n{number}")).expect("a name")
}

fn retention(store: &Store) -> &dyn Retention {
    store.retention().expect("it deletes")
}

/// An execution of so many transitions, ended at `ended` seconds, kept for `kept`.
async fn execution(store: &Store, number: u64, transitions: u64, ended: Option<i64>, kept: u64) {
    let epoch = store.epochs().open(OpenEpoch::shared()).await;
    let epoch: Epoch = epoch.expect("an epoch").epoch;
    let workflow = "flow".parse().expect("a reference");
    let mut head = ExecutionHead::new(id(number), name(number), workflow, epoch);
    head.settings.retention = Some(Duration::from_secs(kept));
    let mut before = None;
    for transition in 1..=transitions {
        head.transition = TransitionNumber(transition);
        if let Some(at) = ended.filter(|_| transition == transitions) {
            head.updated = time(at);
            head.ending = Some(Ending::Cancelled("enough".into()));
        }
        let mut append = Append::new(head.clone(), Vec::new());
        append.before = before;
        append.snapshot = (transition == 2).then(|| "snapshot".into());
        append.records = vec![HistoryRecord::new(transition, time(0), "Test", Value::Null)];
        before = Some(head.standing());
        store.append(append).await.expect("it can be appended");
    }
}

async fn expired(store: &Store, at: i64) -> Vec<ExecutionId> {
    let expired = retention(store).expired(time(at), 9).await;
    expired.expect("a list")
}

async fn gone(store: &Store, number: u64) {
    let kind = |error: faas_core::Error| error.kind();
    let head = store.head(id(number)).await.map_err(kind);
    assert_eq!(head, Err(ErrorKind::NotFound));
    let history = store.history(HistoryQuery::new(id(number))).await;
    assert_eq!(history.map_err(kind), Err(ErrorKind::NotFound));
    let found = store.find(&Namespace::default(), &name(number)).await;
    assert_eq!(found.map_err(kind), Ok(None));
    let ended = ExecutionFilter::new(crate::ExecutionStatus::Cancelled);
    let listed = store.list(ended).await.expect("a list").executions;
    assert!(
        listed.iter().all(|head| head.id != id(number)),
        "it is listed"
    );
    assert!(!expired(store, 1 << 30).await.contains(&id(number)));
}

/// "`expired` answers the executions that have ended and whose `expires` is not after the time asked
/// for, soonest first."
pub async fn expired_listed(subject: Subject) {
    let store = subject.open().await;
    execution(&store, 1, 3, Some(10), 20).await;
    execution(&store, 2, 3, Some(10), 10).await;
    execution(&store, 3, 3, None, 1).await;
    execution(&store, 4, 1, Some(10), 99).await;
    assert_eq!(expired(&store, 19).await, []);
    assert_eq!(expired(&store, 30).await, [id(2), id(1)]);
    assert_eq!(expired(&store, 999).await, [id(2), id(1), id(4)]);
}

/// "after `delete` nothing of the execution is left, and its name is free."
pub async fn deleted_whole(subject: Subject) {
    let store = subject.open().await;
    execution(&store, 1, 100, Some(10), 20).await;
    execution(&store, 2, 100, Some(10), 20).await;
    retention(&store).delete(id(1)).await.expect("it has ended");
    gone(&store, 1).await;
    // As if it had never been there: nothing of the old one is in the new one.
    execution(&store, 1, 2, None, 20).await;
    let history = store.history(HistoryQuery::new(id(1))).await;
    assert_eq!(history.expect("a page").records.len(), 2);
    let other = store.history(HistoryQuery::new(id(2))).await;
    assert_eq!(other.expect("a page").records.len(), 100, "another one's");
}

/// "deleting an execution that goes on is a `Conflict` and changes nothing; deleting one that is
/// not there is `NotFound`."
pub async fn only_the_ended(subject: Subject) {
    let store = subject.open().await;
    execution(&store, 1, 3, None, 20).await;
    let error = retention(&store).delete(id(1)).await;
    assert_eq!(error.expect_err("it goes on").kind(), ErrorKind::Conflict);
    let history = store.history(HistoryQuery::new(id(1))).await;
    assert_eq!(history.expect("a page").records.len(), 3);
    let error = retention(&store).delete(id(2)).await;
    assert_eq!(error.expect_err("it never was").kind(), ErrorKind::NotFound);
}

/// "a deletion that was cut short is finished by the next one of the same execution, and `expired`
/// answers the execution until then."
pub async fn deleted_in_the_end(subject: Subject) {
    let store = subject.open().await;
    execution(&store, 1, 300, Some(10), 20).await;
    let mut cut = 0;
    while retention(&subject.failing(cut).await)
        .delete(id(1))
        .await
        .is_err()
    {
        assert_eq!(expired(&store, 30).await, [id(1)], "after {cut} writes");
        cut += 1;
        assert!(cut < 1000, "it makes no progress");
    }
    gone(&store, 1).await;
    execution(&store, 1, 2, None, 20).await;
    let history = store.history(HistoryQuery::new(id(1))).await;
    assert_eq!(history.expect("a page").records.len(), 2);
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! retention_conformance {
    ($factory:expr) => {
        $crate::retention_conformance!(@cases $factory, expired_listed deleted_whole only_the_ended deleted_in_the_end);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::execution_store::retention::conformance::$case(($factory)().await).await;
        }
    )*};
}
