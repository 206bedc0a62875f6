//! [`Platform`]: the three layers as one thing.

use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::{DecisionLog, Explanation, Subject};
use faas_core::{
    Completed, Error, FunctionError, FunctionRef, Handler, HandlerName, IdSource, Invocation,
    InvocationId, Invoker, Payload, PlatformMap, Response, Result, RuntimeName,
};
use faas_function::FunctionLayer;
use faas_function::registry::{Alias, FunctionConfig, FunctionId, FunctionRecord};
use faas_memory::Handlers;
use faas_resource::Executable;
use faas_resource::layer::ResourceLayer;
use faas_workflow::WorkflowLayer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::PlatformBuilder;

/// Bytes of a response that [`Platform::call`] and [`Platform::run`] wait for, at most.
const RESPONSE_LIMIT: usize = 64 << 20;

/// Why a typed call gave no answer: the platform failed, or the function did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The platform failed.
    #[error(transparent)]
    Platform(#[from] Error),
    /// The function failed.
    #[error(transparent)]
    Function(#[from] FunctionError),
}

/// A complete platform in this process; clones are the same platform.
///
/// ```
/// use std::time::Duration;
/// use faas::Platform;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let platform = Platform::builder().build().await?;
/// platform.deploy_json("shout", |text: String| async move { Ok(text.to_uppercase()) }).await?;
/// let answer: String = platform.call("shout", &"hello").await?;
/// assert_eq!(answer, "HELLO");
/// platform.shutdown(Duration::from_secs(5)).await?;
/// # Ok::<(), faas::CallError>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Platform {
    pub(crate) name: Arc<str>,
    pub(crate) resources: ResourceLayer,
    pub(crate) functions: FunctionLayer,
    pub(crate) workflows: WorkflowLayer,
    pub(crate) invoker: Shared,
    pub(crate) handlers: Handlers,
    pub(crate) ids: IdSource,
    pub(crate) decisions: DecisionLog,
}

/// An invoker that can be printed.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<dyn Invoker>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.describe().name)
    }
}

impl Platform {
    /// With what has a default: state in memory, functions in this process.
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }

    /// The resource layer: R1 to R4.
    pub fn resources(&self) -> &ResourceLayer {
        &self.resources
    }

    /// The function layer: F1 to F6.
    pub fn functions(&self) -> &FunctionLayer {
        &self.functions
    }

    /// The workflow layer: W1 to W4.
    pub fn workflows(&self) -> &WorkflowLayer {
        &self.workflows
    }

    /// What calls functions, through all layers.
    pub fn invoker(&self) -> Arc<dyn Invoker> {
        self.invoker.0.clone()
    }

    /// Registers a function, or makes its next revision.
    ///
    /// # Errors
    /// As [`FunctionLayer::deploy`].
    pub async fn deploy(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        self.functions.deploy(function, config).await
    }

    /// Deploys a handler of this process as `function` (`namespace/name`, or a name alone).
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name; as [`FunctionLayer::deploy`].
    pub async fn deploy_handler(
        &self,
        function: &str,
        handler: impl Handler,
    ) -> Result<Arc<FunctionRecord>> {
        let name = self.handler_name()?;
        self.handlers.register(name.clone(), handler);
        self.deploy(function_id(function)?, handler_config(name)?)
            .await
    }

    /// Deploys an async closure from one JSON value to another.
    ///
    /// # Errors
    /// As [`Platform::deploy_handler`].
    pub async fn deploy_json<I, O, F, Fut>(
        &self,
        function: &str,
        closure: F,
    ) -> Result<Arc<FunctionRecord>>
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
        F: Fn(I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, FunctionError>> + Send + 'static,
    {
        let name = self.handler_name()?;
        self.handlers.register_json(name.clone(), closure);
        self.deploy(function_id(function)?, handler_config(name)?)
            .await
    }

    /// A name of its own for each handler, for revisions are immutable.
    fn handler_name(&self) -> Result<HandlerName> {
        HandlerName::new(format!("h-{}", self.ids.next::<InvocationId>()))
    }

    /// Makes or moves an alias of `function`.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name; as [`FunctionLayer::set_alias`].
    pub async fn set_alias(&self, function: &str, alias: Alias) -> Result<Arc<FunctionRecord>> {
        self.functions
            .set_alias(&function_id(function)?, alias)
            .await
    }

    /// A request with an id of this platform's, to be adorned and given to [`Platform::invoke`].
    ///
    /// # Errors
    /// `InvalidArgument` if `function` is no function reference.
    pub fn request(&self, function: &str, payload: Payload) -> Result<Invocation> {
        let function: FunctionRef = function.parse()?;
        Ok(Invocation::new(self.ids.next(), function, payload))
    }

    /// Calls a function; the response's body may stream.
    ///
    /// # Errors
    /// If the platform fails; a failing function is a response that says so.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        self.invoker.0.invoke(invocation).await
    }

    /// Calls a function and waits for the whole response, with its timeline.
    ///
    /// # Errors
    /// As [`Platform::invoke`]; `Exhausted` for a response of more than 64 MiB.
    pub async fn run(&self, function: &str, payload: Payload) -> Result<Completed> {
        let response = self.invoke(self.request(function, payload)?).await?;
        response.collect(RESPONSE_LIMIT).await
    }

    /// Calls a function with one JSON value for another.
    ///
    /// # Errors
    /// [`CallError`]: the platform's error, or the function's.
    pub async fn call<I, O>(&self, function: &str, input: &I) -> Result<O, CallError>
    where
        I: Serialize + Sync + ?Sized,
        O: DeserializeOwned,
    {
        let completed = self.run(function, Payload::json(input)?).await?;
        Ok(completed.into_result()?.to_json()?)
    }

    /// Why: what was decided about an invocation, an execution or a sandbox, and what followed.
    pub fn explain(&self, subject: impl Into<Subject>) -> Explanation {
        self.decisions.explain(subject)
    }

    /// All decisions of all layers.
    pub fn decisions(&self) -> &DecisionLog {
        &self.decisions
    }

    /// The platform's own row of the paper's Table 1.
    pub fn map(&self) -> PlatformMap {
        let mut parts = self.resources.describe();
        parts.extend(self.functions.describe());
        parts.extend(self.workflows.describe());
        PlatformMap::new(&*self.name, parts)
    }

    /// Ends the workflow engine, then all sandboxes; at the latest after `deadline`.
    ///
    /// # Errors
    /// `DeadlineExceeded` if something would not end in time; all the same the rest was ended.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let workflows = self.workflows.shutdown(deadline).await;
        let resources = self.resources.shutdown(deadline).await;
        workflows.and(resources)
    }
}

/// The runtime of handlers of this process.
pub(crate) fn handler_runtime() -> Result<RuntimeName> {
    RuntimeName::new("handler")
}

fn handler_config(name: HandlerName) -> Result<FunctionConfig> {
    Ok(FunctionConfig::new(
        handler_runtime()?,
        Executable::Handler(name),
    ))
}

fn function_id(text: &str) -> Result<FunctionId> {
    let FunctionRef {
        namespace,
        name,
        qualifier,
    } = text.parse()?;
    if qualifier != faas_core::Qualifier::Latest {
        let message = format!("{text}: a deployment makes a revision, it cannot name one");
        return Err(Error::invalid("deploy", message));
    }
    Ok(FunctionId { namespace, name })
}
