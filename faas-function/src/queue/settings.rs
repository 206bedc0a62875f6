//! How a function's asynchronous invocations are run: a part of its configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{FunctionRef, Namespace, Qualifier, Result, WorkflowName};
use serde::{Deserialize, Serialize};

use super::QueueId;
use crate::MetadataStore;
use crate::registry::FunctionId;

/// Where the result of a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Destination {
    /// A function, which is invoked asynchronously.
    Function(FunctionRef),
    /// The newest version of a workflow, of which an execution is started.
    Workflow {
        /// Its namespace.
        namespace: Namespace,
        /// Its name.
        name: WorkflowName,
    },
    /// A queue in the store, for whoever reads it.
    Queue(QueueId),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(function) => write!(f, "function {function}"),
            Self::Workflow { namespace, name } => write!(f, "workflow {namespace}/{name}"),
            Self::Queue(queue) => write!(f, "queue {queue}"),
        }
    }
}

/// How a function's asynchronous invocations are run. A request keeps the settings that its
/// function had when it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct QueueSettings {
    /// How often a request may fail. What the platform refused before the function had it does not
    /// count; only the age bounds that.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each, and half of it is chance.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A request older than this is tried no more.
    pub max_age: Duration,
    /// How many requests run at once.
    pub concurrency: u32,
    /// Where responses go, with the function's content type; nowhere if `None`.
    pub on_success: Option<Destination>,
    /// Where requests go that failed for good, as they came; they become dead letters if `None`.
    pub on_failure: Option<Destination>,
}

impl Default for QueueSettings {
    /// Three attempts, a second and then up to five minutes apart, within six hours; ten at once;
    /// no destinations.
    fn default() -> Self {
        Self {
            attempts: 3,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
            max_age: Duration::from_secs(6 * 3600),
            concurrency: 10,
            on_success: None,
            on_failure: None,
        }
    }
}

impl QueueSettings {
    /// Whether nothing was changed: then nothing has to be stored.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with them.
    pub(crate) fn faults(&self) -> Vec<String> {
        let zero = [
            (self.attempts == 0, "queue: there is no attempt"),
            (self.concurrency == 0, "queue: the concurrency is zero"),
            (self.max_age.is_zero(), "queue: the maximum age is zero"),
            (
                self.first_pause.is_zero() || self.first_pause > self.longest_pause,
                "queue: the first pause is zero or longer than the longest",
            ),
        ];
        let wrong = zero.iter().filter(|(wrong, _)| *wrong);
        wrong.map(|(_, fault)| (*fault).to_owned()).collect()
    }
}

/// Tells the settings of a function.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait QueueSettingsSource: Send + Sync + 'static {
    /// The settings; `NotFound` if the function is not there.
    async fn settings(&self, function: &FunctionRef) -> Result<QueueSettings>;
}

/// The settings that stand in the registry: those of the revision named, or of the newest one for
/// an alias.
#[derive(Clone)]
pub struct MetadataSettings(Arc<dyn MetadataStore>);

impl MetadataSettings {
    /// Reads them from `metadata`.
    pub fn new(metadata: Arc<dyn MetadataStore>) -> Self {
        Self(metadata)
    }
}

impl fmt::Debug for MetadataSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataSettings")
    }
}

#[async_trait]
impl QueueSettingsSource for MetadataSettings {
    async fn settings(&self, function: &FunctionRef) -> Result<QueueSettings> {
        let id = FunctionId {
            namespace: function.namespace.clone(),
            name: function.name.clone(),
        };
        let revision = match &function.qualifier {
            Qualifier::Revision(number) => self.0.revision(&id, *number).await?,
            Qualifier::Latest => self.0.get(&id).await?.latest.clone(),
            Qualifier::Alias(alias) => {
                let record = self.0.get(&id).await?;
                if !record.aliases.contains_key(alias) {
                    let message = format!("{id} has no alias {alias}");
                    return Err(faas_core::Error::not_found("submit", message));
                }
                record.latest.clone()
            }
        };
        Ok(revision.config.queue.clone())
    }
}
