//! `lambda:invoke`.

use faas_core::{FunctionRef, Invocation, InvocationId, Name, Payload, Qualifier, Result};
use serde_json::{Value, json};

use super::{ServiceIntegrations, bad_argument, text};
use crate::asl::parse::lambda_qualifier;
use crate::asl::run::{function_cause, platform_error};
use crate::engine::{ResourceAnswer, ResourceCall, payload_data};
use crate::program::{Data, TaskError};

const SERVICE: &str = "Lambda";

impl ServiceIntegrations {
    /// Calls the function that the arguments name, and answers as Lambda's API does.
    pub(super) async fn invoke(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError> {
        let arguments = &*call.input;
        let kind = text(arguments, "InvocationType").unwrap_or("RequestResponse");
        if kind != "RequestResponse" {
            let message = format!("InvocationType {kind:?} is not supported; leave it out");
            return Err(bad_argument(SERVICE, message));
        }
        let function = function(&call, arguments)?;
        let payload = arguments.get("Payload").unwrap_or(&Value::Null);
        let id: InvocationId = self.ids.next();
        let payload = Payload::json(payload).map_err(|error| failed((&error).into()))?;
        let mut invocation = Invocation::new(id, function, payload);
        invocation.deadline = call.deadline;
        invocation.idempotency_key = Some(call.idempotency_key);
        invocation.caller.identity = Some(format!("execution/{}", call.execution).into());
        let answered = async {
            self.invoker
                .invoke(invocation)
                .await?
                .collect(self.bytes)
                .await
        };
        let completed = answered.await.map_err(|error| failed((&error).into()))?;
        let payload = completed
            .into_result()
            .map_err(|error| failed(error.into()))?;
        let output: Data = payload_data(payload).map_err(failed)?;
        let answer = json!({
            "ExecutedVersion": "$LATEST", "Payload": *output, "StatusCode": 200,
        });
        Ok(ResourceAnswer::Output(answer.into()))
    }
}

/// An error as the integration tells it: under Lambda's names, a function's own as JSON.
fn failed(error: TaskError) -> TaskError {
    match platform_error(&error.kind) {
        Some(kind) => TaskError {
            kind: kind.into(),
            ..error
        },
        None => TaskError {
            message: function_cause(&error),
            ..error
        },
    }
}

/// `name`, `name:qualifier`, an account with either, or the whole ARN.
fn function(call: &ResourceCall, arguments: &Value) -> Result<FunctionRef, TaskError> {
    let Some(given) = text(arguments, "FunctionName") else {
        let message = "the argument \"FunctionName\" is missing, or no text".to_owned();
        return Err(bad_argument(SERVICE, message));
    };
    let path = given
        .rsplit_once(":function:")
        .or_else(|| given.split_once("function:"));
    let named = path.map_or(given, |(_, named)| named);
    let (name, qualifier) = match named.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (named, text(arguments, "Qualifier")),
    };
    let bad = || {
        let message = format!("{given:?} names no function: a name, or an ARN that ends with one");
        bad_argument(SERVICE, message)
    };
    let name = Name::new(name).map_err(|_| bad())?;
    let qualifier: Qualifier = lambda_qualifier(qualifier).ok_or_else(bad)?;
    Ok(FunctionRef {
        namespace: call.namespace.clone(),
        name,
        qualifier,
    })
}
