//! [`FunctionLayer`]: the six components, wired, over any resource manager.

mod builder;
mod building;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{
    Clock, Description, Error, ErrorKind, Invocation, Invoker, Monotonic, Namespace, PrewarmHint,
    Response, Result, Retry, RevisionNumber,
};

pub use builder::FunctionLayerBuilder;
pub use building::BuildingEvent;

use futures::future::BoxFuture;

use crate::control::Control;
use crate::deployer::Deploy;
use crate::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
};
use crate::{CodeStore, FunctionBuilder, FunctionDeployer, FunctionRouter, MetadataStore};

/// Any router calls functions.
#[async_trait::async_trait]
impl Invoker for dyn FunctionRouter {
    fn invoke<'a, 'f>(&'a self, invocation: Invocation) -> BoxFuture<'f, Result<Response>>
    where
        'a: 'f,
        Self: 'f,
    {
        FunctionRouter::invoke(self, invocation)
    }
    fn prewarm(&self, hint: PrewarmHint) {
        FunctionRouter::prewarm(self, hint);
    }
    fn describe(&self) -> Description {
        FunctionRouter::describe(self)
    }
}

const CHECK: &str = "deploy function";
/// How often a deployment is tried that others' changes come before.
const ATTEMPTS: usize = 16;

/// The function layer, running; clones are the same layer, and it ends with the last of them.
#[derive(Clone)]
pub struct FunctionLayer {
    metadata: Arc<dyn MetadataStore>,
    code: Arc<dyn CodeStore>,
    builder: Arc<dyn FunctionBuilder>,
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
    /// With what has a default: a volatile registry, prebuilt programs, the slot router, Knative's
    /// autoscaler.
    pub fn builder() -> FunctionLayerBuilder {
        FunctionLayerBuilder::default()
    }

    /// F1, the metadata half.
    pub fn metadata(&self) -> &Arc<dyn MetadataStore> {
        &self.metadata
    }

    /// F1, the code half.
    pub fn code(&self) -> &Arc<dyn CodeStore> {
        &self.code
    }

    /// F2.
    pub fn function_builder(&self) -> &Arc<dyn FunctionBuilder> {
        &self.builder
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

    /// Registers a function, or makes its next revision; deploying what its latest revision is
    /// already makes none, and nor do equal deployments at the same time make two.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the configuration, `Unsupported` where it fits none of
    /// the contracts and nothing else is wrong; `Conflict` if others change the function all the
    /// time; whatever the registry answers.
    pub async fn deploy(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        self.check(&function, &config)?;
        for _ in 0..ATTEMPTS {
            match self.metadata.create(function.clone(), config.clone()).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other,
            }
            let read = match self.metadata.get(&function).await {
                Ok(record) if record.latest.config == config => return Ok(record),
                Ok(record) => record.generation,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let config = config.clone();
            match self.metadata.update(&function, config, Some(read)).await {
                // Somebody deleted or changed it between the two.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {
                }
                other => return other,
            }
        }
        let message = format!("{function} was changed by others at each of {ATTEMPTS} attempts");
        Err(Error::conflict(CHECK, message).with_retry(Retry::Safe))
    }

    /// What could not be planned must not become a revision.
    fn check(&self, function: &FunctionId, config: &FunctionConfig) -> Result<()> {
        // The number does not matter for a plan.
        let candidate = FunctionRevision {
            function: function.clone(),
            number: RevisionNumber(1),
            config: config.clone(),
        };
        let request = Deploy::new(Arc::new(candidate), 0, Monotonic::ZERO);
        // Ours tells the faults of the configuration with those of the plan; others may not look.
        self.deployer.plan(&request)?;
        config.validate()
    }

    /// One function.
    ///
    /// # Errors
    /// `NotFound` if it is not there.
    pub async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
        self.metadata.get(function).await
    }

    /// The functions of a namespace, or of all, in the order of names.
    ///
    /// # Errors
    /// As [`MetadataStore::list`].
    pub async fn list(&self, namespace: Option<Namespace>) -> Result<Vec<Arc<FunctionRecord>>> {
        Ok(self.metadata.list(namespace).await?.0)
    }

    /// Deletes a function with its revisions and aliases; with `expected`, only if it is as it was.
    /// What waits for it is answered `NotFound`, and its instances are ended soon after. Its code
    /// stays: other functions may share it.
    ///
    /// # Errors
    /// `NotFound` if it is not there; `Conflict` if it has changed.
    pub async fn delete(&self, function: &FunctionId, expected: Option<Generation>) -> Result<()> {
        self.metadata.delete(function, expected).await
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
            self.code.describe(),
            self.builder.describe(),
            self.deployer.describe(),
            FunctionRouter::describe(&*self.router),
            self.autoscaler.clone(),
        ]
    }
}
