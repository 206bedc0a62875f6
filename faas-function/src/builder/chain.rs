//! [`Chain`]: several builders as one, by runtime, with a cache.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::component::Component;
use faas_core::encoding::{Stored, decode, encode};
use faas_core::store::{Batch, Key, Precondition, Space};
use faas_core::{Description, Digest, Error, Result, RuntimeName, Store};
use faas_resource::Executable;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::flight::{Flights, Log};
use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder};
use crate::registry::CodeStore;

const BUILDS: Space = Space::unwatched("function-builds");

/// What came of a build, as it is kept.
#[derive(Serialize, Deserialize)]
struct Built {
    executable: Executable,
}

impl Stored for Built {
    const KIND: &'static str = "function-build";
    const VERSION: u32 = 1;
}

/// Several builders as one: the first that names a request's runtime builds it.
///
/// What a build made is kept in a store under its key, and answered again as long as the code
/// store still has the code. Concurrent builds of one key run once. A clone is the same chain.
#[derive(Clone)]
pub struct Chain {
    builders: Vec<Arc<dyn FunctionBuilder>>,
    store: Arc<dyn Store>,
    code: Arc<dyn CodeStore>,
    flights: Flights,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Chain");
        debug
            .field("runtimes", &self.runtimes())
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// A chain without builders: results are kept in `store`, their code is in `code`.
    pub fn new(store: Arc<dyn Store>, code: Arc<dyn CodeStore>) -> Self {
        Self {
            builders: Vec::new(),
            store,
            code,
            flights: Flights::default(),
        }
    }

    /// Adds a builder, behind those that are there.
    #[must_use]
    pub fn with(mut self, builder: impl FunctionBuilder) -> Self {
        self.builders.push(Arc::new(builder));
        self
    }

    fn builder(&self, runtime: &RuntimeName) -> Result<Arc<dyn FunctionBuilder>> {
        super::known(&self.runtimes(), runtime)?;
        let builds = |builder: &&Arc<dyn FunctionBuilder>| builder.runtimes().contains(runtime);
        let none = || Error::unsupported("build", format!("nobody builds for runtime {runtime}"));
        self.builders.iter().find(builds).cloned().ok_or_else(none)
    }

    /// What was built before, if its code is still there.
    async fn cached(&self, key: Digest) -> Result<Option<Artifact>> {
        let Some(entry) = self.store.get(&BUILDS, &Key::new(key.hex())).await? else {
            return Ok(None);
        };
        let Built { executable } = decode(&entry.value)?;
        if let Executable::Program(program) = &executable
            && self.code.get(&program.code).await.is_err()
        {
            return Ok(None);
        }
        Ok(Some(Artifact::new(executable, key)))
    }

    async fn keep(&self, artifact: &Artifact) -> Result<()> {
        let executable = artifact.executable.clone();
        let key = Key::new(artifact.cache_key.hex());
        let batch = Batch::new().put(
            BUILDS,
            key,
            encode(&Built { executable })?,
            Precondition::Any,
        );
        self.store.commit(batch).await.map(drop)
    }

    async fn run(
        self,
        builder: Arc<dyn FunctionBuilder>,
        request: BuildRequest,
        key: Digest,
        log: Log,
    ) -> Result<Artifact> {
        if let Some(artifact) = self.cached(key).await? {
            return Ok(artifact);
        }
        let mut events = builder.build(request);
        while let Some(event) = events.try_next().await? {
            match event {
                BuildEvent::Log(line) => log.line(&line),
                BuildEvent::Done(artifact) => {
                    self.keep(&artifact).await?;
                    return Ok(artifact);
                }
            }
        }
        Err(Error::internal(
            "build",
            "the builder ended without a result",
        ))
    }

    async fn start(self, request: BuildRequest) -> Result<BoxStream<'static, Result<BuildEvent>>> {
        let builder = self.builder(&request.runtime)?;
        let key = builder.cache_key(&request).await?;
        let flights = self.flights.clone();
        Ok(flights.join(key, |log| self.run(builder, request, key, log)))
    }
}

#[async_trait]
impl FunctionBuilder for Chain {
    fn runtimes(&self) -> Vec<RuntimeName> {
        let all = self.builders.iter().flat_map(|builder| builder.runtimes());
        all.collect()
    }

    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        stream::once(self.clone().start(request))
            .try_flatten()
            .boxed()
    }

    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        self.builder(&request.runtime)?.cache_key(request).await
    }

    fn describe(&self) -> Description {
        let names = self.builders.iter().map(|builder| builder.describe().name);
        let names = names.collect::<Vec<_>>().join(", ");
        Description::new(format!("Chain of {names}")).provides(Component::F2)
    }
}
