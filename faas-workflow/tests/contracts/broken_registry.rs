//! For each rule of W1, a registry that breaks it alone, and is caught.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use faas_core::{Description, Error, ErrorKind, Namespace, Result, WorkflowName};
use faas_workflow::registry::conformance::{CASES, run};
use faas_workflow::{
    CompiledWorkflow, Language, RegisterWorkflow, RustBuilder, WorkflowInfo, WorkflowRef,
    WorkflowRegistry,
};

pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) inner: Arc<dyn WorkflowRegistry>,
    pub(crate) count: AtomicUsize,
}

impl Broken {
    fn namespace(&self, namespace: &Namespace) -> Namespace {
        match self.rule {
            "namespaces_apart" => Namespace::default(),
            _ => namespace.clone(),
        }
    }
}

#[async_trait]
impl WorkflowRegistry for Broken {
    async fn register(&self, mut request: RegisterWorkflow) -> Result<WorkflowInfo> {
        request.namespace = self.namespace(&request.namespace);
        match self.rule {
            "precondition" => request.expected = None,
            "idempotent" => {
                let count = self.count.fetch_add(1, Ordering::Relaxed);
                request.definition.text.push_str(&" ".repeat(count));
            }
            _ => {}
        }
        let first = |error: Error| match error.kind() {
            ErrorKind::InvalidArgument if self.rule == "validates_all" => {
                let message = error.message().split(';').next().unwrap_or_default();
                Error::invalid("register", message.to_owned())
            }
            _ => error,
        };
        self.inner.register(request).await.map_err(first)
    }

    async fn get(&self, workflow: &WorkflowRef) -> Result<Arc<CompiledWorkflow>> {
        let mut workflow = workflow.clone();
        workflow.namespace = self.namespace(&workflow.namespace);
        if self.rule == "versions_rise" {
            workflow.version = None;
        }
        let found = self.inner.get(&workflow).await?;
        if self.rule == "compiled_once" {
            let definition = found.definition.clone();
            let program = RustBuilder::default().compile(&definition).unwrap();
            return Ok(Arc::new(CompiledWorkflow::new(
                found.info.clone(),
                definition,
                program,
            )));
        }
        Ok(found)
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<WorkflowInfo>> {
        self.inner.list(&self.namespace(namespace)).await
    }

    async fn versions(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
    ) -> Result<Vec<WorkflowInfo>> {
        self.inner.versions(&self.namespace(namespace), name).await
    }

    async fn delete(&self, namespace: &Namespace, name: &WorkflowName) -> Result<()> {
        match self.rule {
            "deleted" => Ok(()),
            _ => self.inner.delete(namespace, name).await,
        }
    }

    fn describe(&self) -> Description {
        Description::new("Broken")
    }
}

#[tokio::test]
async fn every_rule_is_caught() {
    for &rule in CASES {
        let broken = Broken {
            rule,
            inner: crate::fixtures::registry().await,
            count: AtomicUsize::new(0),
        };
        let case = tokio::spawn(run(rule, Arc::new(broken)));
        let caught = case.await.is_err_and(|error| error.is_panic());
        assert!(caught, "{rule} was not caught");
    }
}
