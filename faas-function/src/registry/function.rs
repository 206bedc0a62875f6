//! Functions and their revisions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use faas_core::{
    Error, FunctionRef, Name, Namespace, Qualifier, Resources, Result, RevisionNumber, RuntimeName,
};
use faas_resource::Executable;
use faas_resource::spec::Extensions;
use serde::{Deserialize, Serialize};

use crate::queue::QueueSettings;

/// A function, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionId {
    /// The tenant boundary.
    pub namespace: Namespace,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for FunctionId {
    type Err = Error;
    /// Reads `namespace/name`, or a name of the default namespace.
    fn from_str(text: &str) -> Result<Self> {
        let FunctionRef {
            namespace,
            name,
            qualifier,
        } = text.parse()?;
        if qualifier == Qualifier::Latest {
            return Ok(Self { namespace, name });
        }
        let message = format!("{text}: a function is meant, not one of its versions");
        Err(Error::invalid("parse function", message))
    }
}

/// One revision of one function, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RevisionId {
    /// The function.
    pub function: FunctionId,
    /// Which snapshot of it.
    pub number: RevisionNumber,
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.function, self.number)
    }
}

/// How a function is run; immutable once it is a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionConfig {
    /// Which builder and contract.
    pub runtime: RuntimeName,
    /// What its sandboxes execute: what the builder made.
    pub executable: Executable,
    /// Added to the environment of its sandboxes.
    pub environment: BTreeMap<String, String>,
    /// What is reserved for each sandbox.
    pub resources: Resources,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// How many invocations one instance takes at once.
    pub concurrency: u32,
    /// Never fewer instances.
    pub min_instances: u32,
    /// Never more instances.
    pub max_instances: u32,
    /// Bytes of a response at most.
    pub response_limit: u64,
    /// Options for one backend.
    pub extensions: Extensions,
    /// How its asynchronous invocations are run.
    #[serde(default, skip_serializing_if = "QueueSettings::is_default")]
    pub queue: QueueSettings,
}

impl FunctionConfig {
    /// A function with a timeout of 60 s, one invocation per instance, from 0 to 100 instances of
    /// a tenth of a processor and 128 MiB, and responses of up to 6 MiB (Lambda's limit).
    pub fn new(runtime: RuntimeName, executable: Executable) -> Self {
        let sandbox = faas_resource::SandboxSpec::new(executable.clone());
        Self {
            runtime,
            executable,
            environment: BTreeMap::new(),
            resources: sandbox.resources,
            timeout: Duration::from_secs(60),
            concurrency: 1,
            min_instances: 0,
            max_instances: 100,
            response_limit: 6 << 20,
            extensions: Extensions::default(),
            queue: QueueSettings::default(),
        }
    }

    /// Checks the configuration at the door.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        let mut sandbox = faas_resource::SandboxSpec::new(self.executable.clone());
        sandbox.environment.clone_from(&self.environment);
        let inherited = sandbox.validate().err();
        let mut faults: Vec<String> = inherited
            .iter()
            .map(|error| error.message().to_owned())
            .collect();
        if self.timeout.is_zero() {
            faults.push("the timeout is zero".into());
        }
        if self.concurrency == 0 {
            faults.push("the concurrency is zero".into());
        }
        if self.max_instances == 0 || self.min_instances > self.max_instances {
            let (min, max) = (self.min_instances, self.max_instances);
            faults.push(format!("bounds {min}..={max} hold no instance"));
        }
        if self.response_limit == 0 {
            faults.push("the response limit is zero".into());
        }
        faults.extend(self.queue.faults());
        Error::check("validate function", faults)
    }
}

/// An immutable, numbered snapshot of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRevision {
    /// Of which function.
    pub function: FunctionId,
    /// Which snapshot.
    pub number: RevisionNumber,
    /// How it is run.
    pub config: FunctionConfig,
}

impl FunctionRevision {
    /// Its name.
    pub fn id(&self) -> RevisionId {
        RevisionId {
            function: self.function.clone(),
            number: self.number,
        }
    }
}
