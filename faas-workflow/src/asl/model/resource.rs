//! Resources: what a Task names.

use faas_core::{FunctionRef, Name, Namespace, Qualifier};

use crate::program::{Completion, ResourceName, TaskTarget};

/// What a task, a reader or a writer names.
#[derive(Debug, Clone)]
pub(in crate::asl) struct Resource {
    /// As the definition has it.
    pub(in crate::asl) arn: String,
    pub(in crate::asl) name: ResourceName,
    pub(in crate::asl) kind: ResourceKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::asl) enum ResourceKind {
    /// A Lambda function by its ARN; ours, if its name can be one.
    Lambda(Option<(Name, Qualifier)>),
    /// Work that a worker pulls.
    Activity,
    /// `arn:aws:states:::service:action[.pattern]`, and whatever else there may be.
    Service {
        /// `sqs`, `aws-sdk:s3`.
        service: String,
        /// `sendMessage.waitForTaskToken`.
        action: String,
        completion: Completion,
    },
}

impl Resource {
    /// Whom the engine asks.
    pub(in crate::asl) fn target(&self, namespace: &Namespace) -> TaskTarget {
        let completion = match &self.kind {
            ResourceKind::Lambda(Some((name, qualifier))) => {
                return TaskTarget::Function(FunctionRef {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    qualifier: qualifier.clone(),
                });
            }
            ResourceKind::Lambda(None) => Completion::Response,
            ResourceKind::Activity => Completion::Worker,
            ResourceKind::Service { completion, .. } => *completion,
        };
        TaskTarget::Resource {
            name: self.name.clone(),
            completion,
        }
    }
}
