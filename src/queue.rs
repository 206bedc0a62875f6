//! Asynchronous invocations, wired: the queue over the platform's store, its stack and its
//! workflows.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Invoker, Namespace, Payload, Result, WorkflowName};
use faas_function::queue::{
    MetadataSettings, StoreQueue, StoreQueueOptions, StoreQueueParts, WorkflowStarter,
};
use faas_function::{FunctionLayer, InvocationQueue};
use faas_workflow::{StartExecution, WorkflowEngine, WorkflowLayer, WorkflowRef};

use crate::assembly::Common;

/// A queue that can be printed.
#[derive(Clone)]
pub(crate) struct Queue(pub(crate) Arc<dyn InvocationQueue>);

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe().name)
    }
}

/// Starts to run what an earlier life left, and what comes.
pub(crate) fn start(
    common: &Common,
    functions: &FunctionLayer,
    invoker: &Arc<dyn Invoker>,
    workflows: &WorkflowLayer,
    options: StoreQueueOptions,
) -> Queue {
    let mut parts = StoreQueueParts::new(
        common.store.clone(),
        invoker.clone(),
        Arc::new(MetadataSettings::new(functions.metadata().clone())),
        common.clock.clone(),
        common.ids.clone(),
        common.decisions.clone(),
    );
    parts.workflows = Some(Arc::new(Starter(workflows.engine().clone())));
    parts.payloads.clone_from(&common.payloads);
    Queue(Arc::new(StoreQueue::start(parts, options)))
}

/// Starts executions for results that are handed on.
struct Starter(Arc<dyn WorkflowEngine>);

#[async_trait]
impl WorkflowStarter for Starter {
    async fn start(
        &self,
        namespace: &Namespace,
        workflow: &WorkflowName,
        execution: &str,
        input: Payload,
    ) -> Result<()> {
        let input = if input.is_empty() {
            serde_json::Value::Null
        } else {
            input
                .to_json()
                .or_else(|_| input.to_text().map(Into::into))?
        };
        let workflow: WorkflowRef = format!("{namespace}/{workflow}").parse()?;
        let start = StartExecution::new(workflow, execution.try_into()?, input);
        self.0.start(start).await.map(drop)
    }
}
