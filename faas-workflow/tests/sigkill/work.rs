//! What the executions do, and what must come of it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Description, FunctionError, Invocation, Invoker, Payload, PrewarmHint, Response, Result,
};
use faas_workflow::asl::{self, StatesLanguage};
use faas_workflow::builder::{Expression as E, RetryRule, WorkflowBuilder};
use faas_workflow::program::{Program, TaskToken};
use faas_workflow::registry::{Durability, Language};
use faas_workflow::{Definition, RustBuilder, StartExecution};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How many executions there are.
pub(crate) fn executions() -> u64 {
    let set = std::env::var("FAAS_CRASH_EXECUTIONS").ok();
    set.map_or(600, |set| set.parse().unwrap())
}

/// How an execution of that number is run: in which language, and how durably.
pub(crate) const WORKFLOWS: [(&str, Durability); 4] = [
    ("strict", Durability::Strict),
    ("ahead", Durability::Pipelined),
    ("states", Durability::Strict),
    ("states-ahead", Durability::Pipelined),
];

/// The definition of one of [`WORKFLOWS`]; both do the same.
pub(crate) fn definition(workflow: &str) -> Definition {
    match workflow.starts_with("states") {
        true => states(),
        false => built(),
    }
}

/// The program of one of [`WORKFLOWS`].
pub(crate) fn program(workflow: &str) -> Arc<dyn Program> {
    let definition = definition(workflow);
    match workflow.starts_with("states") {
        true => StatesLanguage::new().compile(&definition).unwrap(),
        false => RustBuilder::default().compile(&definition).unwrap(),
    }
}

/// A map, a task, a task that fails at first, and a callback after a wait, all at once; and a sum.
fn states() -> Definition {
    let lambda = |name: &str| format!("arn:aws:lambda:us-east-1:123456789012:function:{name}");
    let double = |path: &str| json!({ "Type": "Task", "Resource": lambda("double"), "InputPath": path, "End": true });
    let retry = json!([{ "ErrorEquals": ["Boom"], "IntervalSeconds": 1, "BackoffRate": 1 }]);
    let map = json!({
        "Type": "Map", "ItemsPath": "$.list", "MaxConcurrency": 3, "End": true,
        "ItemProcessor": { "StartAt": "Item", "States": { "Item": double("$") } },
    });
    let flaky = json!({
        "Type": "Task", "Resource": lambda("flaky"), "InputPath": "$.n", "Retry": retry, "End": true,
    });
    let ask = json!({
        "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {
            "FunctionName": "ask", "Payload": { "token.$": "$$.Task.Token", "n.$": "$.n" },
        },
        "TimeoutSeconds": 86_400, "End": true,
    });
    let asked = json!({
        "StartAt": "Pause",
        "States": { "Pause": { "Type": "Wait", "Seconds": 1, "Next": "Ask" }, "Ask": ask },
    });
    let text = json!({ "StartAt": "Parts", "States": {
        "Parts": {
            "Type": "Parallel", "Next": "Total", "Branches": [
                { "StartAt": "Map", "States": { "Map": map } },
                { "StartAt": "Left", "States": { "Left": double("$.n") } },
                { "StartAt": "Flaky", "States": { "Flaky": flaky } },
                asked,
            ],
        },
        "Total": {
            "Type": "Task", "Resource": lambda("sum"), "InputPath": "$[0]",
            "ResultPath": "$[0]", "Next": "All",
        },
        "All": { "Type": "Task", "Resource": lambda("sum"), "End": true },
    } });
    asl::definition(text.to_string())
}

/// Two branches, a map, a task that fails at first, a sleep, a callback, and a sum of all.
fn built() -> Definition {
    let retry = RetryRule::new(3, Duration::from_millis(3)).on(["Boom"]);
    WorkflowBuilder::new()
        .task("map", "double", |task| {
            task.map(E::input("/list"), 3).input(E::item(""))
        })
        .task("left", "double", |task| task.input(E::input("/n")))
        .task("flaky", "flaky", |task| {
            task.input(E::input("/n")).retry(retry)
        })
        .sleep("pause", Duration::from_millis(5), |task| task)
        .callback("asked", "ask", |task| {
            let letter = [("token", E::token()), ("n", E::input("/n"))];
            task.after("pause").input(E::object(letter))
        })
        .task("total", "sum", |task| task.input(E::result("map", "")))
        .task("all", "sum", |task| {
            let parts = ["total", "left", "flaky", "asked"];
            task.input(E::list(parts.map(|part| E::result(part, ""))))
        })
        .output(E::result("all", ""))
        .build()
        .unwrap()
}

pub(crate) fn name(number: u64) -> String {
    format!("execution-{number}")
}

pub(crate) fn start(number: u64) -> StartExecution {
    let list: Vec<_> = (0..number % 5).collect();
    let input = json!({ "list": list, "n": number });
    let name = name(number).as_str().try_into().unwrap();
    let (workflow, _) = WORKFLOWS[number as usize % WORKFLOWS.len()];
    StartExecution::new(workflow.parse().unwrap(), name, input)
}

/// What an execution answers that nothing disturbs: twice the sum of the list, twice n, n for the
/// task that fails at first, three times n for the one that is called back.
pub(crate) fn expected(number: u64) -> Value {
    let list: u64 = (0..number % 5).sum();
    json!(2 * list + 2 * number + number + 3 * number)
}

/// A file of lines that outlives the process: each line is one write.
pub(crate) struct Memory(Mutex<File>);

impl Memory {
    pub(crate) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self(Mutex::new(file.unwrap()))
    }

    pub(crate) fn note(&self, line: &str) {
        let mut file = self.0.lock().unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The whole lines of a file; none if there is no such file.
pub(crate) fn lines(path: PathBuf) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// Of which attempt the key is: the builder counts them behind `#`, from 0, and Amazon States
/// Language behind `~`, from 1, which the first has not.
fn is_first_or_second(key: &str) -> bool {
    match (key.rsplit_once('#'), key.rsplit_once('~')) {
        (Some((_, count)), _) => matches!(count, "0" | "1"),
        (None, Some((_, count))) => count == "1",
        (None, None) => true,
    }
}

/// The functions. They answer by what they are asked and by the key that they are asked it under.
pub(crate) struct World {
    pub(crate) calls: Memory,
    pub(crate) tokens: Memory,
    complete: mpsc::UnboundedSender<(TaskToken, u64)>,
}

impl World {
    pub(crate) fn new(directory: &Path, complete: mpsc::UnboundedSender<(TaskToken, u64)>) -> Self {
        Self {
            calls: Memory::open(&directory.join("calls")),
            tokens: Memory::open(&directory.join("tokens")),
            complete,
        }
    }

    fn answer(&self, name: &str, key: &str, input: &Value) -> Result<Value, FunctionError> {
        let number = input.as_u64().unwrap_or_default();
        match name {
            "double" => Ok(json!(2 * number)),
            "sum" => {
                let parts = input.as_array().into_iter().flatten();
                Ok(json!(parts.filter_map(Value::as_u64).sum::<u64>()))
            }
            // By the key: an attempt that is repeated after a crash fails again.
            "flaky" if is_first_or_second(key) => {
                Err(FunctionError::new("Boom", "it fails at first"))
            }
            "flaky" => Ok(json!(number)),
            "ask" => {
                let n = input["n"].as_u64().unwrap();
                let token = input["token"].as_str().unwrap();
                // Who is asked remembers it, whatever becomes of who asked.
                self.tokens.note(&format!("{token} {n}"));
                let _ = self.complete.send((token.parse().unwrap(), n));
                Ok(json!("asked"))
            }
            other => panic!("there is no function {other}"),
        }
    }
}

#[async_trait]
impl Invoker for World {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let input: Value = invocation.payload.to_json()?;
        let key = invocation.idempotency_key.clone().unwrap_or_default();
        self.calls.note(&key);
        tokio::task::yield_now().await;
        let name = invocation.function.name.as_str();
        match self.answer(name, &key, &input) {
            Ok(answer) => Ok(Response::success(invocation.id, Payload::json(&answer)?)),
            Err(error) => Ok(Response::failure(invocation.id, error)),
        }
    }

    fn prewarm(&self, _: PrewarmHint) {}

    fn describe(&self) -> Description {
        Description::new("World")
    }
}
