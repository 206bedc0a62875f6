//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_function::{autoscaler, builder, contract, deployer, instance, queue, registry, router};

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
    of_metadata: "MetadataStore" in "../src/registry.rs",
        "metadata_store_conformance" in "../src/registry/conformance.rs",
        registry::conformance::CASES;
    of_code: "CodeStore" in "../src/registry.rs",
        "code_store_conformance" in "../src/registry/conformance/code.rs",
        registry::conformance::CODE_CASES;
    of_builder: "FunctionBuilder" in "../src/builder.rs",
        "function_builder_conformance" in "../src/builder/conformance.rs",
        builder::conformance::CASES;
    of_instance: "FunctionInstance" in "../src/instance.rs",
        "function_instance_conformance" in "../src/instance/conformance.rs",
        instance::conformance::CASES;
    of_contract: "Contract" in "../src/contract.rs",
        "contract_conformance" in "../src/contract/conformance.rs", contract::conformance::CASES;
    of_deployer: "FunctionDeployer" in "../src/deployer.rs",
        "function_deployer_conformance" in "../src/deployer/conformance.rs",
        deployer::conformance::CASES;
    of_router: "FunctionRouter" in "../src/router.rs",
        "function_router_conformance" in "../src/router/conformance.rs",
        router::conformance::CASES;
    of_queue: "InvocationQueue" in "../src/queue.rs",
        "invocation_queue_conformance" in "../src/queue/conformance.rs", queue::conformance::CASES;
    of_autoscaler: "FunctionAutoscaler" in "../src/autoscaler.rs",
        "function_autoscaler_conformance" in "../src/autoscaler/conformance.rs",
        autoscaler::conformance::CASES;
}
