//! [`FunctionLayer`]: the six components, wired, over any resource manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Description, Error, IdSource, Invocation, Invoker, MemoryStore, Monotonic, PrewarmHint,
    Response, Result, RevisionNumber, RuntimeName, Store, TokioClock,
};
use faas_resource::ResourceManager;

use crate::autoscaler::ConcurrencyTarget;
use crate::control::{Control, ControlParts};
use crate::deployer::plan::Contracts;
use crate::deployer::{Deploy, LayeredDeployer};
use crate::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, StoreMetadata,
};
use crate::router::{SlotRouter, SlotRouterOptions, SlotRouterParts};
use crate::{Contract, FunctionAutoscaler, FunctionDeployer, FunctionRouter, MetadataStore};

/// Any router calls functions.
#[async_trait::async_trait]
impl Invoker for dyn FunctionRouter {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        FunctionRouter::invoke(self, invocation).await
    }
    fn prewarm(&self, hint: PrewarmHint) {
        FunctionRouter::prewarm(self, hint);
    }
    fn describe(&self) -> Description {
        FunctionRouter::describe(self)
    }
}

/// The function layer, running; clones are the same layer, and it ends with the last of them.
#[derive(Clone)]
pub struct FunctionLayer {
    metadata: Arc<dyn MetadataStore>,
    deployer: Arc<dyn FunctionDeployer>,
    router: Arc<dyn FunctionRouter>,
    autoscaler: Description,
    decisions: DecisionLog,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
}

impl fmt::Debug for FunctionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionLayer")
            .field("autoscaler", &self.autoscaler)
            .finish_non_exhaustive()
    }
}

impl FunctionLayer {
    /// With what has a default: a volatile registry, the slot router, Knative's autoscaler.
    pub fn builder() -> FunctionLayerBuilder {
        FunctionLayerBuilder::default()
    }

    /// F1, the metadata half.
    pub fn metadata(&self) -> &Arc<dyn MetadataStore> {
        &self.metadata
    }

    /// F3.
    pub fn deployer(&self) -> &Arc<dyn FunctionDeployer> {
        &self.deployer
    }

    /// F5.
    pub fn router(&self) -> &Arc<dyn FunctionRouter> {
        &self.router
    }

    /// F5 as whatever calls functions knows it.
    pub fn invoker(&self) -> Arc<dyn Invoker> {
        Arc::new(self.router.clone())
    }

    /// Where decisions are recorded.
    pub fn decisions(&self) -> &DecisionLog {
        &self.decisions
    }

    /// Registers a function, or makes its next revision.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the configuration, `Unsupported` where it fits none of
    /// the contracts; whatever the registry answers.
    pub async fn deploy(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        use faas_core::ErrorKind::AlreadyExists;
        // What could not be planned must not become a revision; the number does not matter for that.
        let candidate = FunctionRevision {
            function: function.clone(),
            number: RevisionNumber(1),
            config: config.clone(),
        };
        self.deployer
            .plan(&Deploy::new(Arc::new(candidate), 0, Monotonic::ZERO))?;
        match self.metadata.create(function.clone(), config.clone()).await {
            Err(error) if error.kind() == AlreadyExists => {
                self.metadata.update(&function, config, None).await
            }
            other => other,
        }
    }

    /// Makes or moves an alias.
    ///
    /// # Errors
    /// As [`MetadataStore::set_alias`].
    pub async fn set_alias(
        &self,
        function: &FunctionId,
        alias: Alias,
    ) -> Result<Arc<FunctionRecord>> {
        self.metadata
            .set_alias(function, AliasChange::Set(alias), None)
            .await
    }

    /// Takes no more invocations, waits for those that run or wait until `deadline`, and then
    /// scales no more. Instances stay; the resource layer ends their sandboxes.
    ///
    /// # Errors
    /// `DeadlineExceeded`, which says what did not end in time. All the same the layer is shut down:
    /// what still waited was refused.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let drained = self.router.drain(self.clock.now() + deadline).await;
        // Not before: what waits may wait for an instance.
        self.control.stop();
        drained
    }

    /// Its parts, for the component map.
    pub fn describe(&self) -> Vec<Description> {
        vec![
            self.metadata.describe(),
            self.deployer.describe(),
            FunctionRouter::describe(&*self.router),
            self.autoscaler.clone(),
        ]
    }
}

/// Builds a [`FunctionLayer`].
#[derive(Default)]
pub struct FunctionLayerBuilder {
    resources: Option<Arc<dyn ResourceManager>>,
    contracts: Contracts,
    twice: Vec<RuntimeName>,
    store: Option<Arc<dyn Store>>,
    metadata: Option<Arc<dyn MetadataStore>>,
    deployer: Option<Arc<dyn FunctionDeployer>>,
    router: Option<Arc<dyn FunctionRouter>>,
    autoscaler: Option<Box<dyn FunctionAutoscaler>>,
    clock: Option<Arc<dyn Clock>>,
    decisions: Option<DecisionLog>,
    seed: u64,
}

impl fmt::Debug for FunctionLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtimes = self.contracts.keys();
        f.debug_struct("FunctionLayerBuilder")
            .field("runtimes", &runtimes)
            .finish_non_exhaustive()
    }
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = Some($name);
            self
        }
    )*};
}

impl FunctionLayerBuilder {
    parts! {
        /// R2, which the default deployer delegates to; needed unless there is a deployer.
        resources: Arc<dyn ResourceManager>;
        /// What the default registry lies over; a volatile one by default.
        store: Arc<dyn Store>;
        /// F1, the metadata half; over the store by default.
        metadata: Arc<dyn MetadataStore>;
        /// F3; [`LayeredDeployer`] by default.
        deployer: Arc<dyn FunctionDeployer>;
        /// F5; [`SlotRouter`] by default.
        router: Arc<dyn FunctionRouter>;
        /// F6; [`ConcurrencyTarget`] by default.
        autoscaler: Box<dyn FunctionAutoscaler>;
        /// The time; tokio's by default.
        clock: Arc<dyn Clock>;
        /// Where decisions are recorded.
        decisions: DecisionLog;
    }

    /// Adds the contract of a runtime.
    #[must_use]
    pub fn contract(mut self, runtime: RuntimeName, contract: Arc<dyn Contract>) -> Self {
        if self.contracts.insert(runtime.clone(), contract).is_some() {
            self.twice.push(runtime);
        }
        self
    }

    /// What the policies' randomness begins with; equal seeds repeat equal decisions.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// What is wrong with it, one sentence a fault, so that who builds several layers can report
    /// the faults of all together; empty if nothing is. A missing resource manager is not among
    /// them: whoever holds the builder may be about to supply it. [`build`](Self::build) checks
    /// that too.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.deployer.is_none() && self.contracts.is_empty() {
            faults.push("there is no contract: call `contract` for each runtime".to_owned());
        }
        let twice = |runtime| format!("runtime {runtime} has two contracts");
        faults.extend(self.twice.iter().map(twice));
        faults
    }
}

impl FunctionLayerBuilder {
    /// Wires the parts, and begins to scale.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the assembly; those of the registry.
    pub async fn build(self) -> Result<FunctionLayer> {
        const OPERATION: &str = "build function layer";
        let mut faults = self.faults();
        if self.deployer.is_none() && self.resources.is_none() {
            faults.push("there is no resource manager: call `resources`".to_owned());
        }
        Error::check(OPERATION, faults)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let fresh = || DecisionLog::new(clock.clone(), IdSource::random(clock.clone()));
        let decisions = self.decisions.unwrap_or_else(fresh);
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let metadata: Arc<dyn MetadataStore> = self
            .metadata
            .unwrap_or_else(|| Arc::new(StoreMetadata::new(store)));
        let deployer: Arc<dyn FunctionDeployer> = match (self.deployer, self.resources) {
            (Some(deployer), _) => deployer,
            (None, Some(resources)) => Arc::new(LayeredDeployer::new(
                resources,
                self.contracts,
                clock.clone(),
                decisions.clone(),
            )),
            (None, None) => return Err(Error::invalid(OPERATION, "there is no resource manager")),
        };
        let router: Arc<dyn FunctionRouter> = match self.router {
            Some(router) => router,
            None => {
                let parts = SlotRouterParts {
                    metadata: metadata.clone(),
                    clock: clock.clone(),
                    decisions: decisions.clone(),
                };
                let seed = self.seed;
                let options = SlotRouterOptions {
                    seed,
                    ..SlotRouterOptions::default()
                };
                Arc::new(SlotRouter::start(parts, options).await?)
            }
        };
        let policy = self
            .autoscaler
            .unwrap_or_else(|| Box::new(ConcurrencyTarget::default()));
        let autoscaler = policy.describe();
        let parts = ControlParts::new(
            metadata.clone(),
            deployer.clone(),
            router.clone(),
            clock.clone(),
            decisions.clone(),
        );
        let control = Arc::new(Control::start(parts, policy, self.seed));
        Ok(FunctionLayer {
            metadata,
            deployer,
            router,
            autoscaler,
            decisions,
            clock,
            control,
        })
    }
}
