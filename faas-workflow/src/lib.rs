//! The workflow layer: W1 [`WorkflowRegistry`], W2 [`WorkflowEngine`], W3 [`WorkflowScheduler`],
//! W4 [`WorkflowExecutionStore`], and the Rust [`builder`]. It drives anything that implements
//! [`Invoker`](faas_core::Invoker).

pub mod asl;
pub mod builder;
mod content;
pub mod diagram;
pub mod engine;
pub mod execution_store;
pub mod history;
pub mod layer;
pub mod program;
pub mod registry;
pub mod scheduler;

pub use builder::{Expression, Fallback, RetryRule, RustBuilder, WorkflowBuilder};
pub use diagram::Diagram;
pub use engine::{DurableEngine, EngineOptions, StartExecution, WorkflowEngine};
pub use execution_store::{
    ExecutionHead, ExecutionName, ExecutionStatus, StoreExecutionStore, WorkflowExecutionStore,
};
pub use history::{HistoryCursor, HistoryPage, HistoryQuery, HistoryRecord};
pub use layer::{WorkflowLayer, WorkflowLayerBuilder};
pub use program::{Data, Ending, Program, Signal, TaskError};
pub use registry::{
    CompiledWorkflow, Definition, Language, RegisterWorkflow, StoreWorkflowRegistry, WorkflowInfo,
    WorkflowRef, WorkflowRegistry, WorkflowVersion,
};
pub use scheduler::{
    CriticalPath, Eager, FairShare, PoolMember, Pools, PrewarmHorizon, WorkflowScheduler,
};
