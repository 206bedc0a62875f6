//! [`CargoBuilder`]: functions from Rust sources.

mod cache;
mod environment;
mod options;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::component::Component;
use faas_core::{ByteSize, Clock, Description, Digest, Error, Result, RuntimeName, TokioClock};
use faas_resource::Executable;
use faas_resource::spec::{Packing, Program};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::flight::{Flights, Log};
use super::tree::{self, Fields, blocking, unread};
use super::{Artifact, BuildEvent, BuildRequest, FunctionBuilder, Source};
use crate::registry::CodeStore;
use cache::Cache;
use options::Options;

const OPERATION: &str = "build with cargo";
/// How long a build may take, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Builds Rust source trees with `cargo build`; a clone is the same builder.
///
/// A build works on a copy of the tree, so that it leaves the source as it was and builds what its
/// key digests. No part of the tree are `target`, `.git`, and directories that are tagged as caches
/// (`CACHEDIR.TAG`). Dependencies by a path out of the tree are therefore not found: give the tree
/// that holds them, and the options `manifest` or `package`. The root manifest should have a
/// `[workspace]` table, or cargo looks for a workspace above the copy, in the cache's own parents.
///
/// Cargo gets no environment of this process but what it needs to find itself, its registries and
/// the network ([`environment`](Self::environment) adds to it): so a platform that runs under
/// `cargo run` builds as any other does, and build scripts see no secrets of the platform's. They
/// run with this process's rights all the same: build only sources that are trusted.
///
/// The target directory is kept in the cache, for the next build, as long as it is within a bound.
/// One build runs at a time, as cargo itself uses all processors; a cache is used by one builder at
/// a time.
///
/// Options: `binary` and `package` (which, if there are several), `profile` (`release`),
/// `features`, `manifest` (a path within the tree), `offline` and `locked` (`true` or `false`).
#[derive(Clone)]
pub struct CargoBuilder {
    runtimes: Vec<RuntimeName>,
    code: Arc<dyn CodeStore>,
    cache: Cache,
    environment: BTreeMap<String, String>,
    timeout: Duration,
    clock: Arc<dyn Clock>,
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

impl CargoBuilder {
    /// For these runtimes; the code goes into `code`, and `cache` is a directory of its own. A build
    /// may take half an hour, and the cache 8 GiB.
    pub fn new(
        runtimes: Vec<RuntimeName>,
        code: Arc<dyn CodeStore>,
        cache: impl Into<PathBuf>,
    ) -> Self {
        Self {
            runtimes,
            code,
            cache: Cache::new(cache.into()),
            environment: BTreeMap::new(),
            timeout: TIMEOUT,
            clock: Arc::new(TokioClock::new()),
            one: Arc::default(),
            flights: Flights::default(),
        }
    }

    /// Adds a variable to cargo's environment, and so to that of build scripts; it is a part of the
    /// cache key.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// How long a build may take, and whose time that is.
    #[must_use]
    pub fn timeout(self, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            timeout,
            clock,
            ..self
        }
    }

    /// Up to what size the target directory is kept for the next build.
    #[must_use]
    pub fn cache_bound(mut self, bound: ByteSize) -> Self {
        self.cache = self.cache.with_bound(bound);
        self
    }

    fn read(&self, request: &BuildRequest) -> Result<(PathBuf, Options)> {
        super::known(&self.runtimes, &request.runtime)?;
        let Source::Directory(root) = &request.source else {
            let message = "the source of a cargo build must be a directory";
            return Err(Error::invalid(OPERATION, message));
        };
        let options = Options::read(root, &request.options)?;
        Ok((root.clone(), options))
    }

    async fn key(&self, root: &Path, options: &Options) -> Result<Digest> {
        let tree = root.to_owned();
        let contents = blocking(move || tree::digest(&tree)).await?;
        let mut key = Fields::default();
        key.add("cargo");
        options.add_to(&mut key);
        for (name, value) in &self.environment {
            key.add(name);
            key.add(value);
        }
        key.add("");
        key.add(self.toolchain(root).await?);
        key.add(contents.hex());
        Ok(key.digest())
    }

    /// The compiler that a tree is built with, and for which target.
    async fn toolchain(&self, root: &Path) -> Result<String> {
        let mut rustc = self.command("rustc");
        rustc.arg("-vV").current_dir(root).kill_on_drop(true);
        let output = rustc.output().await;
        let output = output.map_err(|error| process::unstarted("rustc", error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::unavailable("ask rustc for its version", said));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(environment::inherited());
        command.envs(&self.environment);
        command
    }

    async fn run(self, root: PathBuf, options: Options, key: Digest, log: Log) -> Result<Artifact> {
        let _one = self.one.lock().await;
        let cache = self.cache.enter().await?;
        let copy = cache.copy(&root).await?;
        if self.key(copy.path(), &options).await? != key {
            let message = format!(
                "{} changed while it was read, or is built with another compiler than its copy",
                root.display()
            );
            return Err(Error::conflict(OPERATION, message));
        }
        let mut cargo = self.command("cargo");
        cargo.current_dir(copy.path()).args(options.arguments());
        cargo.arg("--target-dir").arg(cache.target());
        let built = self.in_time(process::run(cargo, &log)).await?;
        let binary = options.choose(built)?;
        let read = binary.clone();
        let code = blocking(move || std::fs::read(&read).map_err(|error| unread(&read, error)));
        let program = Program {
            code: self.code.put(code.await?.into()).await?,
            packing: Packing::File,
            entrypoint: binary.file_name().unwrap_or_default().into(),
            arguments: Vec::new(),
        };
        cache.trim().await?;
        Ok(Artifact::new(Executable::Program(program), key))
    }

    async fn in_time<T>(&self, build: impl Future<Output = Result<T>>) -> Result<T> {
        let _hold = self.clock.hold();
        let late = self.clock.sleep_until(self.clock.now() + self.timeout);
        tokio::select! {
            built = build => built,
            () = late => {
                let message = format!("it was not done after {:?}, and was ended", self.timeout);
                Err(Error::deadline_exceeded(OPERATION, message))
            }
        }
    }

    async fn start(self, request: BuildRequest) -> Result<BoxStream<'static, Result<BuildEvent>>> {
        let (root, options) = self.read(&request)?;
        let key = self.key(&root, &options).await?;
        let flights = self.flights.clone();
        Ok(flights.join(key, |log| self.run(root, options, key, log)))
    }
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
        self.key(&root, &options).await
    }

    fn describe(&self) -> Description {
        Description::new("CargoBuilder").provides(Component::F2)
    }
}
