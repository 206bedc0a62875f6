//! What is found by other things than its id.

use std::time::Duration;

use super::*;

/// "an execution is listed under exactly its head's status."
pub async fn listed(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    let listed = async |status| {
        let page = subject.list(ExecutionFilter::new(status)).await;
        let heads = page.expect("a page").executions;
        heads.iter().map(|head| head.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(ExecutionStatus::Running).await, [ID]);
    let mut last = transition(epoch, 2);
    last.head.ending = Some(Ending::Cancelled("enough".into()));
    let ended = last.head.standing();
    append(&subject, last).await;
    assert_eq!(listed(ExecutionStatus::Running).await, []);
    assert_eq!(listed(ExecutionStatus::Cancelled).await, [ID]);
    let mut again = transition(epoch, 3);
    again.before = Some(ended);
    append(&subject, again).await;
    assert_eq!(listed(ExecutionStatus::Running).await, [ID]);
    assert_eq!(listed(ExecutionStatus::Cancelled).await, []);
}

/// "`ended` answers when the execution has ended, whoever ended it, at once if it had before; it is
/// told, and does not ask again and again."
pub async fn ended_pushed(subject: Subject) {
    let epoch = open(&subject).await;
    append(&subject, transition(epoch, 1)).await;
    let unknown = subject.ended(ExecutionId::from_u128(9)).await;
    let unknown = unknown.expect_err("nobody knows it").kind();
    assert_eq!(unknown, ErrorKind::NotFound);
    let waiting = subject.clone();
    let waiting = tokio::spawn(async move { waiting.ended(ID).await });
    append(&subject, transition(epoch, 2)).await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "it goes on");
    let mut last = transition(epoch, 3);
    last.head.ending = Some(Ending::Cancelled("enough".into()));
    append(&subject, last).await;
    let told = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    let told = told
        .expect("it is told")
        .expect("no panic")
        .expect("a head");
    assert_eq!(told.status(), ExecutionStatus::Cancelled);
    let again = subject.ended(ID).await.expect("it has ended");
    assert_eq!(again, told);
}

/// "`due` answers the executions whose due time is set, not cleared, and not after the one asked
/// for, soonest first."
pub async fn due_listed(subject: Subject) {
    let epoch = open(&subject).await;
    let id = |number: u64| ExecutionId::from_u128(number.into());
    for (number, at) in [(1, 30), (2, 10), (3, 20), (4, 99)] {
        let mut first = transition(epoch, 1);
        first.head.id = id(number);
        first.head.name = name(&format!("n{number}"));
        first.due_set = Some(time(at));
        append(&subject, first).await;
    }
    let due = async |limit| {
        let due = subject.due(time(30), limit).await.expect("a list");
        due.iter().map(|due| due.execution).collect::<Vec<_>>()
    };
    assert_eq!(due(9).await, [id(2), id(3), id(1)]);
    assert_eq!(due(2).await, [id(2), id(3)]);
    let mut second = transition(epoch, 2);
    second.head.id = id(3);
    second.due_cleared = Some(time(20));
    append(&subject, second).await;
    assert_eq!(due(9).await, [id(2), id(1)]);
}

/// "`orphans` answers exactly the executions that go on and whose head names a void epoch."
pub async fn orphans_listed(subject: Subject) {
    let epochs = [
        open(&subject).await,
        open(&subject).await,
        open(&subject).await,
        open(&subject).await,
    ];
    let id = |number: u64| ExecutionId::from_u128(number.into());
    // Two of each epoch, and one that has ended.
    for number in 0..12 {
        let epoch = epochs[number as usize / 3];
        let mut first = transition(epoch, 1);
        first.head.id = id(number);
        first.head.name = name(&format!("n{number}"));
        if number % 3 == 2 {
            first.head.ending = Some(Ending::Cancelled("enough".into()));
        }
        append(&subject, first).await;
    }
    let orphans = async |limit| {
        let found = subject.orphans(limit).await.expect("a list");
        let mut found: Vec<_> = found.iter().map(|head| head.id).collect();
        found.sort();
        found
    };
    assert_eq!(orphans(99).await, []);
    for void in [1, 3] {
        let voided = subject.epochs().void(epochs[void]).await;
        voided.expect("it can be voided");
    }
    assert_eq!(orphans(99).await, [id(3), id(4), id(9), id(10)]);
    assert_eq!(orphans(3).await.len(), 3);
    let mut adopted = transition(epochs[1], 2);
    adopted.head.id = id(4);
    adopted.before = Some(adopted.head.standing());
    adopted.head.epoch = epochs[0];
    append(&subject, adopted).await;
    assert_eq!(orphans(99).await, [id(3), id(9), id(10)]);
}
