//! The default of each component keeps its contract.

mod registry {
    faas_workflow::workflow_registry_conformance!(crate::fixtures::registry);
}

mod execution_store {
    faas_workflow::workflow_execution_store_conformance!(crate::fixtures::execution_store);
}

mod retention {
    faas_workflow::retention_conformance!(crate::fixtures::kept);
}

mod scheduler {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::eager);
}

mod fair_share {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::fair_share);
}

mod pools {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::pools);
}

mod critical_path {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::critical_path);
}

mod prewarm_horizon {
    faas_workflow::workflow_scheduler_conformance!(crate::fixtures::prewarm_horizon);
}

mod engine {
    faas_workflow::workflow_engine_conformance!(crate::fixtures::harness);
}

mod external_tasks {
    faas_workflow::external_tasks_conformance!(crate::fixtures::harness);
}

mod mailbox {
    faas_workflow::mailbox_conformance!(crate::fixtures::execution_store);
}

mod changes {
    faas_workflow::execution_changes_conformance!(crate::fixtures::harness);
}

mod queries {
    faas_workflow::execution_queries_conformance!(crate::fixtures::harness);
}

mod redrives {
    faas_workflow::execution_redrives_conformance!(crate::fixtures::harness);
}
