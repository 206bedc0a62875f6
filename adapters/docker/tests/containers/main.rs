//! A Docker node against a real engine.

mod common;
mod conformance;
mod engine;
mod lives;
mod node;
mod own_engine;
mod walls;
