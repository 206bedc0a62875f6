//! Workflows: registered by name, and run from one JSON value to another.

use faas_core::{Error, Result};
use faas_workflow::asl;
use faas_workflow::registry::WorkflowInfo;
use faas_workflow::{
    Definition, Ending, ExecutionHead, RegisterWorkflow, StartExecution, WorkflowEngine,
    WorkflowRef, WorkflowRegistry,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Platform;
use crate::error::CallError;

impl Platform {
    /// Registers a workflow (`namespace/name`, or a name alone), or makes its next version.
    ///
    /// # Errors
    /// `InvalidArgument` with every fault of the definition, each with its path, or for a bad name;
    /// those of the registry.
    pub async fn register_workflow(
        &self,
        workflow: &str,
        definition: Definition,
    ) -> Result<WorkflowInfo> {
        let workflow: WorkflowRef = workflow.parse()?;
        if workflow.version.is_some() {
            let message = format!("{workflow}: registering makes a version, it cannot name one");
            return Err(Error::invalid("register workflow", message));
        }
        let request = RegisterWorkflow::new(workflow.namespace, workflow.name, definition);
        self.workflows.registry().register(request).await
    }

    /// Registers a workflow that is written in Amazon States Language, or makes its next version:
    /// a definition as AWS Step Functions takes it. Its tasks call this platform's functions, by
    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME` or by `arn:aws:states:::lambda:invoke`, in the
    /// workflow's own namespace. JSONata needs the feature `jsonata`.
    ///
    /// # Errors
    /// As [`register_workflow`](Self::register_workflow).
    pub async fn register_state_machine(
        &self,
        workflow: &str,
        definition: &str,
    ) -> Result<WorkflowInfo> {
        let definition = asl::definition(definition);
        self.register_workflow(workflow, definition).await
    }

    /// Starts an execution of a workflow (`namespace/name@version`; the newest version unless it
    /// names one) under a name: starting twice under one name is starting once.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name or an input that has no form in JSON; as
    /// [`WorkflowEngine::start`].
    pub async fn start_execution<I>(
        &self,
        workflow: &str,
        name: &str,
        input: &I,
    ) -> Result<ExecutionHead>
    where
        I: Serialize + Sync + ?Sized,
    {
        let input = serde_json::to_value(input).map_err(|error| {
            let message = format!("the input of {workflow} has no form in JSON: {error}");
            Error::invalid("start execution", message).with_source(error)
        })?;
        let start = StartExecution::new(workflow.parse()?, name.try_into()?, input);
        self.workflows.engine().start(start).await
    }

    /// Runs a workflow from one JSON value to another: starts it, or joins the execution of that
    /// name, and waits for its end.
    ///
    /// # Errors
    /// [`CallError`]: the platform's error, or how else the workflow ended.
    pub async fn execute<I, O>(&self, workflow: &str, name: &str, input: &I) -> Result<O, CallError>
    where
        I: Serialize + Sync + ?Sized,
        O: DeserializeOwned,
    {
        let started = self.start_execution(workflow, name, input).await?;
        let ended = self.workflows.engine().wait(started.id).await?;
        match ended.ending {
            Some(Ending::Succeeded(output)) => O::deserialize(&*output).map_err(|error| {
                let message =
                    format!("the output of {workflow} is another than asked for: {error}");
                Error::invalid("read output", message)
                    .with_source(error)
                    .into()
            }),
            Some(ending) => Err(CallError::Workflow {
                execution: ended.id,
                ending: Box::new(ending),
            }),
            None => {
                let message = format!("the engine answered before execution {} ended", ended.id);
                Err(Error::internal("wait for execution", message).into())
            }
        }
    }
}
