//! Executions of other workflows, as tasks.

use std::sync::Arc;

use faas_core::{Error, ExecutionId, Result};
use futures::FutureExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::Progress;
use super::shared::Shared;
use crate::engine::{ChildForm, StartExecution};
use crate::execution_store::{ExecutionHead, ExecutionName, Parent};
use crate::program::{ChildAnswer, ChildExecution, Completion, Data, Ending, TaskError};

/// An execution to start as a task.
pub(super) struct Child {
    pub(super) request: StartExecution,
    pub(super) parent: Option<Parent>,
    pub(super) answer: ChildAnswer,
    /// When the task is over.
    pub(super) completion: Completion,
    pub(super) form: Arc<dyn ChildForm>,
}

impl Child {
    /// The execution that a task of `parent` asks for, under a name that follows from the call's
    /// key: so a repeated call finds the same execution.
    pub(super) fn new(
        child: ChildExecution,
        input: Data,
        parent: Parent,
        key: &str,
    ) -> Result<Self> {
        let name = match child.name {
            Some(name) => name,
            None => derived(parent.execution, key)?,
        };
        let mut request = StartExecution::new(child.workflow, name, Value::Null);
        request.input = input;
        let detached = child.answer == ChildAnswer::Started;
        Ok(Self {
            request,
            parent: (!detached).then_some(parent),
            answer: child.answer,
            completion: Completion::Response,
            form: Arc::new(child.answer),
        })
    }

    /// Starts it and waits for its end, as far as the task wants that.
    pub(super) async fn run(self, shared: Arc<Shared>) -> Progress {
        let form = self.form;
        let started = match shared.start(self.request, self.parent).await {
            Ok(head) => head,
            Err(error) => return Progress::Ended(Err(form.refused(&error))),
        };
        let receipt = form.started(&started);
        match (self.completion, self.answer) {
            // Whoever has the token ends the task, whatever becomes of the execution.
            (Completion::Callback, _) => return Progress::Submitted(receipt, None),
            (_, ChildAnswer::Started) => return Progress::Ended(Ok(receipt)),
            _ => {}
        }
        let end = async move {
            match shared.ended(started.id).await {
                Ok(head) => form.ended(&head),
                Err(error) => Err(form.refused(&error)),
            }
        };
        if self.completion == Completion::Job {
            return Progress::Submitted(receipt, Some(end.boxed()));
        }
        Progress::Ended(end.await)
    }
}

/// The engine's own form.
impl ChildForm for ChildAnswer {
    fn started(&self, head: &ExecutionHead) -> Data {
        described(head)
    }

    fn ended(&self, head: &ExecutionHead) -> Result<Data, TaskError> {
        answered(head, *self)
    }

    fn refused(&self, error: &Error) -> TaskError {
        error.into()
    }
}

fn derived(parent: ExecutionId, key: &str) -> Result<ExecutionName> {
    let digest = Sha256::digest(key.as_bytes());
    let digest: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
    ExecutionName::new(format!("{parent}-{digest}"))
}

fn answered(head: &ExecutionHead, answer: ChildAnswer) -> Result<Data, TaskError> {
    if answer != ChildAnswer::Output {
        return Ok(described(head));
    }
    match &head.ending {
        Some(Ending::Succeeded(output)) => Ok(output.clone()),
        Some(Ending::Failed(error) | Ending::TimedOut(error)) => Err(error.clone()),
        Some(Ending::Cancelled(cause)) => {
            let message = format!("execution {} was cancelled: {cause}", head.id);
            Err(TaskError::new("Platform.Cancelled", message))
        }
        Some(Ending::Continued(_)) | None => {
            let error = Error::internal("wait for execution", "it has not ended");
            Err(TaskError::from(&error))
        }
    }
}

/// An execution as data.
fn described(head: &ExecutionHead) -> Data {
    let mut described = json!({
        "execution": head.id,
        "name": head.name,
        "workflow": head.workflow.to_string(),
        "status": head.status(),
        "started": head.started,
    });
    match &head.ending {
        Some(Ending::Succeeded(output)) => described["output"] = (**output).clone(),
        Some(Ending::Failed(error) | Ending::TimedOut(error)) => {
            described["error"] = json!({ "kind": error.kind, "message": error.message });
        }
        Some(Ending::Cancelled(cause)) => described["cause"] = json!(cause),
        Some(Ending::Continued(_)) | None => {}
    }
    if head.ending.is_some() {
        described["ended"] = json!(head.updated);
    }
    Data::new(described)
}
