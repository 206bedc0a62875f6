//! The defaults keep their contracts; broken ones are caught; crashes lose nothing.

mod broken_engine;
mod broken_execution_store;
mod broken_registry;
mod broken_scheduler;
mod conformance;
mod crash;
mod fixtures;
