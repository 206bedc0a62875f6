//! The defaults keep their contracts; broken ones are caught; crashes lose nothing.

#[cfg(test)]
mod abilities;
#[cfg(test)]
mod agree;
#[cfg(test)]
mod broken_abilities;
#[cfg(test)]
mod broken_engine;
#[cfg(test)]
mod broken_execution_store;
#[cfg(test)]
mod broken_keeping;
#[cfg(test)]
mod broken_registry;
#[cfg(test)]
mod broken_scheduler;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod states_language;
#[cfg(test)]
mod workflows;
