//! W2 [`WorkflowEngine`]: runs workflows.

mod answer;
pub mod control;
pub mod core;
pub mod durable;
pub mod external;
pub mod follow;
pub mod resource;

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Caller, Description, ExecutionId, Result, TraceContext};
use serde_json::Value;

use crate::execution_store::{ExecutionFilter, ExecutionHead, ExecutionName, ExecutionPage};
use crate::history::{HistoryPage, HistoryQuery};
use crate::program::{Data, Signal};
use crate::registry::WorkflowRef;

pub(crate) use answer::payload_data;
pub use control::{ExecutionChanges, ExecutionQueries, ExecutionRedrives};
pub use durable::{DurableEngine, EngineOptions, EngineParts};
pub use external::{ExternalTasks, PollTask, WorkerTask};
pub use follow::WorkflowEngineExt;
pub use resource::{ChildForm, ResourceAnswer, ResourceCall, TaskResources};

/// What to start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartExecution {
    /// Which workflow; its newest version unless it names one.
    pub workflow: WorkflowRef,
    /// Under which name: starting twice under one name is starting once.
    pub name: ExecutionName,
    /// What it is given.
    pub input: Data,
    /// Who starts it.
    pub caller: Caller,
    /// The trace that it belongs to.
    pub trace: TraceContext,
}

impl StartExecution {
    /// A start of `workflow` under `name`.
    pub fn new(workflow: WorkflowRef, name: ExecutionName, input: Value) -> Self {
        Self {
            workflow,
            name,
            input: Arc::new(input),
            caller: Caller::default(),
            trace: TraceContext::default(),
        }
    }
}

/// W2: runs workflows, and goes on with them after a crash.
///
/// ```text
/// WorkflowRegistry ─ Program ─▶ WorkflowEngine ─ one append a turn ─▶ WorkflowExecutionStore
///                                 │        └──── which task when ────▶ WorkflowScheduler
///                                 └─ Invoker: the tasks
/// ```
///
/// # Contract
/// - **start_once**: starting again under the same name, with the same workflow and input, answers
///   the first execution and starts nothing; with another workflow or input it is `AlreadyExists`.
/// - **acknowledged_is_stored**: what `start`, `signal` and `cancel` acknowledged, and what `wait`
///   and `describe_execution` showed, survives the engine as the store's durability has it.
/// - **never_again**: a task whose result was recorded is never run again.
/// - **same_key**: a task without a recorded result is run again after a crash, with the same
///   idempotency key.
/// - **pinned**: an execution keeps the version that it started with.
/// - **failure_is_an_ending**: a workflow that fails is an `Ok` whose head says so.
/// - **cancel_reaches**: after `cancel` the execution ends as cancelled, and the futures of its
///   invocations are dropped.
/// - **cancel_safe**: dropping a future of any method loses nothing that was submitted.
/// - **wait_ends**: `wait` answers when the execution has ended, at once if it had before.
/// - **history_ordered**: the history's records come in the order of their numbers, without gaps.
///
/// # Errors
/// `NotFound` for an unknown workflow or execution, `AlreadyExists`, `Exhausted` over the engine's
/// bound, `Conflict` for a signal to an execution that has ended, `Unavailable` while shutting
/// down or after the engine's epoch was voided.
///
/// # Implementing
/// [`DurableEngine`] is the example to read; `workflow_engine_conformance!` the suite.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use faas_core::{Description, Invocation, Invoker, PrewarmHint, Response, Result};
/// # use faas_workflow::{Expression, RegisterWorkflow, StartExecution, WorkflowBuilder};
/// # use faas_workflow::{WorkflowEngine, WorkflowLayer};
/// # struct Echo;
/// # #[async_trait::async_trait]
/// # impl Invoker for Echo {
/// #     async fn invoke(&self, invocation: Invocation) -> Result<Response> {
/// #         Ok(Response::success(invocation.id, invocation.payload))
/// #     }
/// #     fn prewarm(&self, _: PrewarmHint) {}
/// #     fn describe(&self) -> Description { Description::new("Echo") }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let layer = WorkflowLayer::builder().invoker(Arc::new(Echo)).build().await?;
/// let definition = WorkflowBuilder::new()
///     .task("say", "echo", |task| task.input(Expression::input("/name")))
///     .output(Expression::result("say", ""))
///     .build()?;
/// let request = RegisterWorkflow::new("default".parse()?, "greet".parse()?, definition);
/// layer.registry().register(request).await?;
/// let input = serde_json::json!({ "name": "Ada" });
/// let start = StartExecution::new("greet".parse()?, "first".try_into()?, input);
/// let started = layer.engine().start(start).await?;
/// let ended = layer.engine().wait(started.id).await?;
/// assert_eq!(ended.status().label(), "succeeded");
/// # Ok::<(), faas_core::Error>(()) }).unwrap();
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WorkflowEngine: Send + Sync + 'static {
    /// Starts an execution; answers it as it then stands.
    async fn start(&self, request: StartExecution) -> Result<ExecutionHead>;
    /// Tells a running execution something.
    async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()>;
    /// Asks an execution to end; one that has ended stays as it is.
    async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()>;
    /// An execution as it stands.
    async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead>;
    /// A part of its history.
    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage>;
    /// The execution as it ended.
    async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead>;
    /// Executions by status.
    async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage>;
    /// What this is.
    fn describe(&self) -> Description;
    /// Tasks that are ended from outside, if it has such.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn external_tasks<'a>(&'a self) -> Option<&'a dyn ExternalTasks> {
        None
    }
    /// What answers questions about executions, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn queries<'a>(&'a self) -> Option<&'a dyn ExecutionQueries> {
        None
    }
    /// What tells of an execution's progress, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn changes<'a>(&'a self) -> Option<&'a dyn ExecutionChanges> {
        None
    }
    /// What lets executions that failed go on, if anything does.
    #[allow(clippy::needless_lifetimes, reason = "mockall needs them")]
    fn redrives<'a>(&'a self) -> Option<&'a dyn ExecutionRedrives> {
        None
    }
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: WorkflowEngine + ?Sized> WorkflowEngine for $pointer<T> {
            async fn start(&self, request: StartExecution) -> Result<ExecutionHead> {
                (**self).start(request).await
            }
            async fn signal(&self, execution: ExecutionId, signal: Signal) -> Result<()> {
                (**self).signal(execution, signal).await
            }
            async fn cancel(&self, execution: ExecutionId, cause: &str) -> Result<()> {
                (**self).cancel(execution, cause).await
            }
            async fn describe_execution(&self, execution: ExecutionId) -> Result<ExecutionHead> {
                (**self).describe_execution(execution).await
            }
            async fn history(&self, query: HistoryQuery) -> Result<HistoryPage> {
                (**self).history(query).await
            }
            async fn wait(&self, execution: ExecutionId) -> Result<ExecutionHead> {
                (**self).wait(execution).await
            }
            async fn list(&self, filter: ExecutionFilter) -> Result<ExecutionPage> {
                (**self).list(filter).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
            fn external_tasks(&self) -> Option<&dyn ExternalTasks> {
                (**self).external_tasks()
            }
            fn queries(&self) -> Option<&dyn ExecutionQueries> {
                (**self).queries()
            }
            fn changes(&self) -> Option<&dyn ExecutionChanges> {
                (**self).changes()
            }
            fn redrives(&self) -> Option<&dyn ExecutionRedrives> {
                (**self).redrives()
            }
        }
    )*};
}
pointer!(Arc, Box);
