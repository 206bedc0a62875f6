//! The contracts, driven as a router drives them.

mod common;
mod in_process;
