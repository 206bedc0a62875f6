//! [`SandboxSpec`]: what to run, as plain serialisable data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas_core::{ByteSize, Digest, Error, HandlerName, HookName, Name, Resources, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a sandbox executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Executable {
    /// A handler of this process.
    Handler(HandlerName),
    /// A program from the code store, started as a child process.
    Program(Program),
    /// A container image by reference.
    Image(String),
}

/// A program from the code store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its code.
    pub code: Digest,
    /// How the code is packed.
    pub packing: Packing,
    /// What to run within the code, relative to its root; the file itself for a single file.
    pub entrypoint: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// How a program's code is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Packing {
    /// One executable file.
    File,
    /// A tar archive (POSIX.1-2017 `pax`), not compressed.
    Tar,
}

/// The kinds of [`Executable`], for nodes to say what they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutableKind {
    /// See [`Executable::Handler`].
    Handler,
    /// See [`Executable::Program`].
    Program,
    /// See [`Executable::Image`].
    Image,
}

impl Executable {
    /// Its kind.
    pub const fn kind(&self) -> ExecutableKind {
        match self {
            Self::Handler(_) => ExecutableKind::Handler,
            Self::Program(_) => ExecutableKind::Program,
            Self::Image(_) => ExecutableKind::Image,
        }
    }
}

/// A typed extension of a spec: options that only one backend knows.
pub trait Extension: Serialize + DeserializeOwned {
    /// Its name within a spec, e.g. `docker`.
    const NAME: &'static str;

    /// What is wrong with it.
    fn faults(&self) -> Vec<String>;
}

/// Typed extensions, kept as data so that a spec stays serialisable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extensions(BTreeMap<String, serde_json::Value>);

impl Extensions {
    /// Adds or replaces one.
    ///
    /// # Errors
    /// `InvalidArgument` with all its faults.
    pub fn set<E: Extension>(&mut self, extension: &E) -> Result<()> {
        Error::check("set extension", extension.faults())?;
        let value = serde_json::to_value(extension).map_err(|error| {
            Error::invalid("set extension", format!("{} has no form in JSON", E::NAME))
                .with_source(error)
        })?;
        self.0.insert(E::NAME.into(), value);
        Ok(())
    }

    /// The one of that type, if it is set.
    ///
    /// # Errors
    /// `InvalidArgument` if what stands under its name is not of its shape.
    pub fn get<E: Extension>(&self) -> Result<Option<E>> {
        let read = |value: &serde_json::Value| E::deserialize(value);
        self.0.get(E::NAME).map(read).transpose().map_err(|error| {
            Error::invalid("read extension", format!("{}: {error}", E::NAME)).with_source(error)
        })
    }

    /// The names of those that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// What to run and with how much: the desired state of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SandboxSpec {
    /// What it executes.
    pub executable: Executable,
    /// Its environment; nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// More variables: the node sets them to where a [`Program`]'s code lies, as the sandbox sees
    /// it. Other executables get none of them: an image knows its own paths.
    #[serde(default)]
    pub code_root_variables: BTreeSet<String>,
    /// What is reserved for it.
    pub resources: Resources,
    /// Who runs code around each of its starts (a contract's listener).
    pub hook: Option<HookName>,
    /// Names and values to find it by and to constrain placement with.
    pub labels: BTreeMap<Name, Name>,
    /// How long a graceful stop may take before it is forced.
    pub grace: Duration,
    /// Options for one backend.
    pub extensions: Extensions,
}

/// The memory of a spec that says nothing else: 128 MiB, as on AWS Lambda.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::mib(128);

impl SandboxSpec {
    /// A spec with a tenth of a processor, 128 MiB and a grace of 2 s.
    pub fn new(executable: Executable) -> Self {
        Self {
            executable,
            environment: BTreeMap::new(),
            code_root_variables: BTreeSet::new(),
            resources: Resources::new(faas_core::Millicpu(100), DEFAULT_MEMORY),
            hook: None,
            labels: BTreeMap::new(),
            grace: Duration::from_secs(2),
            extensions: Extensions::default(),
        }
    }

    /// Checks the spec at the door.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        let mut faults = Vec::new();
        let names = self.environment.keys().chain(&self.code_root_variables);
        for name in names {
            if name.is_empty() || name.contains(['=', '\0']) {
                faults.push(format!(
                    "environment variable {name:?} is empty or has '=' or NUL"
                ));
            }
        }
        for (name, value) in &self.environment {
            if self.code_root_variables.contains(name) {
                faults.push(format!("environment variable {name:?} is set twice"));
            }
            if value.contains('\0') {
                faults.push(format!(
                    "the value of environment variable {name:?} has a NUL"
                ));
            }
        }
        match &self.executable {
            Executable::Program(program) => {
                if leaves_root(&program.entrypoint) {
                    let path = program.entrypoint.display();
                    faults.push(format!("entrypoint {path} is not a path within the code"));
                }
                if program.entrypoint.to_str().is_none() {
                    faults.push(format!(
                        "entrypoint {} is not UTF-8",
                        program.entrypoint.display()
                    ));
                }
                if program
                    .arguments
                    .iter()
                    .any(|argument| argument.contains('\0'))
                {
                    faults.push("an argument has a NUL".into());
                }
            }
            Executable::Image(reference) if reference.is_empty() => {
                faults.push("the image reference is empty".into());
            }
            Executable::Image(_) | Executable::Handler(_) => {}
        }
        Error::check("validate sandbox spec", faults)
    }
}

fn leaves_root(path: &Path) -> bool {
    let normal = |part| matches!(part, std::path::Component::Normal(_));
    path.as_os_str().is_empty() || !path.components().all(normal)
}
