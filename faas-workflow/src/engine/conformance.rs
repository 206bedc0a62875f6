//! The suite of W2's contract.

mod probe;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{ErrorKind, ExecutionId, Invoker, Name, Namespace};
use serde_json::{Value, json};

use super::{StartExecution, WorkflowEngine};
use crate::builder::{Expression, WorkflowBuilder};
use crate::execution_store::{ExecutionHead, ExecutionName, ExecutionStatus};
use crate::history::HistoryQuery;
use crate::program::{Ending, Signal};
use crate::registry::{Definition, RegisterWorkflow, WorkflowRegistry};

pub use probe::Probe;

/// Makes engines over one durable place.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The registry of the engines, which compiles the language of the Rust builder.
    fn registry(&self) -> Arc<dyn WorkflowRegistry>;
    /// An engine that calls functions through `invoker`, and has taken over all that is open.
    /// Dropping the last reference to it is its crash.
    async fn open(&self, invoker: Arc<dyn Invoker>) -> Arc<dyn WorkflowEngine>;
}

/// A fresh place.
pub type Subject = Arc<dyn Harness>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "start_once",
    "acknowledged_is_stored",
    "never_again",
    "same_key",
    "pinned",
    "failure_is_an_ending",
    "cancel_reaches",
    "cancel_safe",
    "wait_ends",
    "history_ordered",
];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "start_once" => start_once(subject).await,
        "acknowledged_is_stored" => acknowledged_is_stored(subject).await,
        "never_again" => never_again(subject).await,
        "same_key" => same_key(subject).await,
        "pinned" => pinned(subject).await,
        "failure_is_an_ending" => failure_is_an_ending(subject).await,
        "cancel_reaches" => cancel_reaches(subject).await,
        "cancel_safe" => cancel_safe(subject).await,
        "wait_ends" => wait_ends(subject).await,
        "history_ordered" => history_ordered(subject).await,
        other => panic!("there is no case {other}"),
    }
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("{what} took longer than {PATIENCE:?}");
    };
    value
}

pub(crate) async fn register(subject: &Subject, definition: Definition) {
    let name = "flow".parse().expect("a name");
    let request = RegisterWorkflow::new(Namespace::default(), name, definition);
    subject
        .registry()
        .register(request)
        .await
        .expect("it is valid");
}

/// A chain of two calls: `first`, whose result goes to `second`.
pub(crate) async fn chain(subject: &Subject) {
    let definition = WorkflowBuilder::new()
        .task("a", "first", |task| task)
        .task("b", "second", |task| {
            task.input(Expression::result("a", ""))
        })
        .output(Expression::result("b", ""));
    register(subject, definition.build().expect("it is valid")).await;
}

pub(crate) fn request(name: &str, input: Value) -> StartExecution {
    let name = ExecutionName::new(name).expect("a name");
    StartExecution::new("flow".parse().expect("a name"), name, input)
}

pub(crate) async fn start(engine: &Arc<dyn WorkflowEngine>) -> ExecutionHead {
    let started = soon("start", engine.start(request("one", json!(1)))).await;
    started.expect("it can be started")
}

pub(crate) async fn wait(engine: &Arc<dyn WorkflowEngine>, id: ExecutionId) -> ExecutionHead {
    soon("wait", engine.wait(id)).await.expect("it ends")
}

/// "starting again under the same name, with the same workflow and input, answers the first
/// execution and starts nothing; with another workflow or input it is `AlreadyExists`."
pub async fn start_once(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    let engine = subject.open(probe.clone()).await;
    let first = start(&engine).await;
    assert_eq!(start(&engine).await.id, first.id);
    wait(&engine, first.id).await;
    assert_eq!(start(&engine).await.id, first.id);
    let other = soon("start", engine.start(request("one", json!(2)))).await;
    assert_eq!(
        other.expect_err("another input").kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(probe.calls("first").len(), 1);
}

/// "what `start`, `signal` and `cancel` acknowledged, and what `wait` and `describe_execution`
/// showed, survives the engine as the store's durability has it."
pub async fn acknowledged_is_stored(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let signal = Signal::new(Name::new("hello").expect("a name"), json!(1));
    soon("signal", engine.signal(id, signal))
        .await
        .expect("it runs");
    drop(engine);
    let engine = subject.open(probe.clone()).await;
    let history = engine
        .history(HistoryQuery::new(id))
        .await
        .expect("it was acknowledged");
    let signalled = history
        .records
        .iter()
        .any(|record| record.kind == "SignalReceived");
    assert!(signalled, "the signal was acknowledged");
    soon("cancel", engine.cancel(id, "enough"))
        .await
        .expect("it runs");
    drop(engine);
    let engine = subject.open(probe).await;
    let head = wait(&engine, id).await;
    assert_eq!(
        head.status(),
        ExecutionStatus::Cancelled,
        "the cancel was acknowledged"
    );
    drop(engine);
    let engine = subject.open(Arc::new(Probe::default())).await;
    let again = engine.describe_execution(id).await.expect("it was shown");
    assert_eq!(again.ending, head.ending);
}

/// "a task whose result was recorded is never run again."
pub async fn never_again(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the second call", probe.called("second", 1)).await;
    drop(engine);
    probe.release();
    let engine = subject.open(probe.clone()).await;
    wait(&engine, id).await;
    assert_eq!(probe.calls("first").len(), 1, "its result was recorded");
    assert!(probe.calls("second").len() >= 2, "it had no result");
}

/// "a task without a recorded result is run again after a crash, with the same idempotency key."
pub async fn same_key(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the first call", probe.called("first", 1)).await;
    drop(engine);
    probe.release();
    let engine = subject.open(probe.clone()).await;
    let head = wait(&engine, id).await;
    assert_eq!(head.status(), ExecutionStatus::Succeeded);
    let keys = probe.calls("first");
    assert_eq!(keys.len(), 2, "it was called before and after the crash");
    assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
    assert_ne!(
        keys[0],
        probe.calls("second")[0],
        "another task has another key"
    );
}

/// "an execution keeps the version that it started with."
pub async fn pinned(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the first call", probe.called("first", 1)).await;
    let newer = WorkflowBuilder::new().output(Expression::literal("newer"));
    register(&subject, newer.build().expect("it is valid")).await;
    drop(engine);
    probe.release();
    let engine = subject.open(probe.clone()).await;
    let head = wait(&engine, id).await;
    assert!(
        !probe.calls("second").is_empty(),
        "the version pinned calls it"
    );
    assert_eq!(head.workflow.version.map(|version| version.0), Some(1));
}

/// "a workflow that fails is an `Ok` whose head says so."
pub async fn failure_is_an_ending(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.fail("second");
    let engine = subject.open(probe).await;
    let id = start(&engine).await.id;
    match wait(&engine, id).await.ending {
        Some(Ending::Failed(error)) => assert_eq!(error.kind, "Probe.Failed"),
        other => panic!("it ended as {other:?}"),
    }
}

/// "after `cancel` the execution ends as cancelled, and the futures of its invocations are
/// dropped."
pub async fn cancel_reaches(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    soon("the first call", probe.called("first", 1)).await;
    soon("cancel", engine.cancel(id, "enough"))
        .await
        .expect("it runs");
    let head = wait(&engine, id).await;
    assert_eq!(head.ending, Some(Ending::Cancelled("enough".into())));
    soon("dropping the call", probe.idle()).await;
    soon("cancel", engine.cancel(id, "again"))
        .await
        .expect("it stays as it is");
    let again = engine.describe_execution(id).await.expect("it is there");
    assert_eq!(again.ending, head.ending);
}

/// "dropping a future of any method loses nothing that was submitted."
pub async fn cancel_safe(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("first");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let brief = tokio::time::timeout(Duration::from_millis(1), engine.wait(id));
    assert!(brief.await.is_err(), "it cannot have ended");
    probe.release();
    assert_eq!(wait(&engine, id).await.status(), ExecutionStatus::Succeeded);
}

/// "`wait` answers when the execution has ended, at once if it had before."
pub async fn wait_ends(subject: Subject) {
    chain(&subject).await;
    let probe = Arc::new(Probe::default());
    let engine = subject.open(probe).await;
    let id = start(&engine).await.id;
    let first = wait(&engine, id).await;
    assert!(first.status().is_ended(), "it had not ended");
    assert_eq!(wait(&engine, id).await.ending, first.ending);
    let unknown = soon("wait", engine.wait(ExecutionId::from_u128(1))).await;
    assert_eq!(
        unknown.expect_err("nobody started it").kind(),
        ErrorKind::NotFound
    );
}

/// "the history's records come in the order of their numbers, without gaps."
pub async fn history_ordered(subject: Subject) {
    chain(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    let id = start(&engine).await.id;
    wait(&engine, id).await;
    let mut query = HistoryQuery::new(id).limit(2);
    let mut ids = Vec::new();
    loop {
        let page = engine.history(query.clone()).await.expect("a page");
        ids.extend(page.records.iter().map(|record| record.id));
        match page.next {
            Some(next) => query = query.from(next),
            None => break,
        }
    }
    assert!(ids.len() > 3, "{ids:?}");
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
}

/// Makes a test of each case of W2's suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! workflow_engine_conformance {
    ($factory:expr) => {
        $crate::workflow_engine_conformance!(@cases $factory, start_once acknowledged_is_stored never_again same_key pinned failure_is_an_ending cancel_reaches cancel_safe wait_ends history_ordered);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::engine::conformance::$case(($factory)().await).await;
        }
    )*};
}
