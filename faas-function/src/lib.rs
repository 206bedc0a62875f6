//! The function layer of `faas`: functions, their instances, and the way of a request to one.
//!
//! | component | trait |
//! |---|---|
//! | F1 function registry | [`MetadataStore`] and [`CodeStore`] |
//! | F2 function builder | [`FunctionBuilder`] |
//! | F3 function deployer | [`FunctionDeployer`] |
//! | F4 function instance | [`FunctionInstance`], made by a [`Contract`] |
//! | F5 function router | [`FunctionRouter`] |
//! | F6 function autoscaler | [`FunctionAutoscaler`] |
//!
//! The layer runs on anything that implements `ResourceManager`.

pub mod autoscaler;
mod backoff;
pub mod builder;
pub mod contract;
pub mod control;
pub mod deployer;
pub mod instance;
pub mod layer;
pub mod queue;
pub mod registry;
pub mod router;

pub use autoscaler::FunctionAutoscaler;
pub use builder::FunctionBuilder;
pub use contract::Contract;
pub use deployer::FunctionDeployer;
pub use instance::FunctionInstance;
pub use layer::FunctionLayer;
pub use queue::InvocationQueue;
pub use registry::{CodeStore, FunctionRevision, MetadataStore};
pub use router::FunctionRouter;
