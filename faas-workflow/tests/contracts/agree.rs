//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_core::conformance::assert_agreement;
use faas_workflow::engine::control::conformance::{CHANGE_CASES, QUERY_CASES, REDRIVE_CASES};
use faas_workflow::execution_store::{self, mailbox, retention};
use faas_workflow::{engine, program, registry, scheduler};

macro_rules! agree {
    ($($test:ident: $trait:literal in $source:literal, $macro:literal in $suite:literal, $cases:expr;)*) => {$(
        #[test]
        fn $test() {
            assert_agreement(
                (include_str!(concat!("../../src/", $source)), $trait),
                (include_str!(concat!("../../src/", $suite, "/conformance.rs")), $macro),
                $cases.iter().copied(),
            );
        }
    )*};
}
agree! {
    of_registry: "WorkflowRegistry" in "registry.rs",
        "workflow_registry_conformance" in "registry", registry::conformance::CASES;
    of_program: "Program" in "program.rs",
        "program_conformance" in "program", program::conformance::CASES;
    of_engine: "WorkflowEngine" in "engine.rs",
        "workflow_engine_conformance" in "engine", engine::conformance::CASES;
    of_scheduler: "WorkflowScheduler" in "scheduler.rs",
        "workflow_scheduler_conformance" in "scheduler", scheduler::conformance::CASES;
    of_execution_store: "WorkflowExecutionStore" in "execution_store.rs",
        "workflow_execution_store_conformance" in "execution_store",
        execution_store::conformance::CASES;
    of_mailbox: "Mailbox" in "execution_store/mailbox.rs",
        "mailbox_conformance" in "execution_store/mailbox", mailbox::conformance::CASES;
    of_retention: "Retention" in "execution_store/retention.rs",
        "retention_conformance" in "execution_store/retention", retention::conformance::CASES;
    of_external_tasks: "ExternalTasks" in "engine/external.rs",
        "external_tasks_conformance" in "engine/external", engine::external::conformance::CASES;
    of_queries: "ExecutionQueries" in "engine/control.rs",
        "execution_queries_conformance" in "engine/control", QUERY_CASES;
    of_changes: "ExecutionChanges" in "engine/control.rs",
        "execution_changes_conformance" in "engine/control", CHANGE_CASES;
    of_redrives: "ExecutionRedrives" in "engine/control.rs",
        "execution_redrives_conformance" in "engine/control", REDRIVE_CASES;
}
