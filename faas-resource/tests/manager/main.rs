//! `ClusterManager`: the suite, what the suite catches, and what is its own.

mod broken;
mod common;
mod flaky;
mod gate;
mod lives;
mod nodes;
mod scaling;
mod stall;
mod suite;
