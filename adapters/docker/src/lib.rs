#![doc = include_str!("../README.md")]
//!
//! | file | what |
//! |---|---|
//! | `agent` | the node: what is asked of it |
//! | `table` | its sandboxes |
//! | `sandbox`, `sandbox::end` | one of them: creation, start, pause; and its end |
//! | `container` | what a spec means to the engine |
//! | `observe` | what the engine says of a container |
//! | `follow` | the engine's events, and what was missed of them |
//! | `config` | [`DockerNodeBuilder`] |
//! | `engine` | [`Engine`]: which one, and how it is reached |
//! | `options` | [`DockerOptions`]: what a spec may say to this node alone |
//! | `images` | images that have to be pulled first |
//! | `builder`, `context` | [`DockerBuilder`], and what it sends to the engine |
//! | `logs`, `usage`, `mounts`, `networks` | as they say |

mod agent;
mod builder;
mod config;
mod container;
mod context;
mod engine;
mod error;
mod follow;
mod images;
mod logs;
mod mounts;
mod networks;
mod observe;
mod options;
mod sandbox;
mod table;
mod usage;

pub use agent::DockerNode;
pub use builder::DockerBuilder;
pub use config::DockerNodeBuilder;
pub use engine::Engine;
pub use images::{Credentials, Login, NoCredentials, Pull};
pub use options::{DockerOptions, Mount, Network};

/// The environment variable that tells a container without a hook where to listen by TCP.
pub const PORT_VARIABLE: &str = "PORT";

/// The environment variable that names the Unix socket on which a container without a network and
/// without a hook listens.
pub const SOCKET_VARIABLE: &str = "FAAS_SOCKET";
