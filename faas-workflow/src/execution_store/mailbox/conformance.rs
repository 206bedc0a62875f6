//! The suite of [`Mailbox`]'s contract.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, ExecutionId};
use futures::StreamExt;

use super::{Content, Letter, LetterId, Mailbox, SentBack};
use crate::execution_store::{
    Append, Epoch, ExecutionHead, OpenEpoch, TransitionNumber, WorkflowExecutionStore,
};
use crate::program::EventKind;

/// A fresh store.
pub type Subject = Arc<dyn WorkflowExecutionStore>;

/// The names of all cases.
pub const CASES: &[&str] = &["stays", "taken_once", "sender_learns", "arrivals_pushed"];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "stays" => stays(subject).await,
        "taken_once" => taken_once(subject).await,
        "sender_learns" => sender_learns(subject).await,
        "arrivals_pushed" => arrivals_pushed(subject).await,
        other => panic!("there is no case {other}"),
    }
}

const ID: ExecutionId = ExecutionId::from_u128(7);

fn mailbox(subject: &Subject) -> &dyn Mailbox {
    subject.mailbox().expect("it has one")
}

fn letter(number: u128) -> Letter {
    let cause = format!("letter {number}");
    let content = Content::Event(EventKind::CancelRequested { cause, error: None });
    Letter::new(LetterId::from(number), ID, content)
}

async fn epoch(subject: &Subject) -> Epoch {
    let opened = subject.epochs().open(OpenEpoch::shared()).await;
    opened.expect("an epoch").epoch
}

fn transition(epoch: Epoch, number: u64) -> Append {
    let name = "one".try_into().expect("a name");
    let workflow = "flow".parse().expect("a reference");
    let mut head = ExecutionHead::new(ID, name, workflow, epoch);
    head.transition = TransitionNumber(number);
    let before = (number > 1).then(|| head.standing());
    let mut append = Append::new(head, Vec::new());
    append.before = before;
    append
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(5), future).await;
    done.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// Sends in the background, until the letter waits.
async fn sent(subject: &Subject, number: u128) -> tokio::task::JoinHandle<faas_core::Result<()>> {
    let sender = subject.clone();
    let sent = tokio::spawn(async move { mailbox(&sender).send(letter(number)).await });
    let there = async {
        while !waiting(subject).await.contains(&letter(number)) {
            tokio::task::yield_now().await;
        }
    };
    soon("sending", there).await;
    sent
}

async fn waiting(subject: &Subject) -> Vec<Letter> {
    mailbox(subject).waiting(ID).await.expect("a list")
}

/// "a letter stays until an append takes it or somebody sends it back, whether or not its sender
/// still waits."
pub async fn stays(subject: Subject) {
    let epoch = epoch(&subject).await;
    let patient = sent(&subject, 1).await;
    sent(&subject, 2).await.abort();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    subject
        .append(transition(epoch, 1))
        .await
        .expect("it can be appended");
    assert_eq!(waiting(&subject).await, [letter(1), letter(2)]);
    assert!(!patient.is_finished(), "nobody took it");
    let mut second = transition(epoch, 2);
    second.letters = vec![letter(1).id, letter(2).id];
    subject.append(second).await.expect("both are there");
    assert_eq!(waiting(&subject).await, []);
    let other = mailbox(&subject).waiting(ExecutionId::from_u128(8)).await;
    assert_eq!(other.expect("a list"), []);
}

/// "an append that takes a letter which is not there is a `Conflict` and changes nothing."
pub async fn taken_once(subject: Subject) {
    let epoch = epoch(&subject).await;
    let _sender = sent(&subject, 1).await;
    let mut first = transition(epoch, 1);
    first.letters = vec![letter(1).id];
    subject.append(first).await.expect("it is there");
    let mut again = transition(epoch, 2);
    again.letters = vec![letter(1).id];
    let error = subject.append(again).await.expect_err("it was taken");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let head = subject.head(ID).await.expect("it is there");
    assert_eq!(head.transition, TransitionNumber(1));
}

/// "`send` answers when the letter was taken, or with the reason for which it was sent back; it is
/// told, and does not ask again and again."
pub async fn sender_learns(subject: Subject) {
    let epoch = epoch(&subject).await;
    let taken = sent(&subject, 1).await;
    let mut first = transition(epoch, 1);
    first.letters = vec![letter(1).id];
    subject.append(first).await.expect("it is there");
    let answer = soon("the sender", taken).await.expect("no panic");
    answer.expect("it was taken");
    for (not_found, kind) in [(true, ErrorKind::NotFound), (false, ErrorKind::Conflict)] {
        let refused = sent(&subject, 2).await;
        let message = "nobody wants it".to_owned();
        let reason = SentBack { not_found, message };
        let back = mailbox(&subject).send_back(&letter(2), reason).await;
        back.expect("it can be sent back");
        let answer = soon("the sender", refused).await.expect("no panic");
        let error = answer.expect_err("it was sent back");
        assert_eq!((error.kind(), error.message()), (kind, "nobody wants it"));
        assert_eq!(waiting(&subject).await, []);
    }
}

/// "`arrivals` gives every letter that waits, then each one that comes."
pub async fn arrivals_pushed(subject: Subject) {
    let _first = sent(&subject, 1).await;
    let mut arrivals = mailbox(&subject).arrivals();
    let next = soon("the first", arrivals.next()).await;
    assert_eq!(next.expect("no end").expect("a letter"), letter(1));
    assert!(futures::poll!(arrivals.next()).is_pending());
    for number in 2..5 {
        let _sender = sent(&subject, number).await;
        let next = soon("the next", arrivals.next()).await;
        assert_eq!(next.expect("no end").expect("a letter"), letter(number));
    }
    let reason = SentBack {
        not_found: true,
        message: "no".into(),
    };
    let back = mailbox(&subject).send_back(&letter(3), reason).await;
    back.expect("it can be sent back");
    let _sender = sent(&subject, 9).await;
    let next = soon("the next", arrivals.next()).await;
    assert_eq!(next.expect("no end").expect("a letter"), letter(9));
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! mailbox_conformance {
    ($factory:expr) => {
        $crate::mailbox_conformance!(@cases $factory, stays taken_once sender_learns arrivals_pushed);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::execution_store::mailbox::conformance::$case(($factory)().await).await;
        }
    )*};
}
