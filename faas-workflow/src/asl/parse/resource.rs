//! Task states and the resources that they name.

use faas_core::{Name, Qualifier};
use serde_json::Value;

use super::Parser;
use super::fields::{Fields, nearest};
use super::state::Context;
use crate::asl::diagnostic::Code;
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Amount, Resource, ResourceKind, Task};
use crate::asl::settings::{MAX_SECONDS, MachineType};
use crate::program::{Completion, ResourceName};

/// The services whose actions AWS fixes; any other may have any.
const OPTIMISED: &[(&str, &[&str])] = &[
    ("lambda", &["invoke"]),
    (
        "dynamodb",
        &["getItem", "putItem", "deleteItem", "updateItem"],
    ),
    ("sqs", &["sendMessage"]),
    ("sns", &["publish"]),
    ("events", &["putEvents"]),
    ("states", &["startExecution"]),
    ("batch", &["submitJob"]),
    ("ecs", &["runTask"]),
    ("glue", &["startJobRun"]),
    (
        "codebuild",
        &[
            "startBuild",
            "startBuildBatch",
            "stopBuild",
            "batchDeleteBuilds",
        ],
    ),
    ("apigateway", &["invoke"]),
    ("http", &["invoke"]),
    (
        "athena",
        &[
            "startQueryExecution",
            "stopQueryExecution",
            "getQueryExecution",
            "getQueryResults",
        ],
    ),
    ("databrew", &["startJobRun"]),
    ("mediaconvert", &["createJob"]),
];

impl Parser<'_> {
    pub(super) fn task(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
    ) -> Option<Task> {
        let query = context.query;
        let names = ("TimeoutSeconds", "TimeoutSecondsPath");
        let timeout = self.amount(fields, names, 1..=MAX_SECONDS, query);
        let names = ("HeartbeatSeconds", "HeartbeatSecondsPath");
        let heartbeat = self.amount(fields, names, 1..=MAX_SECONDS, query);
        if let (Some(Amount::Literal(timeout)), Some(Amount::Literal(heartbeat))) =
            (&timeout, &heartbeat)
            && heartbeat >= timeout
        {
            let message = "HeartbeatSeconds is not smaller than TimeoutSeconds";
            self.error(
                fields.at("HeartbeatSeconds"),
                message,
                "lower it: nothing could time out by it",
            );
        }
        let resource = self.resource(fields);
        let credentials = self.credentials(fields, resource.as_ref(), query);
        Some(Task {
            resource: resource?,
            timeout,
            heartbeat,
            credentials,
        })
    }

    fn credentials(
        &mut self,
        fields: &mut Fields<'_>,
        resource: Option<&Resource>,
        query: QueryLanguage,
    ) -> Option<crate::asl::template::Template> {
        let value = fields.get("Credentials")?;
        let at = fields.at("Credentials");
        let inner = Fields::of(self, value, &at)?;
        // What credentials are is the interpreter's; AWS's have a role.
        let aws = resource.is_some_and(|r| {
            matches!(&r.kind, ResourceKind::Lambda(_) | ResourceKind::Activity)
                || r.arn.contains(":states:::")
        });
        if aws && !inner.has("RoleArn") && !inner.has("RoleArn.$") {
            let message = "the field \"RoleArn\" is required but was missing";
            self.error(&at, message, "name the role that the task is to assume");
        }
        self.template(fields, "Credentials", query)
    }

    /// The resource that a field named `Resource` holds.
    pub(super) fn resource(&mut self, fields: &mut Fields<'_>) -> Option<Resource> {
        fields.required(self, &["Resource"]);
        let at = fields.at("Resource");
        if let Some(Value::Object(inner)) = fields.get("Resource")
            && let Some(function) = inner.keys().find(|k| *k == "Ref" || k.starts_with("Fn::"))
        {
            let message = format!("the resource is still to be computed by {function:?}");
            self.unresolved(&at, &message);
            return None;
        }
        let arn = fields.text(self, "Resource")?;
        if arn.starts_with("${") && arn.ends_with('}') {
            self.unresolved(&at, &format!("the resource is the placeholder {arn:?}"));
            return None;
        }
        let name = match ResourceName::new(arn) {
            Ok(name) if arn.contains(':') => name,
            _ => {
                let message = format!("{arn:?} is no URI, and so names no resource");
                let help = "write an ARN like arn:aws:lambda:REGION:ACCOUNT:function:NAME";
                self.error(&at, message, help);
                return None;
            }
        };
        let kind = resource_kind(arn);
        self.check_resource(&kind, arn, &at);
        Some(Resource {
            arn: arn.into(),
            name,
            kind,
        })
    }

    fn unresolved(&mut self, at: &str, message: &str) {
        let help = "deploy the definition with the tool that replaces it";
        self.warning(Code::Unresolved, at, message, help);
    }

    fn check_resource(&mut self, kind: &ResourceKind, arn: &str, at: &str) {
        let express = self.settings.machine_type == MachineType::Express;
        match kind {
            ResourceKind::Activity if express => {
                let message = "an Express state machine does not support activity ARNs";
                self.error(at, message, "make it a Standard one, or call a function");
            }
            ResourceKind::Service { completion, .. }
                if express && *completion != Completion::Response =>
            {
                let pattern = match completion {
                    Completion::Callback => ".waitForTaskToken",
                    _ => ".sync",
                };
                let message =
                    format!("an Express state machine does not support {pattern:?} integrations");
                self.error(
                    at,
                    message,
                    "make it a Standard one, or call without waiting",
                );
            }
            ResourceKind::Service {
                service, action, ..
            } => self.check_action(service, action, arn, at),
            _ => {}
        }
    }

    fn check_action(&mut self, service: &str, action: &str, arn: &str, at: &str) {
        let known = OPTIMISED.iter().find(|(known, _)| *known == service);
        let plain = action.split('.').next().unwrap_or_default();
        if let Some((_, actions)) = known
            && !actions.contains(&plain)
        {
            let message = format!(
                "the resource {arn} is not recognised: {service} has no optimised action {plain:?}"
            );
            let help = match nearest(plain, actions.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!(
                    "it has {}; any other is called as aws-sdk:{service}:{plain}",
                    actions.join(", ")
                ),
            };
            self.error(at, message, help);
        }
    }
}

/// What an ARN, or another URI, names.
pub(in crate::asl) fn resource_kind(arn: &str) -> ResourceKind {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", _, "lambda", _, _, "function", name] => lambda(name, None),
        ["arn", _, "lambda", _, _, "function", name, qualifier] => lambda(name, Some(qualifier)),
        ["arn", _, "states", _, _, "activity", _] => ResourceKind::Activity,
        [
            "arn",
            _,
            "states",
            "",
            "",
            "aws-sdk",
            service,
            ref action @ ..,
        ] => service_action(format!("aws-sdk:{service}"), &action.join(":")),
        ["arn", _, "states", "", "", service, ref action @ ..] => {
            service_action(service.into(), &action.join(":"))
        }
        ref other => {
            let last = other.last().copied().unwrap_or_default();
            let before = other.len().saturating_sub(2);
            service_action(other.get(before).copied().unwrap_or_default().into(), last)
        }
    }
}

fn lambda(name: &str, qualifier: Option<&str>) -> ResourceKind {
    let name = Name::new(name).ok();
    ResourceKind::Lambda(name.zip(lambda_qualifier(qualifier)))
}

/// Which version of a function Lambda's name of it means; none if it cannot be one.
pub(in crate::asl) fn lambda_qualifier(qualifier: Option<&str>) -> Option<Qualifier> {
    match qualifier {
        None | Some("$LATEST") => Some(Qualifier::Latest),
        Some(text) => text.parse().ok(),
    }
}

fn service_action(service: String, action: &str) -> ResourceKind {
    let pattern = action.split_once('.').map(|(_, pattern)| pattern);
    let completion = match pattern {
        Some("waitForTaskToken") => Completion::Callback,
        Some(pattern) if pattern == "sync" || pattern.starts_with("sync:") => Completion::Job,
        _ => Completion::Response,
    };
    ResourceKind::Service {
        service,
        action: action.into(),
        completion,
    }
}
