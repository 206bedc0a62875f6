//! The suites of [`ExecutionQueries`]' and [`ExecutionRedrives`]' contracts.

use std::sync::Arc;

use faas_core::{Error, ErrorKind, ExecutionId, Name};
use serde_json::{Value, json};

use super::{ExecutionQueries, ExecutionRedrives};
use crate::engine::WorkflowEngine;
use crate::engine::conformance::{Probe, chain, soon, start, wait};
use crate::execution_store::{ExecutionStatus, TransitionNumber};
use crate::history::HistoryQuery;
use crate::program::{Ending, Query, Signal};

pub use crate::engine::conformance::Subject;

/// The names of all cases of queries.
pub const QUERY_CASES: &[&str] = &[
    "answers_what_is_stored",
    "changes_nothing",
    "answers_the_ended",
];
/// The names of all cases of changes.
pub const CHANGE_CASES: &[&str] = &["told_of_more", "told_of_the_end"];
/// The names of all cases of redrives.
pub const REDRIVE_CASES: &[&str] = &["goes_on", "only_the_unsuccessful"];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "answers_what_is_stored" => answers_what_is_stored(subject).await,
        "changes_nothing" => changes_nothing(subject).await,
        "answers_the_ended" => answers_the_ended(subject).await,
        "told_of_more" => told_of_more(subject).await,
        "told_of_the_end" => told_of_the_end(subject).await,
        "goes_on" => goes_on(subject).await,
        "only_the_unsuccessful" => only_the_unsuccessful(subject).await,
        other => panic!("there is no case {other}"),
    }
}

fn queries(engine: &Arc<dyn WorkflowEngine>) -> &dyn ExecutionQueries {
    engine.queries().expect("it answers questions")
}

fn redrives(engine: &Arc<dyn WorkflowEngine>) -> &dyn ExecutionRedrives {
    engine.redrives().expect("it redrives")
}

async fn ask(
    engine: &Arc<dyn WorkflowEngine>,
    id: ExecutionId,
    question: &str,
) -> Result<Value, Error> {
    let query = Query::new(Name::new(question).expect("a name"), json!("a"));
    let answer = soon("query", queries(engine).query(id, query)).await;
    answer.map(|answer| (*answer).clone())
}

/// "an answer shows nothing that could still be lost, and all that was acknowledged before the
/// question."
pub async fn answers_what_is_stored(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the second call", probe.called("second", 1)).await;
    let shown = ask(&engine, id, "progress").await.expect("it answers");
    assert_eq!(shown, json!({ "a": "done", "b": "running" }));
    drop(engine);
    let engine = subject.open(probe).await;
    let again = ask(&engine, id, "progress").await.expect("it answers");
    assert_eq!(again, shown, "what was shown is lost");
}

/// "a question leaves no trace in the execution."
pub async fn changes_nothing(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let seen = async || {
        let page = engine.history(HistoryQuery::new(id)).await;
        let head = engine.describe_execution(id).await;
        (page.expect("a page").records, head.expect("it is there"))
    };
    soon("the first call", probe.called("first", 1)).await;
    let before = seen().await;
    ask(&engine, id, "progress").await.expect("it answers");
    let wrong = ask(&engine, id, "nonsense").await;
    let wrong = wrong.expect_err("nobody understands it");
    assert_eq!(wrong.kind(), ErrorKind::InvalidArgument);
    assert_eq!(seen().await, before);
    let nobody = ask(&engine, ExecutionId::from_u128(1), "progress").await;
    let nobody = nobody.expect_err("nobody started it");
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

/// "an execution that has ended answers too."
pub async fn answers_the_ended(subject: Subject) {
    chain(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    let id = start(&engine).await.id;
    wait(&engine, id).await;
    let result = ask(&engine, id, "result").await.expect("it answers");
    assert_eq!(result, json!(1));
}

/// "`changed` answers when more than the transition asked about is stored, at once if it is
/// already; it is told, and does not ask again and again."
pub async fn told_of_more(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the first call", probe.called("first", 1)).await;
    let changes = engine.changes().expect("it tells of changes");
    let head = soon("a change", changes.changed(id, TransitionNumber(0))).await;
    let head = head.expect("it has begun");
    let patient = engine.clone();
    let waiting = tokio::spawn(async move {
        let changes = patient.changes().expect("it tells of changes");
        changes.changed(id, head.transition).await
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "nothing has changed");
    let signal = Signal::new(Name::new("hello").expect("a name"), json!(1));
    soon("signal", engine.signal(id, signal))
        .await
        .expect("it runs");
    let more = soon("a change", waiting).await.expect("no panic");
    let more = more.expect("it goes on");
    assert!(more.transition > head.transition);
    let nobody = changes.changed(ExecutionId::from_u128(1), TransitionNumber(0));
    let nobody = soon("a change", nobody).await;
    assert_eq!(
        nobody.expect_err("nobody started it").kind(),
        ErrorKind::NotFound
    );
}

/// "it answers when the execution has ended, whichever engine runs it."
pub async fn told_of_the_end(subject: Subject) {
    chain(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    let id = start(&engine).await.id;
    let last = wait(&engine, id).await;
    let changes = engine.changes().expect("it tells of changes");
    let told = soon("the end", changes.changed(id, last.transition)).await;
    assert_eq!(told.expect("it has ended"), last);
}

/// "an execution that failed, timed out or was cancelled goes on from where it stopped; what has
/// succeeded is not run again."
pub async fn goes_on(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.fail("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let failed = wait(&engine, id).await;
    assert_eq!(failed.status(), ExecutionStatus::Failed);
    probe.mend();
    probe.hold("second");
    let head = soon("redrive", redrives(&engine).redrive(id)).await;
    let head = head.expect("it has failed");
    assert_eq!(
        (head.status(), head.redrives),
        (ExecutionStatus::Running, 1)
    );
    soon("the second call", probe.called("second", 2)).await;
    soon("cancel", engine.cancel(id, "enough"))
        .await
        .expect("it runs");
    let cancelled = wait(&engine, id).await;
    assert_eq!(cancelled.status(), ExecutionStatus::Cancelled);
    probe.release();
    drop(engine);
    // An execution that has ended is nobody's: any engine may go on with it.
    let engine = subject.open(probe.clone()).await;
    let head = soon("redrive", redrives(&engine).redrive(id)).await;
    assert_eq!(head.expect("it was cancelled").redrives, 2);
    let ended = wait(&engine, id).await;
    assert_eq!(ended.ending, Some(Ending::Succeeded(json!(1).into())));
    assert_eq!(probe.calls("first").len(), 1, "it had succeeded");
    let keys = probe.calls("second");
    assert_eq!(keys.len(), 3);
    assert!(
        keys[0] != keys[1] && keys[1] != keys[2],
        "the failed call's answer might be given again"
    );
}

/// "an execution that goes on, has succeeded or was continued is a `Conflict` and stays as it is."
pub async fn only_the_unsuccessful(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let refused = async || {
        let again = soon("redrive", redrives(&engine).redrive(id)).await;
        let again = again.expect_err("it did not fail");
        assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
    };
    soon("the second call", probe.called("second", 1)).await;
    refused().await;
    let signal = Signal::new(Name::new("hello").expect("a name"), json!(1));
    soon("signal", engine.signal(id, signal))
        .await
        .expect("it runs");
    refused().await;
    probe.release();
    let ended = wait(&engine, id).await;
    assert_eq!(ended.status(), ExecutionStatus::Succeeded);
    refused().await;
    let still = engine.describe_execution(id).await.expect("it is there");
    assert_eq!(still, ended);
    let nobody = soon(
        "redrive",
        redrives(&engine).redrive(ExecutionId::from_u128(1)),
    )
    .await;
    let nobody = nobody.expect_err("nobody started it");
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! execution_queries_conformance {
    ($factory:expr) => {
        $crate::execution_queries_conformance!(@cases $factory, answers_what_is_stored changes_nothing answers_the_ended);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::engine::control::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! execution_changes_conformance {
    ($factory:expr) => {
        $crate::execution_changes_conformance!(@cases $factory, told_of_more told_of_the_end);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::engine::control::conformance::$case(($factory)().await).await;
        }
    )*};
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! execution_redrives_conformance {
    ($factory:expr) => {
        $crate::execution_redrives_conformance!(@cases $factory, goes_on only_the_unsuccessful);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::engine::control::conformance::$case(($factory)().await).await;
        }
    )*};
}
