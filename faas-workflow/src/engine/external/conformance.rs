//! The suite of [`ExternalTasks`]' contract.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, ExecutionId};
use serde_json::{Value, json};

use super::{ExternalTasks, PollTask, WorkerTask};
use crate::builder::{Expression, WorkflowBuilder};
use crate::engine::WorkflowEngine;
use crate::engine::conformance::{Probe, register, soon, start, wait};
use crate::history::HistoryQuery;
use crate::program::{Data, Ending, ResourceName, TaskError, TaskNumber, TaskToken};

pub use crate::engine::conformance::Subject;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "completed_once",
    "completion_is_stored",
    "heartbeat_told",
    "polled_once",
    "poll_waits",
];

/// Runs the case of that name.
pub async fn run(case: &str, subject: Subject) {
    match case {
        "completed_once" => completed_once(subject).await,
        "completion_is_stored" => completion_is_stored(subject).await,
        "heartbeat_told" => heartbeat_told(subject).await,
        "polled_once" => polled_once(subject).await,
        "poll_waits" => poll_waits(subject).await,
        other => panic!("there is no case {other}"),
    }
}

/// Work for a worker, then a function.
async fn work(subject: &Subject) {
    let definition = WorkflowBuilder::new()
        .worker("paint", "painters", |task| task)
        .task("after", "second", |task| {
            task.input(Expression::result("paint", ""))
        })
        .output(Expression::result("after", ""));
    register(subject, definition.build().expect("it is valid")).await;
}

fn tasks(engine: &Arc<dyn WorkflowEngine>) -> &dyn ExternalTasks {
    engine.external_tasks().expect("it has such tasks")
}

fn painters() -> PollTask {
    let name = ResourceName::new("painters").expect("a name");
    PollTask::new(Default::default(), name).worker("ada")
}

async fn poll(engine: &Arc<dyn WorkflowEngine>) -> WorkerTask {
    let work = soon("poll", tasks(engine).poll(painters())).await;
    work.expect("there is work")
}

fn answer(value: Value) -> Result<Data, TaskError> {
    Ok(Data::new(value))
}

async fn complete(engine: &Arc<dyn WorkflowEngine>, token: &TaskToken, value: Value) {
    let done = soon("complete", tasks(engine).complete(token, answer(value))).await;
    done.expect("the task waits");
}

async fn unknown(engine: &Arc<dyn WorkflowEngine>, token: &TaskToken) {
    let again = soon("complete", tasks(engine).complete(token, answer(json!(0)))).await;
    let error = again.expect_err("nobody waits for it");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

async fn output(engine: &Arc<dyn WorkflowEngine>, id: ExecutionId) -> Value {
    match wait(engine, id).await.ending {
        Some(Ending::Succeeded(output)) => (*output).clone(),
        other => panic!("it ended as {other:?}"),
    }
}

/// "the first `complete` of a running task's token ends the task; one that comes later, or with
/// another secret, is `NotFound` and changes nothing."
pub async fn completed_once(subject: Subject) {
    work(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let token = poll(&engine).await.token;
    let forged = TaskToken::new(token.execution, token.task, 1);
    unknown(&engine, &forged).await;
    let other = TaskToken::new(token.execution, TaskNumber(99), 1);
    unknown(&engine, &other).await;
    complete(&engine, &token, json!("red")).await;
    unknown(&engine, &token).await;
    probe.release();
    assert_eq!(output(&engine, id).await, json!("red"));
    unknown(&engine, &token).await;
}

/// "what `complete` acknowledged survives the engine as the store's durability has it."
pub async fn completion_is_stored(subject: Subject) {
    work(&subject).await;
    let probe = Arc::new(Probe::default());
    probe.hold("second");
    let engine = subject.open(probe.clone()).await;
    let id = start(&engine).await.id;
    let token = poll(&engine).await.token;
    drop(engine);
    // A task survives the engine that handed it out, too.
    let engine = subject.open(probe.clone()).await;
    complete(&engine, &token, json!("red")).await;
    drop(engine);
    probe.release();
    let engine = subject.open(probe).await;
    assert_eq!(output(&engine, id).await, json!("red"));
}

/// "a heartbeat of a running task is told to its program; one of another token is `NotFound`."
pub async fn heartbeat_told(subject: Subject) {
    work(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    let id = start(&engine).await.id;
    let token = poll(&engine).await.token;
    let history = async || {
        let page = engine.history(HistoryQuery::new(id)).await;
        let page = page.expect("a page");
        let beats = page.records.iter().filter(|r| r.kind == "TaskHeartbeat");
        beats.count()
    };
    assert_eq!(history().await, 0);
    let beat = soon("heartbeat", tasks(&engine).heartbeat(&token)).await;
    beat.expect("the task runs");
    assert_eq!(history().await, 1, "the program records heartbeats");
    let forged = TaskToken::new(token.execution, token.task, 1);
    let error = soon("heartbeat", tasks(&engine).heartbeat(&forged)).await;
    let error = error.expect_err("it is no token");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    complete(&engine, &token, json!("red")).await;
    let error = soon("heartbeat", tasks(&engine).heartbeat(&token)).await;
    let error = error.expect_err("the task has ended");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// "a task is handed to one worker; it is handed out again if the future of `poll` was dropped
/// before it answered."
pub async fn polled_once(subject: Subject) {
    work(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    // Somebody stops waiting, before and while there is work.
    let brief = Duration::from_millis(1);
    let gone = tokio::time::timeout(brief, tasks(&engine).poll(painters())).await;
    assert!(gone.is_err(), "there is no work yet");
    let mut waiting = Box::pin(tasks(&engine).poll(painters()));
    assert!(
        futures::poll!(&mut waiting).is_pending(),
        "there is no work yet"
    );
    let id = start(&engine).await.id;
    tokio::task::yield_now().await;
    drop(waiting);
    let token = poll(&engine).await.token;
    let second = tokio::time::timeout(brief, tasks(&engine).poll(painters())).await;
    assert!(second.is_err(), "it was handed out twice");
    complete(&engine, &token, json!("red")).await;
    assert_eq!(output(&engine, id).await, json!("red"));
}

/// "`poll` answers as soon as there is work, however long it had to wait."
pub async fn poll_waits(subject: Subject) {
    work(&subject).await;
    let engine = subject.open(Arc::new(Probe::default())).await;
    let patient = engine.clone();
    let polled = tokio::spawn(async move { tasks(&patient).poll(painters()).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!polled.is_finished(), "there is no work yet");
    let id = start(&engine).await.id;
    let work = soon("poll", polled).await.expect("no panic");
    let work = work.expect("there is work");
    assert_eq!((work.token.execution, &*work.input), (id, &json!(1)));
    complete(&engine, &work.token, json!("red")).await;
    assert_eq!(output(&engine, id).await, json!("red"));
}

/// Makes a test of each case of the suite; the factory is an expression of a type
/// `async Fn() -> Subject`.
#[macro_export]
macro_rules! external_tasks_conformance {
    ($factory:expr) => {
        $crate::external_tasks_conformance!(@cases $factory, completed_once completion_is_stored heartbeat_told polled_once poll_waits);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::engine::external::conformance::$case(($factory)().await).await;
        }
    )*};
}
