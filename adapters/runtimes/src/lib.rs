#![doc = include_str!("../README.md")]

pub mod in_process;
pub mod lambda;
mod lifecycle;
mod limit;

pub use in_process::InProcess;
pub use lambda::LambdaRuntime;
