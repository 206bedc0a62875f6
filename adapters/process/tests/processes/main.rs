//! A process node against real processes.

mod common;
mod conformance;
mod death;
mod exec;
mod leftovers;
mod node;
mod states;
