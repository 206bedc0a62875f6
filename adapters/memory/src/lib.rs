#![doc = include_str!("../README.md")]

mod handlers;
mod node;

pub use faas_core::MemoryStore;
pub use handlers::Handlers;
pub use node::MemoryNode;
