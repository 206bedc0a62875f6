//! `ClusterManager`: the suite, what the suite catches, and what is its own.

mod broken;
mod cluster;
mod flaky;
mod gate;
mod stall;
mod suite;
