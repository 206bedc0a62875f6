//! The layer, end to end, over a plain invoker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_core::{
    Description, FunctionError, Invocation, Invoker, Payload, PrewarmHint, Response, Result,
};
use faas_workflow::builder::{ErrorPattern, Expression as E, Fallback, RetryRule, WorkflowBuilder};
use faas_workflow::engine::StartExecution;
use faas_workflow::{
    Definition, Ending, ExecutionHead, HistoryQuery, RegisterWorkflow, WorkflowEngine,
    WorkflowLayer,
};
use serde_json::{Value, json};

/// `double`, `sum`, `flaky` (fails twice), `fail`, `unavailable` (twice), `hang`.
#[derive(Default)]
struct Functions {
    flaky: AtomicUsize,
    running: Arc<AtomicUsize>,
    most: AtomicUsize,
}

struct Running(Arc<AtomicUsize>);
impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Invoker for Functions {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(self.running.clone());
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let input: Value = invocation.payload.to_json()?;
        let answer = match invocation.function.name.as_str() {
            "double" => json!(input.as_i64().unwrap_or(0) * 2),
            "sum" => json!(
                input
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_i64)
                    .sum::<i64>()
            ),
            "echo" => input,
            "flaky" if self.flaky.fetch_add(1, Ordering::SeqCst) >= 2 => json!("at last"),
            "unavailable" if self.flaky.fetch_add(1, Ordering::SeqCst) >= 2 => json!("there"),
            "unavailable" => return Err(faas_core::Error::unavailable("invoke", "not now")),
            "hang" => std::future::pending().await,
            _ => {
                return Ok(Response::failure(
                    invocation.id,
                    FunctionError::new("Boom", "it broke"),
                ));
            }
        };
        Ok(Response::success(invocation.id, Payload::json(&answer)?))
    }
    fn prewarm(&self, _: PrewarmHint) {}
    fn describe(&self) -> Description {
        Description::new("Functions")
    }
}

async fn run_on(
    functions: Arc<Functions>,
    definition: Definition,
    input: Value,
) -> (WorkflowLayer, ExecutionHead) {
    let layer = WorkflowLayer::builder()
        .invoker(functions)
        .build()
        .await
        .unwrap();
    let register =
        RegisterWorkflow::new("default".parse().unwrap(), "w".parse().unwrap(), definition);
    layer.registry().register(register).await.unwrap();
    let start = StartExecution::new("w".parse().unwrap(), "one".try_into().unwrap(), input);
    let started = layer.engine().start(start).await.unwrap();
    let ended =
        tokio::time::timeout(Duration::from_secs(100), layer.engine().wait(started.id)).await;
    (layer, ended.unwrap().unwrap())
}

async fn run(definition: Definition, input: Value) -> Ending {
    run_on(Arc::default(), definition, input)
        .await
        .1
        .ending
        .unwrap()
}

fn succeeded(ending: &Ending) -> Value {
    match ending {
        Ending::Succeeded(data) => (**data).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn data_flows_from_input_through_results_to_output() {
    let definition = WorkflowBuilder::new()
        .task("a", "double", |t| t.input(E::input("/x")))
        .task("b", "double", |t| t.input(E::input("/y")))
        .task("c", "sum", |t| {
            t.input(E::list([E::result("a", ""), E::result("b", "")]))
        })
        .output(E::object([
            ("sum", E::result("c", "")),
            ("x", E::input("/x")),
        ]))
        .build()
        .unwrap();
    let (layer, head) = run_on(Arc::default(), definition, json!({"x": 2, "y": 3})).await;
    assert_eq!(succeeded(&head.ending.unwrap()), json!({"sum": 10, "x": 2}));
    let page = layer
        .engine()
        .history(HistoryQuery::new(head.id))
        .await
        .unwrap();
    let ids: Vec<_> = page.records.iter().map(|record| record.id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(page.records.last().unwrap().kind, "ExecutionSucceeded");
    let why = layer.decisions().explain(head.id);
    assert_eq!(why.decisions.len(), 3, "{why}");
    layer.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_map_keeps_order_and_concurrency() {
    let functions = Arc::new(Functions::default());
    let definition = WorkflowBuilder::new()
        .task("m", "double", |t| {
            t.map(E::input(""), 3).input(E::item("/n"))
        })
        .output(E::result("m", ""))
        .build()
        .unwrap();
    let items: Vec<_> = (0..1000).map(|n| json!({ "n": n })).collect();
    let (_layer, head) = run_on(functions.clone(), definition, json!(items)).await;
    let doubled: Vec<_> = (0..1000).map(|n| n * 2).collect();
    assert_eq!(succeeded(&head.ending.unwrap()), json!(doubled));
    assert_eq!(functions.most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn retries_then_succeeds() {
    let definition = WorkflowBuilder::new()
        .task("f", "flaky", |t| {
            t.retry(RetryRule::new(2, Duration::from_secs(10)).on(["Boom"]))
        })
        .output(E::result("f", ""))
        .build()
        .unwrap();
    assert_eq!(
        succeeded(&run(definition, json!(null)).await),
        json!("at last")
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_platform_calls_safe_is_retried_without_a_rule() {
    let definition = WorkflowBuilder::new()
        .task("f", "unavailable", |t| t)
        .output(E::result("f", ""))
        .build()
        .unwrap();
    assert_eq!(
        succeeded(&run(definition, json!(null)).await),
        json!("there")
    );
}

#[tokio::test(start_paused = true)]
async fn a_caught_error_becomes_a_result() {
    let handler = Fallback::Call {
        function: "echo".parse().unwrap(),
        input: E::error("/kind"),
    };
    let definition = WorkflowBuilder::new()
        .task("f", "fail", |t| {
            t.catch(["Other"], Fallback::Value(E::literal(1)))
                .catch(["*"], handler)
        })
        .task("g", "fail", |t| {
            t.catch(["Boom"], Fallback::Value(E::error("/message")))
        })
        .output(E::list([E::result("f", ""), E::result("g", "")]))
        .build()
        .unwrap();
    assert_eq!(
        succeeded(&run(definition, json!(null)).await),
        json!(["Boom", "it broke"])
    );
}

#[tokio::test(start_paused = true)]
async fn an_uncaught_error_fails_the_execution_and_drops_what_runs() {
    let functions = Arc::new(Functions::default());
    let definition = WorkflowBuilder::new()
        .task("h", "hang", |t| t)
        .task("f", "fail", |t| t)
        .build()
        .unwrap();
    let (_layer, head) = run_on(functions.clone(), definition, json!(null)).await;
    assert!(matches!(head.ending, Some(Ending::Failed(error)) if error.kind == "Boom"));
    while functions.running.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_a_task_that_hangs() {
    let definition = WorkflowBuilder::new()
        .task("h", "hang", |t| t.timeout(Duration::from_secs(5)))
        .build()
        .unwrap();
    let ending = run(definition, json!(null)).await;
    assert!(matches!(ending, Ending::Failed(error) if error.kind == "Function.Timeout"));
}

#[test]
fn all_faults_at_once() {
    let error = WorkflowBuilder::new()
        .task("a", "double", |t| {
            t.input(E::result("nobody", "")).after("b")
        })
        .task("a", "x y", |t| t)
        .task("x y", "double", |t| t)
        .task("b", "double", |t| t.input(E::input("no-pointer")))
        .task("b", "double", |t| t.input(E::item("")))
        .build()
        .unwrap_err();
    for path in [
        "/tasks/0/input/result/task",
        "/tasks/1/name: a is the name of /tasks/0 too",
        "/tasks/1/run/function",
        "/tasks/2/name",
        "/tasks/3/input",
        "/tasks/4/name",
        "/tasks/4/input",
    ] {
        assert!(error.message().contains(path), "{path}: {error}");
    }
    let cycle = WorkflowBuilder::new()
        .task("a", "f", |t| t.after("b"))
        .task("b", "f", |t| t.after("a"))
        .build()
        .unwrap_err();
    assert!(cycle.message().contains("waits for itself"), "{cycle}");
}

#[tokio::test(start_paused = true)]
async fn exponential_data_is_bounded() {
    let mut builder =
        WorkflowBuilder::new().task("t0", "echo", |t| t.input(E::literal("x".repeat(100))));
    for i in 1..40 {
        let before = format!("t{}", i - 1);
        let twice = E::list([E::result(&before, ""), E::result(&before, "")]);
        builder = builder.task(&format!("t{i}"), "echo", |t| t.input(twice));
    }
    let ending = run(builder.build().unwrap(), json!(null)).await;
    assert!(matches!(ending, Ending::Failed(error) if error.kind == "Data.LimitExceeded"));
}

#[test]
fn patterns_match_kinds() {
    let matches = |pattern: &str, kind: &str| ErrorPattern::from(pattern).matches(kind);
    assert!(
        matches("*", "Any") && matches("Platform.*", "Platform.Unavailable") && matches("A", "A")
    );
    assert!(!matches("Platform.*", "Platformer") && !matches("A", "B"));
}
