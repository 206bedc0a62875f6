//! The resource layer of `faas`: nodes, sandboxes, and who decides which goes where.
//!
//! | component | trait | default |
//! |---|---|---|
//! | R1 naming service | [`NamingService`] | [`StoreNaming`](naming::StoreNaming), over any `Store` |
//! | R2 resource manager | [`ResourceManager`] | [`ClusterManager`](manager::ClusterManager) |
//! | R3 resource scheduler | [`ResourceScheduler`] | [`FilterScore`](scheduler::FilterScore) |
//! | R4 node agent | [`NodeAgent`] | adapters: memory, process, … |
//!
//! The layer knows nothing of functions: a *workload* is a sandbox spec and a replica count. What
//! must run code around the start of a sandbox is a [`SandboxHook`], named in the spec.

pub mod agent;
pub mod code;
pub mod endpoint;
pub mod hook;
pub mod layer;
pub mod manager;
pub mod naming;
pub mod scheduler;
pub mod spec;
pub mod workload;

pub use agent::NodeAgent;
pub use code::CodeSource;
pub use endpoint::Endpoint;
pub use hook::{Hooks, SandboxHook};
pub use layer::ResourceLayer;
pub use manager::ResourceManager;
pub use naming::NamingService;
pub use scheduler::ResourceScheduler;
pub use spec::{Executable, SandboxSpec};
pub use workload::{WorkloadSpec, WorkloadStatus};
