//! The building flow: source → builder → code store → registry.

use std::path::PathBuf;
use std::sync::Arc;

use faas_core::{Digest, Result};
use faas_resource::Executable;
use faas_resource::spec::{Packing, Program};
use futures::future;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::FunctionLayer;
use crate::builder::{Artifact, BuildEvent, BuildRequest};
use crate::registry::{FunctionConfig, FunctionId, FunctionRecord};

/// What [`FunctionLayer::build_and_deploy`] tells as it goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BuildingEvent {
    /// A line of the build's log.
    Log(String),
    /// It is built, and its code is in the code store.
    Built(Artifact),
    /// It is a new revision: the end.
    Deployed(Arc<FunctionRecord>),
}

impl FunctionLayer {
    /// Builds `request`, and makes what comes of it a function, or its next revision. The
    /// configuration begins as [`FunctionConfig::new`] and is what `configure` makes of it; the
    /// runtime and the executable are the build's.
    ///
    /// The stream ends with [`BuildingEvent::Deployed`], or with an error. Nothing happens unless it
    /// is read; dropping it stops the build.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the configuration, before anything is built; a failed
    /// build with the tail of its log; as [`FunctionLayer::deploy`].
    pub fn build_and_deploy(
        &self,
        function: FunctionId,
        request: BuildRequest,
        configure: impl FnOnce(&mut FunctionConfig),
    ) -> BoxStream<'static, Result<BuildingEvent>> {
        let runtime = request.runtime.clone();
        let mut config = FunctionConfig::new(runtime.clone(), nothing_yet());
        configure(&mut config);
        (config.runtime, config.executable) = (runtime, nothing_yet());
        if let Err(faults) = config.validate() {
            return stream::once(future::err(faults)).boxed();
        }
        let layer = self.clone();
        let steps = move |event| match event {
            BuildEvent::Log(line) => {
                stream::once(future::ok(BuildingEvent::Log(line))).left_stream()
            }
            BuildEvent::Done(artifact) => {
                let mut config = config.clone();
                config.executable = artifact.executable.clone();
                let (layer, function) = (layer.clone(), function.clone());
                let deployed = async move {
                    let record = layer.deploy(function, config).await?;
                    Ok(BuildingEvent::Deployed(record))
                };
                let built = stream::once(future::ok(BuildingEvent::Built(artifact)));
                built.chain(stream::once(deployed)).right_stream()
            }
        };
        let building = self.builder.build(request);
        building.map_ok(steps).try_flatten().boxed()
    }
}

/// What stands in a configuration until there is something to execute.
fn nothing_yet() -> Executable {
    Executable::Program(Program {
        code: Digest::of(b""),
        packing: Packing::File,
        entrypoint: PathBuf::from("program"),
        arguments: Vec::new(),
    })
}
