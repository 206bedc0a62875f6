//! The suite of W4's contract.

use std::sync::Arc;

use faas_core::{ErrorKind, ExecutionId, Namespace, TaskId};
use jiff::Timestamp;
use serde_json::Value;

use super::model::EngineEvent;
use super::{
    Append, Epoch, ExecutionFilter, ExecutionHead, ExecutionName, ExecutionStatus, OpenEpoch,
    TransitionNumber, WorkflowExecutionStore,
};
use crate::history::{HistoryQuery, HistoryRecord};
use crate::program::{Ending, TaskNumber, TimerNumber};

/// A fresh store.
pub type Subject = Arc<dyn WorkflowExecutionStore>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "atomic",
    "predecessor",
    "name_once",
    "fenced",
    "submitted_at_call",
    "loads_all",
    "history",
    "open_listed",
    "timers_due",
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
        "fenced" => fenced(subject).await,
        "submitted_at_call" => submitted_at_call(subject).await,
        "loads_all" => loads_all(subject).await,
        "history" => history(subject).await,
        "open_listed" => open_listed(subject).await,
        "timers_due" => timers_due(subject).await,
        "exclusive_voids" => exclusive_voids(subject).await,
        "epochs_rise" => epochs_rise(subject).await,
        "renewals_count" => renewals_count(subject).await,
        other => panic!("there is no case {other}"),
    }
}

const ID: ExecutionId = ExecutionId::from_u128(7);

async fn open(subject: &Subject) -> Epoch {
    let opened = subject.open_epoch(OpenEpoch::shared()).await;
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
    let mut append = Append::new(head, vec![event(number)]);
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

/// "an append's events, head, timers, snapshot and indexes appear together or not at all."
pub async fn atomic(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    // It does not follow, so nothing of it may appear.
    let mut wrong = transition(epoch, 3);
    wrong.head.ending = Some(Ending::Cancelled("wrong".into()));
    wrong.timers_set = vec![(TimerNumber(1), time(5))];
    wrong.snapshot = Some("wrong".into());
    assert!(subject.append(wrong).await.is_err(), "it does not follow");
    let stored = subject.load(ID).await.expect("it is there");
    assert_eq!(stored.events, [event(1)]);
    assert_eq!((stored.snapshot, stored.head.ending), (None, None));
    assert!(subject.timers(time(9), 9).await.expect("timers").is_empty());
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

/// "an append under a void or unknown epoch is `PermissionDenied` and changes nothing."
pub async fn fenced(subject: Subject) {
    let old = open(&subject).await;
    append(&subject, transition(old, 1)).await;
    subject.void_epoch(old).await.expect("it can be voided");
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

/// "an execution is listed under exactly its head's status."
pub async fn open_listed(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    let listed = async |status| {
        let page = subject
            .list(ExecutionFilter::new(status))
            .await
            .expect("a page");
        page.executions
            .iter()
            .map(|head| head.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(ExecutionStatus::Running).await, [ID]);
    let mut last = transition(epoch, 2);
    last.head.ending = Some(Ending::Cancelled("enough".into()));
    append(&subject, last).await;
    assert_eq!(listed(ExecutionStatus::Running).await, []);
    assert_eq!(listed(ExecutionStatus::Cancelled).await, [ID]);
}

/// "`timers` answers the timers set and not cleared whose time is not after the one asked for,
/// soonest first."
pub async fn timers_due(subject: Subject) {
    let epoch = open(&subject).await;
    let mut first = transition(epoch, 1);
    let timers = [(1, 30), (2, 10), (3, 20), (4, 99)];
    first.timers_set = timers
        .map(|(timer, at)| (TimerNumber(timer), time(at)))
        .into();
    append(&subject, first).await;
    let due = async || {
        let due = subject.timers(time(30), 9).await.expect("timers");
        due.iter().map(|due| due.timer.0).collect::<Vec<_>>()
    };
    assert_eq!(due().await, [2, 3, 1]);
    let mut second = transition(epoch, 2);
    second.timers_cleared = vec![(TimerNumber(3), time(20))];
    append(&subject, second).await;
    assert_eq!(due().await, [2, 1]);
}

/// "opening an epoch as exclusive voids all earlier ones."
pub async fn exclusive_voids(subject: Subject) {
    let old = open(&subject).await;
    let new = subject
        .open_epoch(OpenEpoch::exclusive())
        .await
        .expect("an epoch");
    refused(&subject, transition(old, 1), ErrorKind::PermissionDenied).await;
    append(&subject, transition(new.epoch, 1)).await;
    assert_eq!(subject.epochs().await.expect("epochs"), [new]);
}

/// "an epoch's number is greater than that of every earlier one."
pub async fn epochs_rise(subject: Subject) {
    let first = open(&subject).await;
    let second = open(&subject).await;
    subject.void_epoch(second).await.expect("it can be voided");
    let third = open(&subject).await;
    assert!(
        first < second && second < third,
        "{first:?} {second:?} {third:?}"
    );
    let live: Vec<_> = subject
        .epochs()
        .await
        .expect("epochs")
        .iter()
        .map(|s| s.epoch)
        .collect();
    assert_eq!(live, [first, third]);
}

/// "each renewal raises the epoch's count; that of a void epoch is `PermissionDenied`."
pub async fn renewals_count(subject: Subject) {
    let epoch = open(&subject).await;
    for expected in 1..=3 {
        let state = subject.renew_epoch(epoch).await.expect("it is not void");
        assert_eq!(state.renewals, expected);
    }
    assert_eq!(subject.epochs().await.expect("epochs")[0].renewals, 3);
    subject.void_epoch(epoch).await.expect("it can be voided");
    let error = subject.renew_epoch(epoch).await.expect_err("it is void");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

/// Makes a test of each case of W4's suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! workflow_execution_store_conformance {
    ($factory:expr) => {
        $crate::workflow_execution_store_conformance!(@cases $factory, atomic predecessor name_once fenced submitted_at_call loads_all history open_listed timers_due exclusive_voids epochs_rise renewals_count);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::execution_store::conformance::$case(($factory)().await).await;
        }
    )*};
}
