//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_function::{autoscaler, builder, contract, deployer, instance, queue, registry, router};

faas_core::contracts_and_suites_agree! {
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
