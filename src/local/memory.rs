//! The feature `memory`: handlers of this process.

use std::sync::Arc;

use faas_core::{NodeName, Result, RuntimeName};
use faas_memory::MemoryNode;
use faas_runtimes::InProcess;

use super::{Local, LocalOptions};

/// The runtime of handlers of this process.
pub(crate) const HANDLER: &str = "handler";
const NODE: &str = "memory";

pub(super) fn add(local: &mut Local, options: &LocalOptions) -> Result<()> {
    let handlers = Arc::new(local.handlers.clone());
    let mut contract = InProcess::new(handlers.clone(), options.clock.clone());
    if let Some(runtime) = &options.guest_runtime {
        contract = contract.guest_runtime(runtime.clone());
    }
    let runtime = RuntimeName::new(HANDLER)?;
    local.contracts.push((runtime, Arc::new(contract)));
    if options.nodes {
        let node = MemoryNode::new(NodeName::new(NODE)?, handlers);
        local.agents.push(Arc::new(node));
    }
    Ok(())
}
