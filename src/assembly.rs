//! What a platform is made of, wired and not started yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Error, HookName, IdSource, MemoryStore, Result, RuntimeName, Store, TokioClock,
};
use faas_function::layer::FunctionLayerBuilder;
use faas_function::queue::{Payloads, StoreQueueOptions};
use faas_function::registry::{FunctionConfig, FunctionId, ObjectCode};
use faas_function::{CodeStore, Contract, FunctionLayer};
use faas_resource::layer::{ResourceLayer, ResourceLayerBuilder};
use faas_resource::naming::StoreNaming;
use faas_resource::scheduler::FilterScore;
use faas_resource::{NodeAgent, ResourceManager, SandboxHook};
use faas_workflow::WorkflowLayer;
use faas_workflow::layer::WorkflowLayerBuilder;
use object_store::memory::InMemory;
use tempfile::TempDir;

use crate::builder::{Change, PlatformBuilder};
#[cfg(feature = "sqlite")]
use crate::durable::DataDirectory;
use crate::local::{Local, LocalOptions};
use crate::platform::{Platform, Shared};
use crate::queue;
use crate::stack::{self, AnyLayer};

const OPERATION: &str = "build platform";

/// What all layers share.
pub(crate) struct Common {
    pub(crate) store: Arc<dyn Store>,
    code: Arc<dyn CodeStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    pub(crate) decisions: DecisionLog,
    pub(crate) payloads: Option<Payloads>,
}

/// The builders of all layers, with their defaults and the application's changes.
pub(crate) struct Assembly {
    name: String,
    common: Common,
    #[cfg(feature = "memory")]
    handlers: faas_memory::Handlers,
    /// Functions to be deployed before anything else goes on.
    declared: Vec<(FunctionId, FunctionConfig)>,
    build_cache: BuildCache,
    layers: Vec<AnyLayer>,
    queue: StoreQueueOptions,
    resources: ResourceLayerBuilder,
    functions: FunctionLayerBuilder,
    workflows: WorkflowLayerBuilder,
    faults: Vec<String>,
}

impl Assembly {
    /// # Errors
    /// If a directory cannot be had. Faults are kept for [`start`](Self::start).
    pub(crate) async fn of(
        #[cfg_attr(not(feature = "sqlite"), expect(unused_mut))] mut builder: PlatformBuilder,
    ) -> Result<Self> {
        let clock = builder.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        #[cfg(feature = "sqlite")]
        if let Some(path) = builder.data_dir.take() {
            let data = DataDirectory::open(&path, &clock).await?;
            builder.store.get_or_insert(Arc::new(data.store));
            builder.code.get_or_insert(Arc::new(data.code));
            builder.build_cache.get_or_insert(data.builds);
            builder.payloads.get_or_insert(data.payloads);
        }
        let ids = IdSource::random(clock.clone());
        let in_memory = || Arc::new(ObjectCode::new(Arc::new(InMemory::new()))) as _;
        let common = Common {
            store: builder
                .store
                .unwrap_or_else(|| Arc::new(MemoryStore::new())),
            code: builder.code.unwrap_or_else(in_memory),
            decisions: DecisionLog::new(clock.clone(), ids.clone()),
            payloads: builder.payloads,
            clock,
            ids,
        };
        let options = LocalOptions {
            clock: common.clock.clone(),
            code: common.code.clone(),
            nodes: builder.manager.is_none() && !builder.without_local_nodes,
            #[cfg(feature = "memory")]
            guest_runtime: builder.guest_runtime,
            #[cfg(all(feature = "process", target_os = "linux"))]
            process_root: builder.process_root,
        };
        let local = Local::new(&options)?;
        #[cfg(feature = "memory")]
        let (declared, faults) = declare(builder.declared, &local.handlers, local.faults.clone());
        #[cfg(not(feature = "memory"))]
        let (declared, faults) = (Vec::new(), local.faults.clone());
        let contracts = contracts(&local, builder.contracts);
        let agents = local.agents.iter().cloned().chain(builder.agents);
        let resources = resources(&common, builder.manager, agents, &contracts);
        let build_cache = BuildCache::new(builder.build_cache)?;
        let functions = functions(&common, contracts);
        let functions = match builder.function_builder {
            Some(builder) => functions.builder(builder),
            None if local.cargo.is_empty() => functions,
            None => functions.cargo(local.cargo.iter().cloned(), build_cache.path()),
        };
        let workflows = workflows(&common);
        Ok(Self {
            name: builder.name.unwrap_or_else(|| "faas".to_owned()),
            #[cfg(feature = "memory")]
            handlers: local.handlers,
            declared,
            build_cache,
            layers: builder.layers,
            queue: builder.queue,
            resources: apply(resources, builder.resources),
            functions: apply(functions, builder.functions),
            workflows: apply(workflows, builder.workflows),
            common,
            faults,
        })
    }

    /// # Errors
    /// `InvalidArgument` with the faults of all layers; what keeps a layer from starting.
    pub(crate) async fn start(mut self) -> Result<Platform> {
        self.faults.extend(self.resources.faults());
        self.faults.extend(self.functions.faults());
        self.faults.extend(self.workflows.faults());
        Error::check(OPERATION, self.faults)?;
        let resources = self.resources.build().await?;
        let functions = self.functions.resources(resources.manager().clone());
        let functions = functions.build().await?;
        for (function, config) in self.declared {
            functions.deploy(function, config).await?;
        }
        let invoker = stack::build(functions.invoker(), self.layers);
        let workflows = self.workflows.invoker(invoker.clone()).build().await?;
        let queue = queue::start(&self.common, &functions, &invoker, &workflows, self.queue);
        Ok(Platform {
            queue,
            name: self.name.into(),
            workflows,
            functions,
            resources,
            invoker: Shared(invoker),
            #[cfg(feature = "memory")]
            handlers: self.handlers,
            clock: self.common.clock,
            ids: self.common.ids,
            decisions: self.common.decisions,
            _build_cache: self.build_cache,
        })
    }
}

/// The directory of builds; removed at the end unless it was given.
#[derive(Debug, Clone)]
pub(crate) enum BuildCache {
    Given(PathBuf),
    Temporary(Arc<TempDir>),
}

impl BuildCache {
    fn new(given: Option<PathBuf>) -> Result<Self> {
        if let Some(given) = given {
            return Ok(Self::Given(given));
        }
        let made = tempfile::Builder::new().prefix("faas-build-").tempdir();
        let made = made.map_err(|error| {
            let message = format!("no temporary directory for builds: {error}");
            Error::unavailable(OPERATION, message).with_source(error)
        })?;
        Ok(Self::Temporary(Arc::new(made)))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Given(path) => path.clone(),
            Self::Temporary(directory) => directory.path().to_owned(),
        }
    }
}

/// Registers the handlers of declared functions; a bad name is one more fault.
#[cfg(feature = "memory")]
fn declare(
    declared: Vec<crate::declared::Declared>,
    handlers: &faas_memory::Handlers,
    mut faults: Vec<String>,
) -> (Vec<(FunctionId, FunctionConfig)>, Vec<String>) {
    let mut functions = Vec::new();
    for function in declared {
        match function.register(handlers) {
            Ok(function) => functions.push(function),
            Err(error) => faults.push(error.message().to_owned()),
        }
    }
    (functions, faults)
}

type Contracts = Vec<(RuntimeName, Arc<dyn Contract>)>;

/// Those of this machine, unless the application has one of the same name.
fn contracts(local: &Local, given: Contracts) -> Contracts {
    let replaced = |runtime: &RuntimeName| given.iter().any(|(name, _)| name == runtime);
    let own = local.contracts.iter();
    let own = own.filter(|(runtime, _)| !replaced(runtime)).cloned();
    own.collect::<Vec<_>>().into_iter().chain(given).collect()
}

/// The hooks of the contracts. A contract of several runtimes has one hook, so the last of a name
/// counts: who gives two contracts hooks of one name means one of them.
fn hooks(contracts: &Contracts) -> BTreeMap<HookName, Arc<dyn SandboxHook>> {
    let hooks = contracts.iter().filter_map(|(_, contract)| contract.hook());
    hooks.collect()
}

fn resources(
    common: &Common,
    manager: Option<Arc<dyn ResourceManager>>,
    agents: impl Iterator<Item = Arc<dyn NodeAgent>>,
    contracts: &Contracts,
) -> ResourceLayerBuilder {
    let layer = ResourceLayer::builder()
        .store(common.store.clone())
        .clock(common.clock.clone())
        .ids(common.ids.clone())
        .decisions(common.decisions.clone());
    let layer = agents.fold(layer, ResourceLayerBuilder::agent);
    if let Some(manager) = manager {
        return layer.manager(manager);
    }
    let naming = StoreNaming::new(common.store.clone(), common.clock.clone());
    let layer = layer
        .naming(Arc::new(naming))
        .scheduler(FilterScore::default());
    let hooks = hooks(contracts).into_iter();
    hooks.fold(layer, |layer, (name, hook)| layer.hook(name, hook))
}

fn functions(common: &Common, contracts: Contracts) -> FunctionLayerBuilder {
    let layer = FunctionLayer::builder()
        .store(common.store.clone())
        .code(common.code.clone())
        .clock(common.clock.clone())
        .decisions(common.decisions.clone());
    let contracts = contracts.into_iter();
    contracts.fold(layer, |layer, (runtime, contract)| {
        layer.contract(runtime, contract)
    })
}

fn workflows(common: &Common) -> WorkflowLayerBuilder {
    let layer = WorkflowLayer::builder()
        .store(common.store.clone())
        .clock(common.clock.clone())
        .ids(common.ids.clone())
        .decisions(common.decisions.clone());
    #[cfg(feature = "jsonata")]
    let layer = layer.expressions(Arc::new(faas_jsonata::StatesExpressions::default()));
    layer
}

fn apply<B>(builder: B, changes: Vec<Change<B>>) -> B {
    let changes = changes.into_iter();
    changes.fold(builder, |builder, change| change(builder))
}
