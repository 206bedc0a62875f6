#![doc = include_str!("../README.md")]

mod builder;
mod platform;
mod stack;

pub use builder::PlatformBuilder;
pub use platform::{CallError, Platform};
pub use stack::Stack;

pub use faas_core as core;
pub use faas_function as function;
pub use faas_memory as memory;
pub use faas_resource as resource;
pub use faas_runtimes as runtimes;
pub use faas_workflow as workflow;
