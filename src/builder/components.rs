//! One call for each of the fourteen components.

use std::sync::Arc;

use faas_core::RuntimeName;
use faas_function::{
    CodeStore, Contract, FunctionAutoscaler, FunctionBuilder, FunctionDeployer, FunctionRouter,
    MetadataStore,
};
use faas_resource::{NamingService, NodeAgent, ResourceManager, ResourceScheduler};
use faas_workflow::engine::TaskResources;
use faas_workflow::registry::Language;
use faas_workflow::{WorkflowEngine, WorkflowExecutionStore, WorkflowRegistry, WorkflowScheduler};
use object_store::ObjectStore;

use super::PlatformBuilder;

impl PlatformBuilder {
    /// Replaces the naming service (R1); over the store by default.
    pub fn naming(self, naming: Arc<dyn NamingService>) -> Self {
        self.resources(|layer| layer.naming(naming))
    }

    /// Replaces the whole resource layer by a manager (R2) that brings its own; by default a
    /// cluster manager over the agents.
    pub fn resource_manager(mut self, manager: Arc<dyn ResourceManager>) -> Self {
        self.manager = Some(manager);
        self
    }

    /// Replaces the scheduler (R3); filter and score by default.
    pub fn scheduler(self, scheduler: impl ResourceScheduler) -> Self {
        self.resources(|layer| layer.scheduler(scheduler))
    }

    /// Adds a node (R4) to those of this machine.
    pub fn agent(mut self, agent: Arc<dyn NodeAgent>) -> Self {
        self.agents.push(agent);
        self
    }

    /// Replaces the metadata half of the function registry (F1); over the store by default.
    pub fn metadata(self, metadata: Arc<dyn MetadataStore>) -> Self {
        self.functions(|layer| layer.metadata(metadata))
    }

    /// Replaces the code half of the function registry (F1); in memory by default.
    pub fn code(mut self, code: Arc<dyn CodeStore>) -> Self {
        self.code = Some(code);
        self
    }

    /// Replaces the function builder (F2); by default a chain for programs that are built already
    /// and for Rust sources.
    pub fn function_builder(mut self, builder: Arc<dyn FunctionBuilder>) -> Self {
        self.function_builder = Some(builder);
        self
    }

    /// Replaces the function deployer (F3).
    pub fn deployer(self, deployer: Arc<dyn FunctionDeployer>) -> Self {
        self.functions(|layer| layer.deployer(deployer))
    }

    /// Adds the contract of a runtime, which makes its instances (F4); in the place of the default
    /// one of that name, if there is one.
    pub fn contract(mut self, runtime: RuntimeName, contract: Arc<dyn Contract>) -> Self {
        self.contracts.push((runtime, contract));
        self
    }

    /// Replaces the function router (F5).
    pub fn router(self, router: Arc<dyn FunctionRouter>) -> Self {
        self.functions(|layer| layer.router(router))
    }

    /// Replaces the autoscaler (F6); by concurrency, as Knative's, by default.
    pub fn autoscaler(self, autoscaler: impl FunctionAutoscaler) -> Self {
        self.functions(|layer| layer.autoscaler(Box::new(autoscaler)))
    }

    /// Replaces the workflow registry (W1); over the store by default.
    pub fn workflow_registry(self, registry: Arc<dyn WorkflowRegistry>) -> Self {
        self.workflows(|layer| layer.registry(registry))
    }

    /// Adds a language to the default workflow registry.
    pub fn language(self, language: Arc<dyn Language>) -> Self {
        self.workflows(|layer| layer.language(language))
    }

    /// Adds who runs the tasks of workflows that name a resource which is neither a function nor a
    /// workflow: a queue, a database.
    pub fn task_resources(self, resources: Arc<dyn TaskResources>) -> Self {
        self.workflows(|layer| layer.resources(resources))
    }

    /// Adds the objects that tasks, readers and writers of `s3` see.
    pub fn objects(self, objects: Arc<dyn ObjectStore>) -> Self {
        self.workflows(|layer| layer.objects(objects))
    }

    /// Replaces the workflow engine (W2).
    pub fn engine(self, engine: Arc<dyn WorkflowEngine>) -> Self {
        self.workflows(|layer| layer.engine(engine))
    }

    /// Replaces the workflow scheduler (W3); eager by default.
    pub fn workflow_scheduler(self, scheduler: impl WorkflowScheduler) -> Self {
        self.workflows(|layer| layer.scheduler(Box::new(scheduler)))
    }

    /// Replaces the storage of executions (W4); over the store by default.
    pub fn executions(self, executions: Arc<dyn WorkflowExecutionStore>) -> Self {
        self.workflows(|layer| layer.executions(executions))
    }
}
