//! [`WorkflowLayer`]: the four components, wired, over any [`Invoker`] and any [`Store`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Description, Error, IdSource, Invoker, MemoryStore, Result, Store, TokioClock,
};
use object_store::ObjectStore;

use crate::asl::{ExpressionLanguage, ServiceIntegrations, StatesLanguage};
use crate::engine::durable::EngineParts;
use crate::engine::{DurableEngine, EngineOptions, TaskResources, WorkflowEngine};
use crate::execution_store::{StoreExecutionStore, WorkflowExecutionStore};
use crate::registry::{Language, StoreWorkflowRegistry, WorkflowRegistry};
use crate::scheduler::{Eager, WorkflowScheduler};

/// The workflow layer, running.
#[derive(Clone)]
pub struct WorkflowLayer {
    registry: Arc<dyn WorkflowRegistry>,
    executions: Arc<dyn WorkflowExecutionStore>,
    engine: Arc<dyn WorkflowEngine>,
    /// Ours to shut down; none where another engine was given.
    durable: Option<Arc<DurableEngine>>,
    decisions: DecisionLog,
    /// None where another engine was given, which has its own.
    scheduler: Option<Description>,
}

impl fmt::Debug for WorkflowLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowLayer")
            .field("engine", &self.engine.describe().name)
            .finish_non_exhaustive()
    }
}

impl WorkflowLayer {
    /// With what has a default: a volatile store, the eager scheduler, tokio's clock.
    pub fn builder() -> WorkflowLayerBuilder {
        WorkflowLayerBuilder::default()
    }

    /// W1.
    pub fn registry(&self) -> &Arc<dyn WorkflowRegistry> {
        &self.registry
    }

    /// W2.
    pub fn engine(&self) -> &Arc<dyn WorkflowEngine> {
        &self.engine
    }

    /// W2 as it is by default, with what only it can do; none where another engine was given.
    pub fn durable(&self) -> Option<&Arc<DurableEngine>> {
        self.durable.as_ref()
    }

    /// W4.
    pub fn executions(&self) -> &Arc<dyn WorkflowExecutionStore> {
        &self.executions
    }

    /// Where the engine's decisions go.
    pub fn decisions(&self) -> &DecisionLog {
        &self.decisions
    }

    /// Its parts, for the component map.
    pub fn describe(&self) -> Vec<Description> {
        let parts = [
            self.registry.describe(),
            self.engine.describe(),
            self.executions.describe(),
        ];
        parts.into_iter().chain(self.scheduler.clone()).collect()
    }

    /// As [`DurableEngine::shutdown`]. An engine that was given is its owner's to end.
    ///
    /// # Errors
    /// As [`DurableEngine::shutdown`].
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        match &self.durable {
            Some(engine) => engine.shutdown(deadline).await,
            None => Ok(()),
        }
    }
}

/// Builds a [`WorkflowLayer`].
#[derive(Default)]
pub struct WorkflowLayerBuilder {
    store: Option<Arc<dyn Store>>,
    invoker: Option<Arc<dyn Invoker>>,
    resources: Option<Arc<dyn TaskResources>>,
    objects: Option<Arc<dyn ObjectStore>>,
    registry: Option<Arc<dyn WorkflowRegistry>>,
    executions: Option<Arc<dyn WorkflowExecutionStore>>,
    engine: Option<Arc<dyn WorkflowEngine>>,
    scheduler: Option<Box<dyn WorkflowScheduler>>,
    expressions: Option<Arc<dyn ExpressionLanguage>>,
    languages: Vec<Arc<dyn Language>>,
    clock: Option<Arc<dyn Clock>>,
    ids: Option<IdSource>,
    decisions: Option<DecisionLog>,
    options: EngineOptions,
}

impl fmt::Debug for WorkflowLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowLayerBuilder")
            .field("options", &self.options)
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

impl WorkflowLayerBuilder {
    parts! {
        /// What the registry and the execution store lie over; a volatile one by default.
        store: Arc<dyn Store>;
        /// Who runs the tasks; the default engine needs one.
        invoker: Arc<dyn Invoker>;
        /// Who runs the tasks that name a resource which [`ServiceIntegrations`] does not run;
        /// nobody by default.
        resources: Arc<dyn TaskResources>;
        /// What tasks of `s3` see; the bucket is the first part of an object's path. Nothing by
        /// default.
        objects: Arc<dyn ObjectStore>;
        /// What evaluates the JSONata of the default registry's Amazon States Language; nothing by
        /// default: then definitions that use it are refused.
        expressions: Arc<dyn ExpressionLanguage>;
        /// W1; over the store by default.
        registry: Arc<dyn WorkflowRegistry>;
        /// W4; over the store by default.
        executions: Arc<dyn WorkflowExecutionStore>;
        /// W2; [`DurableEngine`] by default. It is to use the registry and the execution store that
        /// are given with it, and has a scheduler of its own.
        engine: Arc<dyn WorkflowEngine>;
        /// W3; [`Eager`] by default.
        scheduler: Box<dyn WorkflowScheduler>;
        /// The time; tokio's by default.
        clock: Arc<dyn Clock>;
        /// Where ids come from.
        ids: IdSource;
        /// Where decisions go.
        decisions: DecisionLog;
    }

    /// Adds a language to the default registry, in place of another of its name. The Rust builder's
    /// and Amazon States Language are there by default.
    #[must_use]
    pub fn language(mut self, language: Arc<dyn Language>) -> Self {
        self.languages.push(language);
        self
    }

    /// The engine's bounds.
    #[must_use]
    pub fn options(self, options: EngineOptions) -> Self {
        Self { options, ..self }
    }

    /// What is wrong with it, one sentence a fault, so that who builds several layers can report
    /// the faults of all together; empty if nothing is. A missing invoker is not among them:
    /// whoever holds the builder may be about to supply it. [`build`](Self::build) checks that too.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let options = &self.options;
        let mut faults = Vec::new();
        let mut check = |fault: bool, text: &str| {
            if fault {
                faults.push(text.to_owned());
            }
        };
        check(
            options.executions == 0,
            "options.executions is 0: nothing could start",
        );
        check(options.tasks == 0, "options.tasks is 0: no task could run");
        check(
            options.inbox == 0,
            "options.inbox is 0: nothing could be asked",
        );
        check(
            options.lease.is_zero(),
            "options.lease is 0: every engine would look dead",
        );
        check(
            self.engine.is_some() && self.scheduler.is_some(),
            "the engine brings its own scheduler, and the one given would not be used",
        );
        let both = self.registry.is_some() && !self.languages.is_empty();
        check(
            both,
            "languages are for the default registry, and another one is given",
        );
        faults
    }

    /// Wires the layer, opens the engine and recovers what is open.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault; the store's own.
    pub async fn build(self) -> Result<WorkflowLayer> {
        let mut faults = self.faults();
        let missing = "no invoker: nobody could run a task";
        if self.invoker.is_none() && self.engine.is_none() {
            faults.insert(0, missing.to_owned());
        }
        Error::check("build workflow layer", faults)?;
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let ids = self.ids.unwrap_or_else(|| IdSource::random(clock.clone()));
        let log = || DecisionLog::new(clock.clone(), ids.clone());
        let decisions = self.decisions.unwrap_or_else(log);
        let registry = self.registry.unwrap_or_else(|| {
            let states = StatesLanguage::new();
            let states = match self.expressions {
                Some(expressions) => states.with_expressions(expressions),
                None => states,
            };
            let registry = StoreWorkflowRegistry::new(store.clone(), clock.clone())
                .with_language(Arc::new(states));
            let add = StoreWorkflowRegistry::with_language;
            Arc::new(self.languages.into_iter().fold(registry, add))
        });
        let over_store = || Arc::new(StoreExecutionStore::new(store.clone())) as _;
        let executions = self.executions.unwrap_or_else(over_store);
        if let Some(engine) = self.engine {
            return Ok(WorkflowLayer {
                registry,
                executions,
                engine,
                durable: None,
                decisions,
                scheduler: None,
            });
        }
        let missing = || Error::invalid("build workflow layer", missing);
        let invoker = self.invoker.ok_or_else(missing)?;
        let services = ServiceIntegrations::new(invoker.clone(), ids.clone())
            .with_response_bytes(self.options.response_bytes);
        let services = match self.objects {
            Some(objects) => services.with_objects(objects),
            None => services,
        };
        let services = match self.resources {
            Some(resources) => services.otherwise(resources),
            None => services,
        };
        let scheduler = self.scheduler.unwrap_or_else(|| Box::new(Eager::new()));
        let described = scheduler.describe();
        let parts = EngineParts {
            registry: registry.clone(),
            executions: executions.clone(),
            scheduler,
            invoker,
            resources: Some(Arc::new(services)),
            clock,
            ids,
            decisions: decisions.clone(),
        };
        let engine = Arc::new(DurableEngine::open(parts, self.options).await?);
        engine.recover().await?;
        Ok(WorkflowLayer {
            registry,
            executions,
            engine: engine.clone(),
            durable: Some(engine),
            decisions,
            scheduler: Some(described),
        })
    }
}
