//! A process node against real processes.

mod common;
mod conformance;
mod death;
mod node;
