//! [`Platform`]: the three layers as one thing.

mod asynchronous;
mod functions;
mod workflows;

#[cfg(feature = "memory")]
pub(crate) use functions::function_id;

use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::{DecisionLog, Explanation, Subject};
use faas_core::{
    Clock, Completed, Error, FunctionRef, IdSource, Invocation, Invoker, Payload, PlatformMap,
    Response, Result,
};
use faas_function::FunctionLayer;
use faas_resource::layer::ResourceLayer;
use faas_workflow::WorkflowLayer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assembly::BuildCache;
use crate::builder::PlatformBuilder;
use crate::error::CallError;
use crate::queue::Queue;

/// Bytes of a response that [`Platform::call`] and [`Platform::run`] wait for, at most.
const RESPONSE_LIMIT: usize = 64 << 20;

/// A complete platform; clones are the same platform, and it ends with the last of them.
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
///
/// A platform that is dropped without [`shutdown`](Self::shutdown) leaves no child process, but
/// cuts off what runs.
#[derive(Debug, Clone)]
pub struct Platform {
    pub(crate) name: Arc<str>,
    pub(crate) workflows: WorkflowLayer,
    pub(crate) functions: FunctionLayer,
    pub(crate) resources: ResourceLayer,
    pub(crate) invoker: Shared,
    pub(crate) queue: Queue,
    #[cfg(feature = "memory")]
    pub(crate) handlers: faas_memory::Handlers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    pub(crate) decisions: DecisionLog,
    pub(crate) _build_cache: BuildCache,
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
    /// With what has a default: state in memory, functions in this process and in child processes.
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
    pub fn invoke(
        &self,
        invocation: Invocation,
    ) -> impl Future<Output = Result<Response>> + Send + '_ {
        self.invoker.0.invoke(invocation)
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
        parts.push(self.queue.0.describe());
        PlatformMap::new(&*self.name, parts)
    }

    /// Takes no more work, waits for what runs, and then stops all sandboxes, in three quarters and
    /// a quarter of `deadline`.
    ///
    /// # Errors
    /// `DeadlineExceeded` with everything that would not end in time; the rest has ended all the
    /// same.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let end = self.clock.now() + deadline;
        let drained = self.clock.now() + deadline * 3 / 4;
        // First: it gives work to the others.
        let queue = self.queue.0.drain(drained).await;
        let workflows = self.workflows.shutdown(drained.since(self.clock.now()));
        let workflows = workflows.await;
        let functions = self.functions.shutdown(drained.since(self.clock.now()));
        let functions = functions.await;
        let resources = self.resources.shutdown(end.since(self.clock.now()));
        all([queue, workflows, functions, resources.await])
    }
}

/// One error for all that failed.
fn all(results: [Result<()>; 4]) -> Result<()> {
    let mut failed = results.into_iter().filter_map(Result::err);
    let Some(first) = failed.next() else {
        return Ok(());
    };
    let rest: Vec<_> = failed.collect();
    if rest.is_empty() {
        return Err(first);
    }
    let all = std::iter::once(&first).chain(&rest);
    let messages: Vec<_> = all.map(ToString::to_string).collect();
    let (kind, retry) = (first.kind(), first.retry());
    Err(Error::new(kind, retry, "shut down", messages.join("; ")).with_source(first))
}
