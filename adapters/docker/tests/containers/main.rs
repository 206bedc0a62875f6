//! A Docker node against a real engine.

mod builder;
mod common;
mod conformance;
mod contracts;
mod engine;
mod guest;
mod lives;
mod node;
mod own_engine;
mod walls;
