//! Each rule of a contract has a case of its name, and each suite's macro expands to all of them.

use faas_core::{clock, handler, invoker, store};

faas_core::contracts_and_suites_agree! {
    of_store: "Store" in "../src/store.rs",
        "store_conformance" in "../src/store/conformance.rs", store::conformance::CASES;
    of_clock: "Clock" in "../src/clock.rs",
        "clock_conformance" in "../src/clock/conformance.rs", clock::conformance::CASES;
    of_invoker: "Invoker" in "../src/invoker.rs",
        "invoker_conformance" in "../src/invoker/conformance.rs", invoker::conformance::CASES;
    of_handler: "Handler:" in "../src/handler.rs",
        "handler_conformance" in "../src/handler/conformance.rs",
        handler::conformance::HANDLER_CASES;
    of_handler_registry: "HandlerRegistry" in "../src/handler.rs",
        "handler_registry_conformance" in "../src/handler/conformance.rs",
        handler::conformance::REGISTRY_CASES;
}
