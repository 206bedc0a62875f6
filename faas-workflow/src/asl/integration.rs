//! [`ServiceIntegrations`]: the services that Amazon States Language knows and this platform has.

mod execution;
mod function;
mod object;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, IdSource, Invoker};
use object_store::ObjectStore;

use super::model::ResourceKind;
use super::parse::resource_kind;
use crate::engine::{ResourceAnswer, ResourceCall, TaskResources};
use crate::program::{TaskError, TaskRetry};

/// Runs the tasks that name a service which this platform has by itself, and hands all others on.
///
/// | resource | is |
/// |---|---|
/// | `…:lambda:invoke`, also `.waitForTaskToken` | a call of a function, through the [`Invoker`] |
/// | `…:states:startExecution`, `.sync`, `.sync:2`, `.waitForTaskToken` | an execution of another workflow |
/// | `…:s3:getObject`, `putObject`, `listObjectsV2` | an object of the object store; the bucket is the first part of its path |
/// | anything else | a call of what [`otherwise`](Self::otherwise) was given |
///
/// Functions that a task names by their ARN and activities need none of this: the engine runs the
/// first, and workers pull the second.
/// [`WorkflowLayer`](crate::WorkflowLayer) puts it before the resources that it is given.
#[derive(Clone)]
pub struct ServiceIntegrations {
    invoker: Arc<dyn Invoker>,
    ids: IdSource,
    objects: Option<Arc<dyn ObjectStore>>,
    others: Option<Arc<dyn TaskResources>>,
    bytes: usize,
}

impl fmt::Debug for ServiceIntegrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceIntegrations")
            .field("objects", &self.objects)
            .field("others", &self.others.as_ref().map(|o| o.describe().name))
            .finish_non_exhaustive()
    }
}

impl ServiceIntegrations {
    /// Over `invoker`, without objects; at most 6 MiB are taken of an answer, and 64 MiB of an
    /// object.
    pub fn new(invoker: Arc<dyn Invoker>, ids: IdSource) -> Self {
        Self {
            invoker,
            ids,
            objects: None,
            others: None,
            bytes: 6 << 20,
        }
    }

    /// With objects.
    #[must_use]
    pub fn with_objects(self, objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects: Some(objects),
            ..self
        }
    }

    /// With somebody who runs what this does not.
    #[must_use]
    pub fn otherwise(self, others: Arc<dyn TaskResources>) -> Self {
        Self {
            others: Some(others),
            ..self
        }
    }

    /// With another bound on the bytes of a function's answer.
    #[must_use]
    pub fn with_response_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    async fn other(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError> {
        match &self.others {
            Some(others) => others.call(call).await,
            None => {
                let message = format!(
                    "nobody here serves {}; give the workflow layer resources that do",
                    call.resource
                );
                let error = TaskError::new("Platform.Unsupported", message);
                Err(error.with_retry(TaskRetry::Never))
            }
        }
    }
}

#[async_trait]
impl TaskResources for ServiceIntegrations {
    async fn call(&self, call: ResourceCall) -> Result<ResourceAnswer, TaskError> {
        let ResourceKind::Service {
            service, action, ..
        } = resource_kind(call.resource.as_str())
        else {
            return self.other(call).await;
        };
        let service = service.strip_prefix("aws-sdk:").unwrap_or(&service);
        let (plain, pattern) = action.split_once('.').unwrap_or((&action, ""));
        match (service, plain) {
            ("lambda", "invoke") => self.invoke(call).await,
            ("states" | "sfn", "startExecution") => execution::start(&call, pattern),
            ("s3", "getObject" | "putObject" | "listObjectsV2") => match &self.objects {
                Some(objects) => object::call(&**objects, plain, &call.input).await,
                None => self.other(call).await,
            },
            _ => self.other(call).await,
        }
    }

    fn describe(&self) -> Description {
        Description::new("ServiceIntegrations")
    }
}

/// The text of an argument of a service.
fn text<'a>(arguments: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(serde_json::Value::as_str)
}

/// That an argument is missing, or not what it must be.
fn bad_argument(service: &str, message: String) -> TaskError {
    let error = TaskError::new(format!("{service}.ValidationException"), message);
    error.with_retry(TaskRetry::Never)
}
