//! [`CargoBuilder`]: functions from Rust sources.

mod options;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::component::Component;
use faas_core::{Description, Digest, Error, Result, RuntimeName};
use faas_resource::Executable;
use faas_resource::spec::{Packing, Program};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::flight::{Flights, Log};
use super::tree::{self, Fields, blocking, unread};
use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder, Source};
use crate::registry::CodeStore;
use options::Options;

/// Builds Rust source trees with `cargo build`; a clone is the same builder.
///
/// A build works on a copy of the tree, so that it leaves the source as it was and builds what its
/// key digests; `target` and `.git` at the root are no part of it. Dependencies by a path out of
/// the tree are therefore not found: give the tree that holds them, and `package`. The target
/// directory is kept in the cache, for the next build; one build runs at a time, as cargo itself
/// uses all processors. A cache belongs to one builder.
///
/// Options: `binary` and `package` (which, if there are several), `profile` (`release`),
/// `features`, `manifest` (a path within the tree), `offline` and `locked` (`true` or `false`).
#[derive(Clone)]
pub struct CargoBuilder {
    runtimes: Vec<RuntimeName>,
    code: Arc<dyn CodeStore>,
    cache: PathBuf,
    one: Arc<Mutex<()>>,
    flights: Flights,
}

impl std::fmt::Debug for CargoBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("CargoBuilder");
        debug.field("runtimes", &self.runtimes);
        debug.field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// The copy of a source tree; removed with this.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next build.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl CargoBuilder {
    /// For these runtimes; the code goes into `code`, and `cache` is a directory of its own.
    pub fn new(
        runtimes: Vec<RuntimeName>,
        code: Arc<dyn CodeStore>,
        cache: impl Into<PathBuf>,
    ) -> Self {
        Self {
            runtimes,
            code,
            cache: cache.into(),
            one: Arc::default(),
            flights: Flights::default(),
        }
    }

    fn read(&self, request: &BuildRequest) -> Result<(PathBuf, Options)> {
        super::known(&self.runtimes, &request.runtime)?;
        let Source::Directory(root) = &request.source else {
            let message = "the source of a cargo build must be a directory";
            return Err(Error::invalid("build with cargo", message));
        };
        let options = Options::read(root, &request.options)?;
        Ok((root.clone(), options))
    }

    async fn key(&self, root: &Path, options: &Options, toolchain: &str) -> Result<Digest> {
        let tree = root.to_owned();
        let contents = blocking(move || tree::digest(&tree)).await?;
        let mut key = Fields::default();
        key.add("cargo");
        options.add_to(&mut key);
        key.add(toolchain);
        key.add(contents.hex());
        Ok(key.digest())
    }

    async fn copy(&self, root: &Path) -> Result<Copy> {
        let copy = Copy(self.cache.join("source"));
        let (from, to) = (root.to_owned(), copy.0.clone());
        blocking(move || {
            // What a killed builder left.
            let _ = std::fs::remove_dir_all(&to);
            std::fs::create_dir_all(&to).map_err(|error| unread(&to, error))?;
            tree::copy(&from, &to)
        })
        .await?;
        Ok(copy)
    }

    async fn run(self, root: PathBuf, options: Options, key: Digest, log: Log) -> Result<Artifact> {
        let _one = self.one.lock().await;
        let copy = self.copy(&root).await?;
        let rustc = toolchain(&root).await?;
        if self.key(&copy.0, &options, &rustc).await? != key {
            let message = format!("{} changed while it was read", root.display());
            return Err(Error::conflict("build with cargo", message));
        }
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&copy.0).args(options.arguments());
        cargo.arg("--target-dir").arg(self.cache.join("target"));
        let output = process::run(cargo, &log).await?;
        let binary = options.choose(process::binaries(&output))?;
        let read = binary.clone();
        let code = blocking(move || std::fs::read(&read).map_err(|error| unread(&read, error)));
        let program = Program {
            code: self.code.put(code.await?.into()).await?,
            packing: Packing::File,
            entrypoint: binary.file_name().unwrap_or_default().into(),
            arguments: Vec::new(),
        };
        Ok(Artifact::new(Executable::Program(program), key))
    }

    async fn start(self, request: BuildRequest) -> Result<BoxStream<'static, Result<BuildEvent>>> {
        let (root, options) = self.read(&request)?;
        let key = self.key(&root, &options, &toolchain(&root).await?).await?;
        let flights = self.flights.clone();
        Ok(flights.join(key, |log| self.run(root, options, key, log)))
    }
}

/// The compiler that a tree is built with, and for which target.
async fn toolchain(root: &Path) -> Result<String> {
    let mut rustc = Command::new("rustc");
    let output = rustc
        .arg("-vV")
        .current_dir(root)
        .kill_on_drop(true)
        .output();
    let output = output.await.map_err(|error| unread(root, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::unavailable("ask rustc for its version", said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[async_trait]
impl FunctionBuilder for CargoBuilder {
    fn runtimes(&self) -> Vec<RuntimeName> {
        self.runtimes.clone()
    }

    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        stream::once(self.clone().start(request))
            .try_flatten()
            .boxed()
    }

    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        let (root, options) = self.read(request)?;
        let rustc = toolchain(&root).await?;
        self.key(&root, &options, &rustc).await
    }

    fn describe(&self) -> Description {
        Description::new("CargoBuilder").provides(Component::F2)
    }
}
