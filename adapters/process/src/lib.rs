//! Sandboxes as child processes: [`ProcessNode`], a
//! [`NodeAgent`](faas_resource::NodeAgent) for Linux.
//!
//! | file | what |
//! |---|---|
//! | `agent` | the node: what is asked of it |
//! | `table` | its sandboxes |
//! | `sandbox` | one of them: creation, start, supervision |
//! | `freezer` | pausing it, and letting it go on |
//! | `exec` | commands inside of it |
//! | `config` | [`ProcessNodeBuilder`] |
//! | `code_cache` | code by digest, fetched once, verified, unpacked, bounded |
//! | `watchdog` | kills our children when we die; sweeps what slipped through |
//! | `logs` | the last lines of each sandbox, bounded |
//! | `usage` | what `/proc` says |
//!
//! Processes are separated by directory, process group and environment only: run code that you
//! trust.

mod agent;
mod code_cache;
mod config;
mod error;
mod exec;
mod freezer;
mod logs;
mod sandbox;
mod table;
mod usage;
mod watchdog;

pub use agent::ProcessNode;
pub use config::ProcessNodeBuilder;

/// The environment variable that names a sandbox's own directory; also the mark by which the
/// processes of a sandbox are found. A spec cannot change it.
pub const DIRECTORY_VARIABLE: &str = "FAAS_SANDBOX_DIR";

/// The environment variable that names the Unix socket on which a program without a hook listens;
/// it is the sandbox's endpoint.
pub const SOCKET_VARIABLE: &str = "FAAS_SOCKET";
