//! W1 [`WorkflowRegistry`]: the definitions of workflows, validated, compiled and versioned.

pub mod language;
mod settings;
pub mod store;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, Error, Name, Namespace, Result, WorkflowName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::program::{DefinitionDigest, Program};

pub use language::{DefinitionFaults, Fault, Language};
pub use settings::{Durability, WorkflowSettings};
pub use store::StoreWorkflowRegistry;

/// The number of a version of a workflow: 1, 2, 3, …
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WorkflowVersion(pub u64);

/// A workflow, written `namespace/name` or `namespace/name@version`; the namespace may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkflowRef {
    /// The tenant boundary.
    pub namespace: Namespace,
    /// The workflow's name.
    pub name: WorkflowName,
    /// One version, or the newest.
    pub version: Option<WorkflowVersion>,
}

impl WorkflowRef {
    /// The newest version of a workflow.
    pub fn latest(namespace: Namespace, name: WorkflowName) -> Self {
        Self {
            namespace,
            name,
            version: None,
        }
    }

    /// The same workflow at one version.
    #[must_use]
    pub fn at(&self, version: WorkflowVersion) -> Self {
        Self {
            version: Some(version),
            ..self.clone()
        }
    }
}

impl FromStr for WorkflowRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (namespace, name) = path.split_once('/').unwrap_or(("default", path));
        let bad = |_| {
            let message = format!("version of {text:?} is not a number");
            Error::invalid("parse workflow reference", message)
        };
        let version = version.map(|v| v.parse().map(WorkflowVersion).map_err(bad));
        let (namespace, name) = (Namespace::new(namespace), WorkflowName::new(name));
        match (namespace, name, version.transpose()) {
            (Ok(namespace), Ok(name), Ok(version)) => Ok(Self {
                namespace,
                name,
                version,
            }),
            (namespace, name, version) => {
                let faults = [namespace.err(), name.err(), version.err()];
                let faults: Vec<_> = faults.into_iter().flatten().collect();
                let faults = faults.iter().map(|e| e.message().to_owned()).collect();
                Err(Error::check("parse workflow reference", faults)
                    .err()
                    .unwrap_or_else(|| Error::internal("parse workflow reference", "no fault")))
            }
        }
    }
}

impl fmt::Display for WorkflowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        match self.version {
            Some(version) => write!(f, "@{}", version.0),
            None => Ok(()),
        }
    }
}

/// A workflow as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Definition {
    /// In which language; a [`Language`] of that name compiles it.
    pub language: Name,
    /// The text.
    pub text: String,
}

impl Definition {
    /// A definition in `language`.
    pub fn new(language: Name, text: impl Into<String>) -> Self {
        Self {
            language,
            text: text.into(),
        }
    }

    /// What executions are pinned to.
    pub fn digest(&self) -> DefinitionDigest {
        let bytes = [
            self.language.as_str().as_bytes(),
            &[0],
            self.text.as_bytes(),
        ]
        .concat();
        DefinitionDigest::of(&bytes)
    }
}

/// A definition to register under a name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegisterWorkflow {
    /// Whose.
    pub namespace: Namespace,
    /// Under which name.
    pub name: WorkflowName,
    /// What.
    pub definition: Definition,
    /// How its executions are run and kept.
    pub settings: WorkflowSettings,
    /// Only if this is the newest version there; `Some(WorkflowVersion(0))` if there is none.
    pub expected: Option<WorkflowVersion>,
}

impl RegisterWorkflow {
    /// A definition for a name, whatever stands there.
    pub fn new(namespace: Namespace, name: WorkflowName, definition: Definition) -> Self {
        Self {
            namespace,
            name,
            definition,
            settings: WorkflowSettings::default(),
            expected: None,
        }
    }
}

/// A registered version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkflowInfo {
    /// Whose.
    pub namespace: Namespace,
    /// Its name.
    pub name: WorkflowName,
    /// Its version.
    pub version: WorkflowVersion,
    /// What executions are pinned to.
    pub digest: DefinitionDigest,
    /// In which language it is written.
    pub language: Name,
    /// How its executions are run and kept.
    pub settings: WorkflowSettings,
    /// Since when it is there.
    pub created: Timestamp,
}

/// A registered version, ready to run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompiledWorkflow {
    /// Which one.
    pub info: WorkflowInfo,
    /// As its author wrote it.
    pub definition: Definition,
    /// What it compiles to.
    pub program: Arc<dyn Program>,
}

impl CompiledWorkflow {
    /// A version with its program.
    pub fn new(info: WorkflowInfo, definition: Definition, program: Arc<dyn Program>) -> Self {
        Self {
            info,
            definition,
            program,
        }
    }
}

/// W1: keeps the definitions of workflows and compiles them.
///
/// ```text
/// author ─ register ─▶ WorkflowRegistry ◀─ get ─ WorkflowEngine
///                          │      └─ Language: text → Program
///                          ▼
///                        Store
/// ```
///
/// # Contract
/// - **validates_all**: `register` refuses a definition with `InvalidArgument` that names every
///   fault with its path, and then keeps nothing of it.
/// - **versions_rise**: each new definition (or setting) of a name gets the next number, from 1;
///   versions never change.
/// - **idempotent**: registering the newest definition with its settings again answers its version
///   and makes none.
/// - **precondition**: `expected` that is not the newest version is a `Conflict` and changes nothing.
/// - **compiled_once**: two `get`s of one version give the same program.
/// - **namespaces_apart**: equal names in two namespaces are two workflows.
/// - **deleted**: after `delete` the name is neither found nor listed; its versions stay for the
///   executions pinned to them, found by number, and their numbers are not used again.
///
/// # Errors
/// `InvalidArgument` for a faulty definition (its source is [`DefinitionFaults`]), `Unsupported`
/// for a language that nobody compiles, `NotFound`, `Conflict`; the store's own.
///
/// # Implementing
/// [`StoreWorkflowRegistry`] is the example to read; `workflow_registry_conformance!` the suite.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use faas_core::{MemoryStore, TokioClock};
/// # use faas_workflow::{Expression, RegisterWorkflow, StoreWorkflowRegistry, WorkflowBuilder};
/// # use faas_workflow::WorkflowRegistry;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// let registry = StoreWorkflowRegistry::new(store, Arc::new(TokioClock::new()));
/// let definition = WorkflowBuilder::new().output(Expression::input("/name")).build()?;
/// let request = RegisterWorkflow::new("shop".parse()?, "greet".parse()?, definition);
/// assert_eq!(registry.register(request).await?.version.0, 1);
/// let compiled = registry.get(&"shop/greet@1".parse()?).await?;
/// assert_eq!(compiled.info.language.as_str(), "rust");
/// # Ok::<(), faas_core::Error>(()) }).unwrap();
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WorkflowRegistry: Send + Sync + 'static {
    /// Validates, compiles and keeps a definition.
    async fn register(&self, request: RegisterWorkflow) -> Result<WorkflowInfo>;
    /// One version, compiled.
    async fn get(&self, workflow: &WorkflowRef) -> Result<Arc<CompiledWorkflow>>;
    /// The newest version of each workflow of a namespace, by name.
    async fn list(&self, namespace: &Namespace) -> Result<Vec<WorkflowInfo>>;
    /// All versions of a workflow, oldest first.
    async fn versions(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
    ) -> Result<Vec<WorkflowInfo>>;
    /// Forgets a name.
    async fn delete(&self, namespace: &Namespace, name: &WorkflowName) -> Result<()>;
    /// What this is.
    fn describe(&self) -> Description;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: WorkflowRegistry + ?Sized> WorkflowRegistry for $pointer<T> {
            async fn register(&self, request: RegisterWorkflow) -> Result<WorkflowInfo> {
                (**self).register(request).await
            }
            async fn get(&self, workflow: &WorkflowRef) -> Result<Arc<CompiledWorkflow>> {
                (**self).get(workflow).await
            }
            async fn list(&self, namespace: &Namespace) -> Result<Vec<WorkflowInfo>> {
                (**self).list(namespace).await
            }
            async fn versions(
                &self,
                namespace: &Namespace,
                name: &WorkflowName,
            ) -> Result<Vec<WorkflowInfo>> {
                (**self).versions(namespace, name).await
            }
            async fn delete(&self, namespace: &Namespace, name: &WorkflowName) -> Result<()> {
                (**self).delete(namespace, name).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
