//! A process node against real processes.

mod common;
mod death;
mod node;
