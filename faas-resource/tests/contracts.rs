//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_resource::{agent, code, endpoint, hook, manager, naming, scheduler};

/// The names of the bold rules of the named trait's `# Contract` in a source file.
fn rules(source: &str, of: &str) -> Vec<String> {
    let end = source.find(&format!("pub trait {of}")).expect("the trait");
    let start = source[..end].rfind("/// # Contract").expect("its contract");
    source[start..end]
        .lines()
        .filter_map(|line| line.strip_prefix("/// - **")?.split_once("**"))
        .map(|(rule, _)| rule.to_owned())
        .collect()
}

/// The names that a suite's macro expands to.
fn expanded(source: &str, of: &str) -> Vec<String> {
    let start = source
        .find(&format!("macro_rules! {of}"))
        .expect("the macro");
    let list = source[start..].split_once("@cases").expect("its list").1;
    let list = list.split_once("$factory;").expect("its factory").1;
    let list = list.split_once('}').expect("its end").0;
    list.split_whitespace().map(str::to_owned).collect()
}

fn names<T>(cases: &[(&'static str, T)]) -> Vec<String> {
    cases.iter().map(|(name, _)| (*name).to_owned()).collect()
}

macro_rules! agree {
    ($($test:ident: $trait:literal in $source:literal, $macro:literal in $suite:literal, $cases:expr;)*) => {$(
        #[test]
        fn $test() {
            let rules = rules(include_str!($source), $trait);
            assert!(!rules.is_empty());
            assert_eq!(names($cases), rules, "the suite against the contract");
            let expanded = expanded(include_str!($suite), $macro);
            assert_eq!(expanded, rules, "the macro against the contract");
        }
    )*};
}
agree! {
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
