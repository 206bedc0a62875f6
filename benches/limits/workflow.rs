//! The figures of the workflow layer.

pub(crate) mod concurrent;
pub(crate) mod durable;
pub(crate) mod history;
pub(crate) mod memory;
pub(crate) mod million;
pub(crate) mod pipelined;
mod place;
