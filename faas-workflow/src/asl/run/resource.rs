//! What the run knows of resources: how they end, how their events are called, how they fail.

use serde_json::json;

use super::failure::Failure;
use super::records::{Details, details};
use crate::asl::model::{Resource, ResourceKind};
use crate::program::{Completion, TaskError};

/// The error as AWS names it: a function's own, or what kept it from running.
pub(super) fn failure_of(error: TaskError, resource: &Resource) -> Failure {
    let lambda = matches!(resource.kind, ResourceKind::Lambda(_));
    if error.kind == "Platform.DeadlineExceeded" {
        return Failure::timeout(false);
    }
    if let Some(name) = platform_error(&error.kind) {
        let name = if lambda { name } else { "States.TaskFailed" };
        return Failure::new(name, error.message);
    }
    let service = ["States.", "Lambda."]
        .iter()
        .any(|p| error.kind.starts_with(p));
    // What a function says is the whole of it, as Lambda hands it on.
    let whole = error.details.as_deref().is_some_and(is_object);
    let cause = match lambda && (whole || !service) {
        true => Some(function_cause(&error)),
        false => given(error.message),
    };
    Failure {
        error: given(error.kind),
        cause,
        heartbeat: false,
    }
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// What Lambda calls an error of the platform, if the kind is that of one.
pub(in crate::asl) fn platform_error(kind: &str) -> Option<&'static str> {
    Some(match kind.strip_prefix("Platform.")? {
        "NotFound" => "Lambda.ResourceNotFoundException",
        "Exhausted" => "Lambda.TooManyRequestsException",
        "Unavailable" => "Lambda.ServiceException",
        _ => "Lambda.Unknown",
    })
}

/// What a function that failed said, as JSON.
pub(in crate::asl) fn function_cause(error: &TaskError) -> String {
    if let Some(details) = error.details.as_ref().filter(|text| is_object(text)) {
        return details.clone();
    }
    let mut whole = json!({ "errorMessage": error.message, "errorType": error.kind });
    if let Some(details) = &error.details {
        whole["details"] = details.as_str().into();
    }
    whole.to_string()
}

impl Resource {
    pub(super) fn completion(&self) -> Completion {
        match &self.kind {
            ResourceKind::Lambda(_) => Completion::Response,
            ResourceKind::Activity => Completion::Worker,
            ResourceKind::Service { completion, .. } => *completion,
        }
    }

    /// What the names of its events begin with.
    pub(super) fn prefix(&self) -> &'static str {
        match &self.kind {
            ResourceKind::Lambda(_) => "LambdaFunction",
            ResourceKind::Activity => "Activity",
            ResourceKind::Service { .. } => "Task",
        }
    }

    /// Whose result was too large, as AWS says it.
    pub(super) fn service(&self) -> &str {
        match &self.kind {
            ResourceKind::Service { service, .. } => service,
            _ => &self.arn,
        }
    }

    /// What each of its events says.
    pub(super) fn details(&self) -> Details {
        match &self.kind {
            ResourceKind::Service {
                service, action, ..
            } => details(json!({ "resourceType": service, "resource": action })),
            _ => Details::new(),
        }
    }
}
