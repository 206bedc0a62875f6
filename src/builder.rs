//! [`PlatformBuilder`]: wires the layers; it decides nothing.

mod components;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use faas_core::{Clock, Invocation, Response, Result, RuntimeName, Store};
use faas_function::layer::FunctionLayerBuilder;
use faas_function::queue::{Payloads, StoreQueueOptions};
use faas_function::{CodeStore, Contract, FunctionBuilder};
use faas_resource::layer::ResourceLayerBuilder;
use faas_resource::{NodeAgent, ResourceManager};
use faas_workflow::layer::WorkflowLayerBuilder;
use tower::{BoxError, Layer, Service};

use crate::assembly::Assembly;
use crate::platform::Platform;
use crate::stack::{self, AnyLayer, Stack};

/// Changes the builder of one layer.
pub(crate) type Change<B> = Box<dyn FnOnce(B) -> B + Send>;

/// Builds a [`Platform`]. What is not said has a default; every component can be replaced, by one
/// call here or through the builder of its layer.
#[derive(Default)]
#[must_use]
pub struct PlatformBuilder {
    pub(crate) name: Option<String>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) code: Option<Arc<dyn CodeStore>>,
    pub(crate) function_builder: Option<Arc<dyn FunctionBuilder>>,
    #[cfg(feature = "memory")]
    pub(crate) guest_runtime: Option<tokio::runtime::Handle>,
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) process_root: Option<PathBuf>,
    pub(crate) build_cache: Option<PathBuf>,
    #[cfg(feature = "sqlite")]
    pub(crate) data_dir: Option<PathBuf>,
    #[cfg(feature = "memory")]
    pub(crate) declared: Vec<crate::declared::Declared>,
    pub(crate) without_local_nodes: bool,
    pub(crate) manager: Option<Arc<dyn ResourceManager>>,
    pub(crate) agents: Vec<Arc<dyn NodeAgent>>,
    pub(crate) contracts: Vec<(RuntimeName, Arc<dyn Contract>)>,
    pub(crate) layers: Vec<AnyLayer>,
    pub(crate) queue: StoreQueueOptions,
    pub(crate) payloads: Option<Payloads>,
    pub(crate) resources: Vec<Change<ResourceLayerBuilder>>,
    pub(crate) functions: Vec<Change<FunctionLayerBuilder>>,
    pub(crate) workflows: Vec<Change<WorkflowLayerBuilder>>,
}

impl fmt::Debug for PlatformBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PlatformBuilder {
    /// What the platform is called in its map; `faas` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where all state lies; a volatile store by default.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Makes the platform durable: state goes into a SQLite file in this directory, and code and
    /// builds beside it. It is made if it is not there, and belongs to one platform at a time.
    ///
    /// After a restart or a crash, functions and workflows are as they were, executions go on, and
    /// instances that a function must have are started again. Declare the handlers of this process
    /// with [`function`](Self::function), so that they are there when executions go on.
    #[cfg(feature = "sqlite")]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// The time; tokio's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Runs closures on a runtime of their own, so that one that never yields disturbs nobody.
    #[cfg(feature = "memory")]
    pub fn guest_runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.guest_runtime = Some(runtime);
        self
    }

    /// Where child processes have their directories; a temporary directory of the platform's own
    /// by default. The path must be absolute and of at most 50 bytes, for the sockets below it.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn process_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.process_root = Some(root.into());
        self
    }

    /// Where builds from sources keep what they can use again; a temporary directory of the
    /// platform's own by default. A cache belongs to one platform at a time.
    pub fn build_cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.build_cache = Some(directory.into());
        self
    }

    /// Leaves out the nodes of this machine that the features bring: functions run on the agents
    /// that were added alone.
    pub fn without_local_nodes(mut self) -> Self {
        self.without_local_nodes = true;
        self
    }

    /// Bounds of the queue of asynchronous invocations, and whether other platforms share the store.
    pub fn queue(mut self, options: StoreQueueOptions) -> Self {
        self.queue = options;
        self
    }

    /// Where large payloads of asynchronous invocations lie, and which are large; in the data
    /// directory if there is one, or else in the store, all of them.
    pub fn payloads(mut self, payloads: Payloads) -> Self {
        self.payloads = Some(payloads);
        self
    }

    /// Adds a tower layer around the invocation path; the first is the outermost. Tower's own
    /// concurrency limits see the heads of responses, not their bodies: limits are the router's.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Stack> + Send + 'static,
        L::Service: Service<Invocation, Response = Response> + Clone + Send + Sync + 'static,
        <L::Service as Service<Invocation>>::Error: Into<BoxError>,
        <L::Service as Service<Invocation>>::Future: Send + 'static,
    {
        self.layers.push(stack::erase(layer));
        self
    }

    /// Changes the builder of the resource layer, after its defaults are set.
    pub fn resources(
        mut self,
        change: impl FnOnce(ResourceLayerBuilder) -> ResourceLayerBuilder + Send + 'static,
    ) -> Self {
        self.resources.push(Box::new(change));
        self
    }

    /// Changes the builder of the function layer, after its defaults are set.
    pub fn functions(
        mut self,
        change: impl FnOnce(FunctionLayerBuilder) -> FunctionLayerBuilder + Send + 'static,
    ) -> Self {
        self.functions.push(Box::new(change));
        self
    }

    /// Changes the builder of the workflow layer, after its defaults are set.
    pub fn workflows(
        mut self,
        change: impl FnOnce(WorkflowLayerBuilder) -> WorkflowLayerBuilder + Send + 'static,
    ) -> Self {
        self.workflows.push(Box::new(change));
        self
    }

    /// Starts the platform. It must be called within a tokio runtime that has I/O and time enabled.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the configuration, of all layers; those of the store,
    /// and of directories that cannot be had.
    pub async fn build(self) -> Result<Platform> {
        // In a box, for it is large, and so would be the futures of all who build a platform.
        Box::pin(async move { Assembly::of(self).await?.start().await }).await
    }
}
