//! [`Prebuilt`]: programs that are built already.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::component::Component;
use faas_core::{Description, Digest, Error, Result, RuntimeName};
use faas_resource::Executable;
use faas_resource::spec::{Packing, Program};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::flight::Flights;
use super::tree::{Fields, blocking, is_within, unread};
use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder, Source};
use crate::registry::CodeStore;

/// Takes a program that is built already: a file of this machine, or code that the store has.
///
/// It knows one option, `entrypoint`: the name that the program is started by; else the file's
/// own, or `program`.
#[derive(Clone)]
pub struct Prebuilt {
    runtimes: Vec<RuntimeName>,
    code: Arc<dyn CodeStore>,
    flights: Flights,
}

impl std::fmt::Debug for Prebuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Prebuilt");
        debug
            .field("runtimes", &self.runtimes)
            .finish_non_exhaustive()
    }
}

impl Prebuilt {
    /// For these runtimes; the code goes into `code`.
    pub fn new(runtimes: Vec<RuntimeName>, code: Arc<dyn CodeStore>) -> Self {
        let flights = Flights::default();
        Self {
            runtimes,
            code,
            flights,
        }
    }

    /// Reads and checks a request.
    async fn read(&self, request: &BuildRequest) -> Result<(Bytes, PathBuf, Digest)> {
        super::known(&self.runtimes, &request.runtime)?;
        let entrypoint = entrypoint(request)?;
        let code = match &request.source {
            Source::Code(digest) => self.code.get(digest).await?,
            Source::File(path) | Source::Directory(path) => {
                let path = path.clone();
                blocking(move || std::fs::read(&path).map_err(|error| unread(&path, error)))
                    .await?
                    .into()
            }
        };
        let mut key = Fields::default();
        key.add("prebuilt");
        key.add(request.runtime.as_str());
        key.add(entrypoint.as_os_str().as_encoded_bytes());
        key.add(&code);
        Ok((code, entrypoint, key.digest()))
    }

    async fn run(self, code: Bytes, entrypoint: PathBuf, key: Digest) -> Result<Artifact> {
        let program = Program {
            code: self.code.put(code).await?,
            packing: Packing::File,
            entrypoint,
            arguments: Vec::new(),
        };
        Ok(Artifact::new(Executable::Program(program), key))
    }

    async fn start(self, request: BuildRequest) -> Result<BoxStream<'static, Result<BuildEvent>>> {
        let (code, entrypoint, key) = self.read(&request).await?;
        let flights = self.flights.clone();
        Ok(flights.join(key, |_| self.run(code, entrypoint, key)))
    }
}

fn entrypoint(request: &BuildRequest) -> Result<PathBuf> {
    let mut faults = Vec::new();
    for option in request
        .options
        .keys()
        .filter(|option| *option != "entrypoint")
    {
        faults.push(format!("option {option:?} is unknown"));
    }
    if let Source::Directory(path) = &request.source {
        faults.push(format!("the source {} must be a file", path.display()));
    }
    let named = match &request.source {
        Source::File(path) => path.file_name().map(Path::new),
        _ => None,
    };
    let option = request.options.get("entrypoint").map(Path::new);
    let entrypoint = option.or(named).unwrap_or(Path::new("program"));
    if !is_within(entrypoint) {
        let path = entrypoint.display();
        faults.push(format!("entrypoint {path} is not a path within the code"));
    }
    Error::check("build prebuilt", faults)?;
    Ok(entrypoint.to_owned())
}

#[async_trait]
impl FunctionBuilder for Prebuilt {
    fn runtimes(&self) -> Vec<RuntimeName> {
        self.runtimes.clone()
    }

    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        stream::once(self.clone().start(request))
            .try_flatten()
            .boxed()
    }

    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        let (_, _, key) = self.read(request).await?;
        Ok(key)
    }

    fn describe(&self) -> Description {
        Description::new("Prebuilt").provides(Component::F2)
    }
}
