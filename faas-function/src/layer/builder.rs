//! [`FunctionLayerBuilder`]: wires the function layer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Error, IdSource, MemoryStore, Resources, Result, RuntimeName, Store, TokioClock,
};
use faas_resource::ResourceManager;
use faas_resource::spec::ExecutableKind;
use object_store::memory::InMemory;

use super::FunctionLayer;
use crate::autoscaler::ConcurrencyTarget;
use crate::builder::{CargoBuilder, Chain, Prebuilt};
use crate::control::{Control, ControlParts};
use crate::deployer::LayeredDeployer;
use crate::deployer::plan::Contracts;
use crate::registry::{ObjectCode, StoreMetadata};
use crate::router::{SlotRouter, SlotRouterOptions, SlotRouterParts};
use crate::{
    CodeStore, Contract, FunctionAutoscaler, FunctionBuilder, FunctionDeployer, FunctionRouter,
    MetadataStore,
};

/// Builds a [`FunctionLayer`].
#[derive(Default)]
pub struct FunctionLayerBuilder {
    resources: Option<Arc<dyn ResourceManager>>,
    contracts: Contracts,
    twice: Vec<RuntimeName>,
    store: Option<Arc<dyn Store>>,
    metadata: Option<Arc<dyn MetadataStore>>,
    code: Option<Arc<dyn CodeStore>>,
    builder: Option<Arc<dyn FunctionBuilder>>,
    cargo: Option<(Vec<RuntimeName>, PathBuf)>,
    deployer: Option<Arc<dyn FunctionDeployer>>,
    router: Option<Arc<dyn FunctionRouter>>,
    autoscaler: Option<Box<dyn FunctionAutoscaler>>,
    limit: Option<Resources>,
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
        /// What the default registry and the default builder's cache lie over; a volatile one by
        /// default.
        store: Arc<dyn Store>;
        /// F1, the metadata half; over the store by default.
        metadata: Arc<dyn MetadataStore>;
        /// F1, the code half; in memory by default.
        code: Arc<dyn CodeStore>;
        /// F2; by default a [`Chain`] of [`Prebuilt`], for every runtime whose contract runs
        /// programs, and of what [`cargo`](Self::cargo) adds.
        builder: Arc<dyn FunctionBuilder>;
        /// F3; [`LayeredDeployer`] by default.
        deployer: Arc<dyn FunctionDeployer>;
        /// F5; [`SlotRouter`] by default.
        router: Arc<dyn FunctionRouter>;
        /// F6; [`ConcurrencyTarget`] by default.
        autoscaler: Box<dyn FunctionAutoscaler>;
        /// What all instances together may take; what the nodes have, unless it is said.
        limit: Resources;
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

    /// The default builder makes the functions of these runtimes from Rust source trees, with
    /// [`CargoBuilder`]; `cache` is a directory of its own.
    #[must_use]
    pub fn cargo(
        mut self,
        runtimes: impl IntoIterator<Item = RuntimeName>,
        cache: impl Into<PathBuf>,
    ) -> Self {
        self.cargo = Some((runtimes.into_iter().collect(), cache.into()));
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
        if let Some((runtimes, _)) = &self.cargo {
            if self.builder.is_some() {
                faults.push("cargo is for the default builder, and there is another".to_owned());
            }
            let programs: Vec<_> = self.programs().collect();
            let spoken = |runtime: &&RuntimeName| programs.contains(runtime);
            let mute =
                |runtime| format!("runtime {runtime}, of cargo, has no contract of programs");
            if self.deployer.is_none() {
                faults.extend(runtimes.iter().filter(|r| !spoken(r)).map(mute));
            }
        }
        faults
    }

    /// The runtimes whose contracts run programs.
    fn programs(&self) -> impl Iterator<Item = &RuntimeName> {
        let runs = |contract: &Arc<dyn Contract>| {
            contract.executables().contains(&ExecutableKind::Program)
        };
        let programs = self.contracts.iter().filter(move |(_, c)| runs(c));
        programs.map(|(runtime, _)| runtime)
    }

    /// The default builder.
    fn chain(&self, store: Arc<dyn Store>, code: &Arc<dyn CodeStore>) -> Chain {
        let chain = Chain::new(store, code.clone());
        let (rust, cache) = self.cargo.clone().unwrap_or_default();
        let prebuilt = self.programs().filter(|runtime| !rust.contains(runtime));
        let chain = chain.with(Prebuilt::new(prebuilt.cloned().collect(), code.clone()));
        match rust.is_empty() {
            true => chain,
            false => chain.with(CargoBuilder::new(rust, code.clone(), cache)),
        }
    }
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
        let store = self.store.clone();
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let code = self.code.clone();
        let code = code.unwrap_or_else(|| Arc::new(ObjectCode::new(Arc::new(InMemory::new()))));
        let builder = self.builder.clone();
        let builder = builder.unwrap_or_else(|| Arc::new(self.chain(store.clone(), &code)));
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let fresh = || DecisionLog::new(clock.clone(), IdSource::random(clock.clone()));
        let decisions = self.decisions.unwrap_or_else(fresh);
        let metadata = self.metadata;
        let metadata = metadata.unwrap_or_else(|| Arc::new(StoreMetadata::new(store)));
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
        let parts = SlotRouterParts {
            metadata: metadata.clone(),
            clock: clock.clone(),
            decisions: decisions.clone(),
        };
        let router = match self.router {
            Some(router) => router,
            None => slot_router(parts, self.seed).await?,
        };
        let policy = self
            .autoscaler
            .unwrap_or_else(|| Box::new(ConcurrencyTarget::default()));
        let autoscaler = policy.describe();
        let mut parts = ControlParts::new(
            metadata.clone(),
            deployer.clone(),
            router.clone(),
            clock.clone(),
            decisions.clone(),
        );
        parts.limit = self.limit;
        let control = Arc::new(Control::start(parts, policy, self.seed));
        Ok(FunctionLayer {
            metadata,
            code,
            builder,
            deployer,
            router,
            autoscaler,
            decisions,
            clock,
            control,
        })
    }
}

async fn slot_router(parts: SlotRouterParts, seed: u64) -> Result<Arc<dyn FunctionRouter>> {
    let options = SlotRouterOptions {
        seed,
        ..SlotRouterOptions::default()
    };
    Ok(Arc::new(SlotRouter::start(parts, options).await?))
}
