//! `states:startExecution`.

use std::sync::Arc;

use faas_core::{Error, ErrorKind, WorkflowName};
use serde_json::{Value, json};

use super::{bad_argument, text};
use crate::engine::{ChildForm, ResourceAnswer, ResourceCall};
use crate::execution_store::{ExecutionHead, ExecutionName};
use crate::program::{ChildAnswer, ChildExecution, Data, Ending, TaskError, TaskRetry};
use crate::registry::{WorkflowRef, WorkflowVersion};

const SERVICE: &str = "StepFunctions";

/// An execution of the workflow that the arguments name; `pattern` says when the task is over.
pub(super) fn start(call: &ResourceCall, pattern: &str) -> Result<ResourceAnswer, TaskError> {
    let arguments = &*call.input;
    let Some(machine) = text(arguments, "StateMachineArn") else {
        let message = "the argument \"StateMachineArn\" is missing, or no text".to_owned();
        return Err(bad_argument(SERVICE, message));
    };
    let mut child = ChildExecution::new(workflow(call, machine)?);
    if let Some(name) = text(arguments, "Name") {
        let name = ExecutionName::new(name)
            .map_err(|error| bad_argument(SERVICE, error.message().to_owned()))?;
        child.name = Some(name);
    }
    child.answer = match pattern.starts_with("sync") {
        true => ChildAnswer::Ended,
        false => ChildAnswer::Started,
    };
    let input = input(arguments.get("Input"))?;
    let form = AwsForm {
        machine: machine.to_owned(),
        input: input.clone(),
        json: pattern == "sync:2",
    };
    Ok(ResourceAnswer::ChildAs(child, input, Arc::new(form)))
}

/// `Input` is JSON, or a text that is JSON.
fn input(given: Option<&Value>) -> Result<Data, TaskError> {
    match given {
        None => Ok(json!({}).into()),
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(value) => Ok(value.into()),
            Err(error) => {
                let message = format!("the argument \"Input\" is a text, but no JSON: {error}");
                let kind = format!("{SERVICE}.InvalidExecutionInputException");
                Err(TaskError::new(kind, message).with_retry(TaskRetry::Never))
            }
        },
        Some(value) => Ok(value.clone().into()),
    }
}

/// `…:stateMachine:NAME`, with a version behind it, or a name alone.
fn workflow(call: &ResourceCall, machine: &str) -> Result<WorkflowRef, TaskError> {
    let named = machine
        .rsplit_once(":stateMachine:")
        .map_or(machine, |(_, named)| named);
    let (name, version) = match named.split_once(':') {
        Some((name, version)) => (name, Some(version)),
        None => (named, None),
    };
    let version = version.map(|version| version.parse().map(WorkflowVersion));
    match (WorkflowName::new(name), version.transpose()) {
        (Ok(name), Ok(version)) => Ok(WorkflowRef {
            namespace: call.namespace.clone(),
            name,
            version,
        }),
        _ => Err(TaskError::new(
            format!("{SERVICE}.InvalidArn"),
            format!("{machine:?} names no workflow: an ARN that ends with :stateMachine:NAME does"),
        )
        .with_retry(TaskRetry::Never)),
    }
}

/// An execution as Step Functions describes it.
struct AwsForm {
    machine: String,
    input: Data,
    /// Whether input and output are told as JSON, not as texts of it.
    json: bool,
}

impl AwsForm {
    fn arn(&self, head: &ExecutionHead) -> String {
        match self.machine.rsplit_once(":stateMachine:") {
            Some((before, _)) => {
                format!("{before}:execution:{}:{}", head.workflow.name, head.name)
            }
            None => head.id.to_string(),
        }
    }

    fn data(&self, data: &Value) -> Value {
        match self.json {
            true => data.clone(),
            false => data.to_string().into(),
        }
    }

    fn described(&self, head: &ExecutionHead, status: &str) -> Value {
        json!({
            "ExecutionArn": self.arn(head),
            "Input": self.data(&self.input),
            "InputDetails": { "Included": true },
            "Name": head.name,
            "StartDate": head.started.as_millisecond(),
            "StateMachineArn": self.machine,
            "Status": status,
            "StopDate": head.updated.as_millisecond(),
        })
    }

    fn failed(&self, head: &ExecutionHead, status: &str, told: &[(&str, &str)]) -> TaskError {
        let mut cause = self.described(head, status);
        for (field, text) in told.iter().filter(|(_, text)| !text.is_empty()) {
            cause[*field] = json!(text);
        }
        TaskError::new("States.TaskFailed", cause.to_string())
    }
}

impl ChildForm for AwsForm {
    fn started(&self, head: &ExecutionHead) -> Data {
        json!({ "ExecutionArn": self.arn(head), "StartDate": head.started.as_millisecond() }).into()
    }

    fn ended(&self, head: &ExecutionHead) -> Result<Data, TaskError> {
        let failed = |status, error: &TaskError| {
            let told = [("Error", &*error.kind), ("Cause", &*error.message)];
            Err(self.failed(head, status, &told))
        };
        match &head.ending {
            Some(Ending::Succeeded(output)) => {
                let mut answer = self.described(head, "SUCCEEDED");
                answer["Output"] = self.data(output);
                answer["OutputDetails"] = json!({ "Included": true });
                Ok(answer.into())
            }
            Some(Ending::Failed(error)) => failed("FAILED", error),
            Some(Ending::TimedOut(error)) => failed("TIMED_OUT", error),
            Some(Ending::Cancelled(cause)) => {
                Err(self.failed(head, "ABORTED", &[("Cause", cause)]))
            }
            Some(Ending::Continued(_)) | None => {
                let error = Error::internal("wait for execution", "it has not ended");
                Err((&error).into())
            }
        }
    }

    fn refused(&self, error: &Error) -> TaskError {
        let (kind, message) = match error.kind() {
            ErrorKind::NotFound => (
                "StateMachineDoesNotExistException",
                format!("State Machine Does Not Exist: '{}'", self.machine),
            ),
            ErrorKind::AlreadyExists => (
                "ExecutionAlreadyExistsException",
                error.message().to_owned(),
            ),
            ErrorKind::Exhausted => ("ExecutionLimitExceeded", error.message().to_owned()),
            _ => return error.into(),
        };
        TaskError {
            kind: format!("{SERVICE}.{kind}"),
            message,
            ..error.into()
        }
    }
}
