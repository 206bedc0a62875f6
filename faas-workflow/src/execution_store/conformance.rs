//! The suite of W4's contract.

mod indexes;
mod owners;

use std::sync::Arc;

use faas_core::{ErrorKind, ExecutionId, Namespace, TaskId};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Append, EngineEvent, Epoch, ExecutionFilter, ExecutionHead, ExecutionName, ExecutionStatus,
    OpenEpoch, TransitionNumber, WorkflowExecutionStore,
};
use crate::history::{HistoryQuery, HistoryRecord};
use crate::program::{Ending, TaskNumber};

pub use indexes::{due_listed, ended_pushed, listed, orphans_listed};
pub use owners::{epochs_rise, exclusive_voids, renewals_count};

/// A fresh store.
pub type Subject = Arc<dyn WorkflowExecutionStore>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "atomic",
    "predecessor",
    "name_once",
    "successor",
    "fenced",
    "submitted_at_call",
    "loads_all",
    "history",
    "listed",
    "ended_pushed",
    "due_listed",
    "orphans_listed",
    "exclusive_voids",
    "epochs_rise",
    "renewals_count",
];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "atomic" => atomic(subject).await,
        "predecessor" => predecessor(subject).await,
        "name_once" => name_once(subject).await,
        "successor" => successor(subject).await,
        "fenced" => fenced(subject).await,
        "submitted_at_call" => submitted_at_call(subject).await,
        "loads_all" => loads_all(subject).await,
        "history" => history(subject).await,
        "listed" => listed(subject).await,
        "ended_pushed" => ended_pushed(subject).await,
        "due_listed" => due_listed(subject).await,
        "orphans_listed" => orphans_listed(subject).await,
        "exclusive_voids" => exclusive_voids(subject).await,
        "epochs_rise" => epochs_rise(subject).await,
        "renewals_count" => renewals_count(subject).await,
        other => panic!("there is no case {other}"),
    }
}

const ID: ExecutionId = ExecutionId::from_u128(7);

async fn open(subject: &Subject) -> Epoch {
    let opened = subject.epochs().open(OpenEpoch::shared()).await;
    opened.expect("an epoch can be opened").epoch
}

fn name(text: &str) -> ExecutionName {
    ExecutionName::new(text).expect("a name")
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn event(number: u64) -> EngineEvent {
    EngineEvent::Started {
        task: TaskNumber(number),
        id: TaskId::from_u128(number.into()),
        at: time(0),
    }
}

/// Transition `number` with one event and one record of that number.
fn transition(epoch: Epoch, number: u64) -> Append {
    let workflow = "flow".parse().expect("a reference");
    let mut head = ExecutionHead::new(ID, name("one"), workflow, epoch);
    head.transition = TransitionNumber(number);
    let before = (number > 1).then(|| head.standing());
    let mut append = Append::new(head, vec![event(number)]);
    append.before = before;
    append.records = vec![HistoryRecord::new(number, time(0), "Test", Value::Null)];
    append
}

async fn append(subject: &Subject, append: Append) {
    subject.append(append).await.expect("it can be appended");
}

async fn refused(subject: &Subject, append: Append, kind: ErrorKind) {
    let error = subject
        .append(append)
        .await
        .expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
}

/// "an append's events, head, due time, snapshot and indexes appear together or not at all."
pub async fn atomic(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    // It does not follow, so nothing of it may appear.
    let mut wrong = transition(epoch, 3);
    wrong.head.ending = Some(Ending::Cancelled("wrong".into()));
    wrong.due_set = Some(time(5));
    wrong.snapshot = Some("wrong".into());
    assert!(subject.append(wrong).await.is_err(), "it does not follow");
    let stored = subject.load(ID).await.expect("it is there");
    assert_eq!(stored.events, [event(1)]);
    assert_eq!((stored.snapshot, stored.head.ending), (None, None));
    assert_eq!(subject.due(time(9), 9).await.expect("a list"), []);
    let ended = ExecutionFilter::new(ExecutionStatus::Cancelled);
    assert!(
        subject
            .list(ended)
            .await
            .expect("a list")
            .executions
            .is_empty()
    );
}

/// "an append whose number does not follow the stored head's is a `Conflict` and changes nothing."
pub async fn predecessor(subject: Subject) {
    let epoch = open(&subject).await;
    refused(&subject, transition(epoch, 2), ErrorKind::Conflict).await;
    append(&subject, transition(epoch, 1)).await;
    append(&subject, transition(epoch, 2)).await;
    for wrong in [1, 2, 4] {
        refused(&subject, transition(epoch, wrong), ErrorKind::Conflict).await;
    }
    let head = subject.head(ID).await.expect("it is there");
    assert_eq!(head.transition, TransitionNumber(2));
}

/// "the first append of a second execution of one name (and namespace) is a `Conflict` and changes
/// nothing."
pub async fn name_once(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    let mut second = transition(epoch, 1);
    second.head.id = ExecutionId::from_u128(8);
    refused(&subject, second.clone(), ErrorKind::Conflict).await;
    let missing = subject
        .head(second.head.id)
        .await
        .expect_err("it was refused");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let found = subject.find(&Namespace::default(), &name("one")).await;
    assert_eq!(found.expect("it can be looked up"), Some(ID));
    second.head.workflow.namespace = Namespace::new("other").expect("a name");
    append(&subject, second).await;
}

/// "the first append of a successor appears together with the append that names it, and takes the
/// name over."
pub async fn successor(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    let next = |number| {
        let mut last = transition(epoch, number);
        let mut first = transition(epoch, 1);
        first.head = last.head.continued_as(ExecutionId::from_u128(8), time(1));
        first.head.transition = TransitionNumber(1);
        last.head.ending = Some(Ending::Continued(first.head.id));
        last.successor = Some(Box::new(first));
        last
    };
    refused(&subject, next(3), ErrorKind::Conflict).await;
    let find = async || {
        let found = subject.find(&Namespace::default(), &name("one")).await;
        found.expect("it can be looked up")
    };
    assert_eq!(find().await, Some(ID), "the append was refused");
    let wanted = next(2);
    let new = ExecutionId::from_u128(8);
    append(&subject, wanted.clone()).await;
    assert_eq!(find().await, Some(new));
    let head = subject.head(new).await.expect("it is there");
    let first = wanted.successor.expect("it has one");
    assert_eq!(head, first.head);
    let stored = subject.load(new).await.expect("it is there");
    assert_eq!(stored.events, first.events);
    let old = subject.head(ID).await.expect("it is there");
    assert_eq!(old.status(), ExecutionStatus::Continued);
}

/// "an append under a void or unknown epoch is `PermissionDenied` and changes nothing."
pub async fn fenced(subject: Subject) {
    let old = open(&subject).await;
    append(&subject, transition(old, 1)).await;
    subject.epochs().void(old).await.expect("it can be voided");
    refused(&subject, transition(old, 2), ErrorKind::PermissionDenied).await;
    refused(
        &subject,
        transition(Epoch(old.0 + 99), 2),
        ErrorKind::PermissionDenied,
    )
    .await;
    let new = open(&subject).await;
    append(&subject, transition(new, 2)).await;
    assert_eq!(subject.load(ID).await.expect("it is there").events.len(), 2);
}

/// "`append` submits when it is called, not when its future is polled; dropping the future cancels
/// nothing; appends of one execution take effect in call order."
pub async fn submitted_at_call(subject: Subject) {
    let epoch = open(&subject).await;
    drop(subject.append(transition(epoch, 1)));
    let second = subject.append(transition(epoch, 2));
    let third = subject.append(transition(epoch, 3));
    third
        .await
        .expect("it follows the second, which was submitted before");
    second
        .await
        .expect("it follows the first, which was submitted though dropped");
    assert_eq!(subject.load(ID).await.expect("it is there").events.len(), 3);
}

/// "`load` answers the last snapshot and every transition after it, in order."
pub async fn loads_all(subject: Subject) {
    let epoch = open(&subject).await;
    for number in 1..=600 {
        let mut next = transition(epoch, number);
        let due = [5, 10].contains(&number);
        next.snapshot = due.then(|| format!("after {number}").into());
        append(&subject, next).await;
    }
    let stored = subject.load(ID).await.expect("it is there");
    assert_eq!(stored.snapshot.as_deref(), Some(&b"after 10"[..]));
    assert_eq!(stored.events, (11..=600).map(event).collect::<Vec<_>>());
    assert_eq!(stored.head.transition, TransitionNumber(600));
}

/// "`history` answers every record of every transition, in order, page by page."
pub async fn history(subject: Subject) {
    let epoch = open(&subject).await;
    for number in 1..=20 {
        append(&subject, transition(epoch, number)).await;
    }
    let mut query = HistoryQuery::new(ID).limit(7);
    let mut found = Vec::new();
    loop {
        let page = subject.history(query.clone()).await.expect("a page");
        assert!(
            page.records.len() <= 7,
            "pages end where transitions do: one record each"
        );
        found.extend(page.records.iter().map(|record| record.id));
        match page.next {
            Some(next) => query = query.from(next),
            None => break,
        }
    }
    assert_eq!(found, (1..=20).collect::<Vec<_>>());
}

/// Makes a test of each case of W4's suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! workflow_execution_store_conformance {
    ($factory:expr) => {
        $crate::workflow_execution_store_conformance!(@cases $factory, atomic predecessor name_once successor fenced submitted_at_call loads_all history listed ended_pushed due_listed orphans_listed exclusive_voids epochs_rise renewals_count);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::execution_store::conformance::$case(($factory)().await).await;
        }
    )*};
}
