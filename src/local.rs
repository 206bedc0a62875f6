//! What a platform runs functions on unless told otherwise: this process, and its children.

#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "memory")]
mod memory;
#[cfg(all(feature = "process", target_os = "linux"))]
mod process;

use std::sync::Arc;

use faas_core::{Clock, Result, RuntimeName};
use faas_function::{CodeStore, Contract};
use faas_resource::NodeAgent;

#[cfg(feature = "memory")]
pub(crate) use memory::HANDLER;

/// What the defaults are made from.
#[cfg_attr(
    not(all(feature = "memory", feature = "process")),
    allow(dead_code, reason = "each feature reads its own part")
)]
pub(crate) struct LocalOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) code: Arc<dyn CodeStore>,
    /// Whether there are nodes of our own.
    pub(crate) nodes: bool,
    #[cfg(feature = "memory")]
    pub(crate) guest_runtime: Option<tokio::runtime::Handle>,
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) process_root: Option<std::path::PathBuf>,
}

/// Nodes and contracts of this machine, as far as the features bring them.
#[derive(Default)]
pub(crate) struct Local {
    pub(crate) agents: Vec<Arc<dyn NodeAgent>>,
    pub(crate) contracts: Vec<(RuntimeName, Arc<dyn Contract>)>,
    /// The runtimes whose functions cargo builds from sources.
    pub(crate) cargo: Vec<RuntimeName>,
    /// What is wrong with the options.
    pub(crate) faults: Vec<String>,
    #[cfg(feature = "memory")]
    pub(crate) handlers: faas_memory::Handlers,
}

/// Adds what a feature brings.
type Feature = fn(&mut Local, &LocalOptions) -> Result<()>;

const FEATURES: &[Feature] = &[
    #[cfg(feature = "memory")]
    memory::add,
    #[cfg(all(feature = "process", target_os = "linux"))]
    process::add,
    #[cfg(feature = "docker")]
    docker::add,
];

impl Local {
    /// # Errors
    /// If a directory cannot be had.
    pub(crate) fn new(options: &LocalOptions) -> Result<Self> {
        let mut local = Self::default();
        for add in FEATURES {
            add(&mut local, options)?;
        }
        Ok(local)
    }
}
