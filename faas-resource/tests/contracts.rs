//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_resource::{agent, code, endpoint, hook, manager, naming, scheduler};

faas_core::contracts_and_suites_agree! {
    of_node_agent: "NodeAgent" in "../src/agent.rs",
        "node_agent_conformance" in "../src/agent/conformance.rs", agent::conformance::CASES;
    of_assign: "Assign" in "../src/agent/capability.rs",
        "assign_conformance" in "../src/agent/conformance/assign.rs",
        agent::conformance::assign::CASES;
    of_exec: "Exec" in "../src/agent/capability.rs",
        "exec_conformance" in "../src/agent/conformance/exec.rs",
        agent::conformance::exec::CASES;
    of_code_source: "CodeSource" in "../src/code.rs",
        "code_source_conformance" in "../src/code/conformance.rs", code::conformance::CASES;
    of_dial: "Dial" in "../src/endpoint.rs",
        "dial_conformance" in "../src/endpoint/conformance.rs", endpoint::conformance::CASES;
    of_resource_manager: "ResourceManager" in "../src/manager.rs",
        "resource_manager_conformance" in "../src/manager/conformance.rs",
        manager::conformance::CASES;
    of_resource_scheduler: "ResourceScheduler" in "../src/scheduler.rs",
        "resource_scheduler_conformance" in "../src/scheduler/conformance.rs",
        scheduler::conformance::CASES;
    of_naming_service: "NamingService" in "../src/naming.rs",
        "naming_service_conformance" in "../src/naming/conformance.rs",
        naming::conformance::CASES;
    of_sandbox_hook: "SandboxHook" in "../src/hook.rs",
        "sandbox_hook_conformance" in "../src/hook/conformance.rs", hook::conformance::CASES;
}
