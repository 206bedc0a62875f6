//! One call of a function, and what it means to a workflow.

use std::sync::Arc;

use faas_core::{Clock, FunctionError, Invocation, Invoker, Payload};
use futures::FutureExt;
use futures::future::{Either, select};
use serde_json::Value;

use crate::program::{Data, TaskError};

/// Calls, waits for the whole answer, and gives up at the invocation's deadline.
pub(super) async fn call(
    invoker: Arc<dyn Invoker>,
    clock: Arc<dyn Clock>,
    invocation: Invocation,
    limit: usize,
) -> Result<Data, TaskError> {
    let deadline = invocation.deadline;
    let answer = async {
        let response = invoker.invoke(invocation).await?;
        response.collect(limit).await
    };
    let completed = match deadline {
        None => answer.await,
        Some(at) => match select(answer.boxed(), clock.sleep_until(at)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                let message = "the task took longer than its timeout";
                return Err(TaskError::new(FunctionError::TIMEOUT, message));
            }
        },
    };
    let completed = completed.map_err(|error| TaskError::from(&error))?;
    data(completed.into_result()?)
}

/// An answer as data: nothing is `null`, JSON is itself, other text is a string.
fn data(payload: Payload) -> Result<Data, TaskError> {
    if payload.is_empty() {
        return Ok(Data::new(Value::Null));
    }
    let parsed = serde_json::from_slice::<Value>(payload.as_bytes());
    if let Ok(value) = parsed {
        return Ok(Data::new(value));
    }
    let text = std::str::from_utf8(payload.as_bytes()).ok();
    match text.filter(|_| !payload.content_type().is_json()) {
        Some(text) => Ok(Data::new(text.into())),
        None => {
            let message = format!("the answer ({payload:?}) is neither JSON nor text");
            Err(TaskError::new("Data.NotJson", message))
        }
    }
}
