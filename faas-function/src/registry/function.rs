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
    /// Bytes of a request's payload at most; the router refuses larger ones at the door.
    #[serde(
        default = "default_request_limit",
        skip_serializing_if = "is_default_request_limit"
    )]
    pub request_limit: u64,
    /// Bytes of a response at most.
    pub response_limit: u64,
    /// Options for one backend.
    pub extensions: Extensions,
    /// How its asynchronous invocations are run.
    #[serde(default, skip_serializing_if = "QueueSettings::is_default")]
    pub queue: QueueSettings,
}

impl FunctionConfig {
    /// A timeout may be a day: what takes longer is a workflow.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
    /// Invocations at once in one instance, at most: as many as Cloud Run and Knative allow.
    pub const MOST_CONCURRENCY: u32 = 1_000;
    /// Bytes of a request or a response, at most: a gibibyte.
    pub const LARGEST_LIMIT: u64 = 1 << 30;
    /// Bytes of all extensions together, as JSON: as much as a record of the registry may well hold.
    pub const LARGEST_EXTENSIONS: usize = 64 << 10;

    /// A function with a timeout of 60 s, one invocation per instance, from 0 to 100 instances of
    /// a tenth of a processor and 128 MiB, and requests and responses of up to 6 MiB (Lambda's
    /// limits).
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
            request_limit: DEFAULT_LIMIT,
            response_limit: DEFAULT_LIMIT,
            extensions: Extensions::default(),
            queue: QueueSettings::default(),
        }
    }

    /// Checks the configuration at the door: there is a way to run it, and every number is within
    /// its bounds ([`LONGEST_TIMEOUT`](Self::LONGEST_TIMEOUT),
    /// [`MOST_CONCURRENCY`](Self::MOST_CONCURRENCY), [`LARGEST_LIMIT`](Self::LARGEST_LIMIT)).
    ///
    /// # Errors
    /// `InvalidArgument` with every fault.
    pub fn validate(&self) -> Result<()> {
        Error::check("validate function", self.faults())
    }

    /// What is wrong with it, one sentence a fault.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut sandbox = faas_resource::SandboxSpec::new(self.executable.clone());
        sandbox.environment.clone_from(&self.environment);
        let inherited = sandbox.validate().err();
        let mut faults: Vec<String> = inherited
            .iter()
            .map(|error| error.message().to_owned())
            .collect();
        let numbers = [
            (
                "concurrency",
                self.concurrency.into(),
                Self::MOST_CONCURRENCY.into(),
            ),
            ("request limit", self.request_limit, Self::LARGEST_LIMIT),
            ("response limit", self.response_limit, Self::LARGEST_LIMIT),
        ];
        for (what, number, most) in numbers {
            if number == 0 {
                faults.push(format!("the {what} is zero"));
            } else if number > most {
                faults.push(format!("the {what} is {number}, and may be {most} at most"));
            }
        }
        let (timeout, longest) = (self.timeout, Self::LONGEST_TIMEOUT);
        if timeout.is_zero() {
            faults.push("the timeout is zero".into());
        } else if timeout > longest {
            faults.push(format!(
                "the timeout is {timeout:?}, and may be {longest:?} at most"
            ));
        }
        if self.max_instances == 0 || self.min_instances > self.max_instances {
            let (min, max) = (self.min_instances, self.max_instances);
            faults.push(format!("bounds {min}..={max} hold no instance"));
        }
        faults.extend(self.faults_of_resources());
        faults.extend(self.faults_of_extensions());
        faults.extend(self.queue.faults());
        faults
    }

    fn faults_of_resources(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.resources.memory.0 == 0 {
            faults.push("it has no memory".to_owned());
        }
        let nothing = self.resources.extended.iter().filter(|(_, n)| **n == 0);
        faults.extend(nothing.map(|(name, _)| format!("it asks for 0 {name}: leave it out")));
        faults
    }

    /// What they mean is their backends' to judge; here they need a name and a bounded size.
    fn faults_of_extensions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.extensions.names().any(|name| name.trim().is_empty()) {
            faults.push("an extension has no name".to_owned());
        }
        let most = Self::LARGEST_EXTENSIONS;
        match serde_json::to_vec(&self.extensions) {
            Ok(json) if json.len() > most => {
                let size = json.len();
                faults.push(format!(
                    "the extensions have {size} bytes, and may have {most} at most"
                ));
            }
            Ok(_) => {}
            Err(error) => faults.push(format!("the extensions have no form in JSON: {error}")),
        }
        faults
    }
}

/// Lambda's limit.
const DEFAULT_LIMIT: u64 = 6 << 20;

fn default_request_limit() -> u64 {
    DEFAULT_LIMIT
}

fn is_default_request_limit(limit: &u64) -> bool {
    *limit == DEFAULT_LIMIT
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
