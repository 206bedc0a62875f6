#![doc = include_str!("../README.md")]

mod assembly;
mod builder;
#[cfg(feature = "memory")]
mod declared;
#[cfg(feature = "sqlite")]
mod durable;
mod error;
mod local;
mod platform;
mod queue;
mod stack;

pub use builder::PlatformBuilder;
pub use error::CallError;
pub use platform::Platform;
pub use stack::Stack;

pub use faas_core as core;
pub use faas_function as function;
pub use faas_resource as resource;
pub use faas_workflow as workflow;

#[cfg(feature = "docker")]
pub use faas_docker as docker;
#[cfg(feature = "jsonata")]
pub use faas_jsonata as jsonata;
#[cfg(feature = "memory")]
pub use faas_memory as memory;
#[cfg(feature = "postgres")]
pub use faas_postgres as postgres;
#[cfg(all(feature = "process", target_os = "linux"))]
pub use faas_process as process;
#[cfg(feature = "runtimes")]
pub use faas_runtimes as runtimes;
#[cfg(feature = "sqlite")]
pub use faas_sqlite as sqlite;
