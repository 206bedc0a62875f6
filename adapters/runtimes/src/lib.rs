#![doc = include_str!("../README.md")]

pub mod in_process;
mod lifecycle;
mod limit;

pub use in_process::InProcess;
