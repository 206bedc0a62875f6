//! [`PlatformBuilder`]: wires the layers; it decides nothing.

use std::fmt;
use std::sync::Arc;

use faas_core::explain::DecisionLog;
use faas_core::{Clock, IdSource, MemoryStore, NodeName, Result, RuntimeName, Store, TokioClock};
use faas_function::layer::FunctionLayerBuilder;
use faas_function::{Contract, FunctionLayer};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::layer::{ResourceLayer, ResourceLayerBuilder};
use faas_resource::naming::StoreNaming;
use faas_resource::scheduler::FilterScore;
use faas_resource::{NodeAgent, ResourceScheduler};
use faas_runtimes::InProcess;
use faas_workflow::WorkflowLayer;
use faas_workflow::layer::WorkflowLayerBuilder;
use tower::{BoxError, Layer, Service};

use crate::platform::{Platform, Shared, handler_runtime};
use crate::stack::{self, AnyLayer, Stack};

/// Changes the builder of one layer.
type Change<B> = Box<dyn FnOnce(B) -> B + Send>;

/// Builds a [`Platform`]. What is not said has a default; every component can be replaced, by a
/// shortcut here or through the builder of its layer.
#[derive(Default)]
pub struct PlatformBuilder {
    name: Option<String>,
    store: Option<Arc<dyn Store>>,
    clock: Option<Arc<dyn Clock>>,
    guest_runtime: Option<tokio::runtime::Handle>,
    agents: Vec<Arc<dyn NodeAgent>>,
    scheduler: Option<Change<ResourceLayerBuilder>>,
    contracts: Vec<(RuntimeName, Arc<dyn Contract>)>,
    layers: Vec<AnyLayer>,
    resources: Vec<Change<ResourceLayerBuilder>>,
    functions: Vec<Change<FunctionLayerBuilder>>,
    workflows: Vec<Change<WorkflowLayerBuilder>>,
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
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where all state lies; a volatile store by default.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The time; tokio's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Runs closures on a runtime of their own, so that one that never yields disturbs nobody.
    #[must_use]
    pub fn guest_runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.guest_runtime = Some(runtime);
        self
    }

    /// Adds a node (R4) to the one for handlers of this process.
    #[must_use]
    pub fn agent(mut self, agent: Arc<dyn NodeAgent>) -> Self {
        self.agents.push(agent);
        self
    }

    /// Replaces the scheduler (R3).
    #[must_use]
    pub fn scheduler(mut self, scheduler: impl ResourceScheduler) -> Self {
        self.scheduler = Some(Box::new(move |layer| layer.scheduler(scheduler)));
        self
    }

    /// Adds the contract of a runtime to that of handlers of this process.
    #[must_use]
    pub fn contract(mut self, runtime: RuntimeName, contract: Arc<dyn Contract>) -> Self {
        self.contracts.push((runtime, contract));
        self
    }

    /// Adds a tower layer around the invocation path; the first is the outermost. Tower's own
    /// concurrency limits see the heads of responses, not their bodies: limits are the router's.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Stack> + Send + 'static,
        L::Service: Service<faas_core::Invocation, Response = faas_core::Response>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<faas_core::Invocation>>::Error: Into<BoxError>,
        <L::Service as Service<faas_core::Invocation>>::Future: Send + 'static,
    {
        self.layers.push(stack::erase(layer));
        self
    }

    /// Changes the builder of the resource layer, after its defaults are set.
    #[must_use]
    pub fn resources(
        mut self,
        change: impl FnOnce(ResourceLayerBuilder) -> ResourceLayerBuilder + Send + 'static,
    ) -> Self {
        self.resources.push(Box::new(change));
        self
    }

    /// Changes the builder of the function layer, after its defaults are set.
    #[must_use]
    pub fn functions(
        mut self,
        change: impl FnOnce(FunctionLayerBuilder) -> FunctionLayerBuilder + Send + 'static,
    ) -> Self {
        self.functions.push(Box::new(change));
        self
    }

    /// Changes the builder of the workflow layer, after its defaults are set.
    #[must_use]
    pub fn workflows(
        mut self,
        change: impl FnOnce(WorkflowLayerBuilder) -> WorkflowLayerBuilder + Send + 'static,
    ) -> Self {
        self.workflows.push(Box::new(change));
        self
    }

    /// Starts the platform. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of a layer's configuration; those of the store.
    pub async fn build(self) -> Result<Platform> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let ids = IdSource::random(clock.clone());
        let decisions = DecisionLog::new(clock.clone(), ids.clone());
        let handlers = Handlers::new();

        let mut layer = ResourceLayer::builder()
            .store(store.clone())
            .naming(Arc::new(StoreNaming::new(store.clone(), clock.clone())))
            .clock(clock.clone())
            .ids(ids.clone())
            .decisions(decisions.clone())
            .agent(Arc::new(MemoryNode::new(
                NodeName::new("memory")?,
                Arc::new(handlers.clone()),
            )));
        layer = self
            .agents
            .into_iter()
            .fold(layer, ResourceLayerBuilder::agent);
        for (name, hook) in self
            .contracts
            .iter()
            .filter_map(|(_, contract)| contract.hook())
        {
            layer = layer.hook(name, hook);
        }
        layer = match self.scheduler {
            Some(scheduler) => scheduler(layer),
            None => layer.scheduler(FilterScore::default()),
        };
        let resources = apply(layer, self.resources).build().await?;

        let mut in_process = InProcess::new(Arc::new(handlers.clone()), clock.clone());
        if let Some(runtime) = self.guest_runtime {
            in_process = in_process.guest_runtime(runtime);
        }
        let mut layer = FunctionLayer::builder()
            .resources(resources.manager().clone())
            .store(store.clone())
            .clock(clock.clone())
            .decisions(decisions.clone())
            .contract(handler_runtime()?, Arc::new(in_process));
        for (runtime, contract) in self.contracts {
            layer = layer.contract(runtime, contract);
        }
        let functions = apply(layer, self.functions).build().await?;

        let invoker = stack::build(functions.invoker(), self.layers);
        let layer = WorkflowLayer::builder()
            .invoker(invoker.clone())
            .store(store)
            .clock(clock)
            .ids(ids.clone())
            .decisions(decisions.clone());
        let workflows = apply(layer, self.workflows).build().await?;
        let name = self.name.unwrap_or_else(|| "faas".to_owned()).into();
        let invoker = Shared(invoker);
        Ok(Platform {
            name,
            resources,
            functions,
            workflows,
            invoker,
            handlers,
            ids,
            decisions,
        })
    }
}

fn apply<B>(builder: B, changes: Vec<Change<B>>) -> B {
    changes
        .into_iter()
        .fold(builder, |builder, change| change(builder))
}
