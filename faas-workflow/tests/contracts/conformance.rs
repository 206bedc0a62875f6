//! The default of each component keeps its contract.

mod registry {
    faas_workflow::workflow_registry_conformance!(crate::fixtures::registry);
}

mod execution_store {
    faas_workflow::workflow_execution_store_conformance!(crate::fixtures::execution_store);
}

mod scheduler {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::eager);
}

mod engine {
    faas_workflow::workflow_engine_conformance!(crate::fixtures::harness);
}
