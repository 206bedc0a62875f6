//! F2, the function builder: [`FunctionBuilder`].

pub mod cargo;
pub mod chain;
#[cfg(feature = "conformance")]
pub mod conformance;
mod flight;
mod pointers;
pub mod prebuilt;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use faas_core::{Description, Digest, Error, Result, RuntimeName};
use faas_resource::Executable;
use futures::stream::BoxStream;

pub use cargo::CargoBuilder;
pub use chain::Chain;
pub use flight::{Flights, Log};
pub use prebuilt::Prebuilt;
pub use tree::files as source_files;

/// Where the source of a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A directory of this machine: a source tree.
    Directory(PathBuf),
    /// A file of this machine: a program that is built already.
    File(PathBuf),
    /// A blob of the code store.
    Code(Digest),
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildRequest {
    /// For which runtime.
    pub runtime: RuntimeName,
    /// From what.
    pub source: Source,
    /// Options that the runtime's builder knows, e.g. `binary`, `profile`.
    pub options: BTreeMap<String, String>,
}

impl BuildRequest {
    /// A build without options.
    pub fn new(runtime: RuntimeName, source: Source) -> Self {
        Self {
            runtime,
            source,
            options: BTreeMap::new(),
        }
    }
}

/// What came of a build: deployable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Artifact {
    /// What a sandbox executes.
    pub executable: Executable,
    /// The same for the same source and options.
    pub cache_key: Digest,
}

impl Artifact {
    /// An artifact, for implementations of [`FunctionBuilder`].
    pub fn new(executable: Executable, cache_key: Digest) -> Self {
        Self {
            executable,
            cache_key,
        }
    }
}

/// The progress of a build.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BuildEvent {
    /// A line of the log.
    Log(String),
    /// The end: exactly one, and nothing after it.
    Done(Artifact),
}

/// Turns sources into deployable functions: compiles, validates, resolves dependencies.
///
/// ```text
/// source ──▶ F2 FunctionBuilder ──▶ artifact ──▶ F1 CodeStore ──▶ F1 MetadataStore: a revision
/// ```
///
/// # Contract
/// - **ends_once**: the stream ends with exactly one `Done`, or with an error.
/// - **deterministic_key**: the same source and options have the same cache key; a changed source
///   has another.
/// - **one_at_a_time**: concurrent builds of one key run once, and all get the result.
/// - **failure_has_log**: a failed build is an error that carries the tail of its log.
/// - **foreign_runtime**: a runtime that `runtimes` does not name answers `Unsupported`.
/// - **cancel_safe**: dropping the stream stops the build unless others wait for it, and leaves no
///   process or file behind.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait FunctionBuilder: Send + Sync + 'static {
    /// The runtimes that it builds for.
    fn runtimes(&self) -> Vec<RuntimeName>;
    /// Builds.
    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>>;
    /// The key that `request` is cached under.
    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest>;
    /// What this is.
    fn describe(&self) -> Description;
}

/// Refuses a runtime that is not among those that are built for.
fn known(runtimes: &[RuntimeName], runtime: &RuntimeName) -> Result<()> {
    if runtimes.contains(runtime) {
        return Ok(());
    }
    let message = format!("nobody builds for runtime {runtime}, only for {runtimes:?}");
    Err(Error::unsupported("build", message))
}
