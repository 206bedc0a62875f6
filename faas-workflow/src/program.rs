//! [`Program`]: what a workflow *is*, whatever language it was written in.

mod erased;
pub mod target;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::{ErrorKind, ExecutionId, FunctionError, FunctionRef, Name, Result, Retry};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::execution_store::ExecutionName;
use crate::history::HistoryRecord;
use crate::registry::WorkflowRef;

pub use erased::{Erased, TypedProgram};
pub use target::{Completion, ResourceName, TaskTarget, TaskToken};

/// What flows through a workflow: JSON, shared, so that passing it on copies nothing.
pub type Data = Arc<Value>;

/// The SHA-256 of a definition, in hexadecimal: an execution is pinned to the one it started with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DefinitionDigest(Arc<str>);

impl DefinitionDigest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(bytes);
        let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
numbers! {
    /// One attempt to run a task, numbered by the program; unique within its execution.
    TaskNumber;
    /// A timer, numbered by the program; unique within its execution.
    TimerNumber;
}

/// Why a task failed: by a [`FunctionError`], or by the platform (kinds that begin with
/// `Platform.`), or by its data (kinds that begin with `Data.`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskError {
    /// The error's name; retry and catch match on it.
    pub kind: String,
    /// The error's text.
    pub message: String,
    /// What else the function said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Whether the platform says that another attempt may help.
    pub retry: TaskRetry,
    /// When another attempt may succeed, if the platform knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

/// [`Retry`] in a form that is stored, and that knows failing functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskRetry {
    /// A function failed; the workflow's own rules decide alone.
    Program,
    /// Trying again cannot help, whatever the rules say.
    Never,
    /// Nothing happened: trying again is safe, even without a rule.
    Safe,
    /// It may have happened: tried again, with the same idempotency key, where a rule says so.
    Ambiguous,
}

impl TaskError {
    /// An error with a name and a text that only the workflow's own rules retry.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
            details: None,
            retry: TaskRetry::Program,
            retry_after: None,
        }
    }

    /// Replaces the retry status.
    #[must_use]
    pub fn with_retry(self, retry: TaskRetry) -> Self {
        Self { retry, ..self }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl From<FunctionError> for TaskError {
    fn from(error: FunctionError) -> Self {
        Self {
            details: error.details,
            ..Self::new(error.kind, error.message)
        }
    }
}

impl From<&faas_core::Error> for TaskError {
    fn from(error: &faas_core::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => "NotFound",
            ErrorKind::AlreadyExists => "AlreadyExists",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::Exhausted => "Exhausted",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::DeadlineExceeded => "DeadlineExceeded",
            ErrorKind::Cancelled => "Cancelled",
            ErrorKind::PermissionDenied => "PermissionDenied",
            ErrorKind::Unauthenticated => "Unauthenticated",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Compacted => "Compacted",
            _ => "Internal",
        };
        let retry = match error.retry() {
            Retry::Never => TaskRetry::Never,
            Retry::Safe => TaskRetry::Safe,
            Retry::Ambiguous => TaskRetry::Ambiguous,
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(format!("Platform.{kind}"), error.to_string()).with_retry(retry)
        }
    }
}

/// Something that happened; together with the state it is all that a program may depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramEvent {
    /// The wall time at which it happened.
    pub at: Timestamp,
    /// Random bits, drawn once and recorded, for jitter and the like.
    pub entropy: u64,
    /// What happened.
    pub kind: EventKind,
}

/// See [`ProgramEvent::kind`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A worker took a task whose [`Completion`] is `Worker`.
    TaskStarted {
        /// Which one.
        task: TaskNumber,
        /// The worker's name, if it said so.
        worker: Option<String>,
    },
    /// A resource took a task that is over later: its [`Completion`] is `Job` or `Callback`.
    TaskSubmitted {
        /// Which one.
        task: TaskNumber,
        /// The receipt.
        output: Data,
    },
    /// Whoever has a task's token says that it still works on it.
    TaskHeartbeat {
        /// Which one.
        task: TaskNumber,
    },
    /// A task that the program asked for ended.
    TaskEnded {
        /// Which one.
        task: TaskNumber,
        /// Its answer, or why there is none.
        result: Result<Data, TaskError>,
    },
    /// A timer's time has come.
    TimerFired {
        /// Which one.
        timer: TimerNumber,
    },
    /// Somebody sent a signal.
    Signalled(Signal),
    /// Somebody wants it to end.
    CancelRequested {
        /// Why.
        cause: String,
        /// The name of the error, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The engine cannot go on with it: what it made breaks a limit of the platform.
    Aborted(TaskError),
}

/// What somebody tells a running execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signal {
    /// Which signal.
    pub name: Name,
    /// What it carries.
    pub data: Data,
}

impl Signal {
    /// A signal.
    pub fn new(name: Name, data: Value) -> Self {
        Self {
            name,
            data: Arc::new(data),
        }
    }
}

/// How an execution begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Beginning {
    /// The wall time of the start.
    pub at: Timestamp,
    /// Random bits, drawn once and recorded.
    pub entropy: u64,
    /// Which execution begins.
    pub execution: ExecutionIdentity,
    /// What the execution is given.
    pub input: Data,
}

/// Which execution a program runs in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionIdentity {
    /// Its id.
    pub id: ExecutionId,
    /// Its name.
    pub name: ExecutionName,
    /// Of which workflow.
    pub workflow: WorkflowRef,
}

impl Beginning {
    /// A beginning.
    pub fn new(at: Timestamp, entropy: u64, execution: ExecutionIdentity, input: Data) -> Self {
        Self {
            at,
            entropy,
            execution,
            input,
        }
    }
}

/// A task that may run now: all it depends on is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskRequest {
    /// This attempt's number.
    pub task: TaskNumber,
    /// The number of the logical call's first attempt: attempts that share it share an
    /// idempotency key.
    pub call: TaskNumber,
    /// The step's name, as the workflow's author knows it.
    pub label: String,
    /// Who runs it.
    pub target: TaskTarget,
    /// What it is given.
    pub input: Data,
    /// How long it may take, counted from its start.
    pub timeout: Option<Duration>,
    /// What whoever ends it from outside must show, if its [`Completion`] allows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TaskToken>,
}

impl TaskRequest {
    /// The first attempt of a call of `function`.
    pub fn new(
        task: TaskNumber,
        label: impl Into<String>,
        function: FunctionRef,
        input: Data,
    ) -> Self {
        Self::of(task, label, TaskTarget::Function(function), input)
    }

    /// The first attempt of a call of `target`.
    pub fn of(task: TaskNumber, label: impl Into<String>, target: TaskTarget, input: Data) -> Self {
        Self {
            task,
            call: task,
            label: label.into(),
            target,
            input,
            timeout: None,
            token: None,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// With this output.
    Succeeded(Data),
    /// With this error.
    Failed(TaskError),
    /// Because it took longer than its definition allows.
    TimedOut(TaskError),
    /// Because somebody wanted it to, for this cause.
    Cancelled(String),
}

/// What a program wants done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// This task may run; the scheduler says when.
    RunTask(TaskRequest),
    /// That task's answer is no longer wanted, whether it runs or waits.
    CancelTask(TaskNumber),
    /// Wake me at that wall time.
    SetTimer(TimerNumber, Timestamp),
    /// Do not wake me.
    ClearTimer(TimerNumber),
    /// It has ended: nothing may follow.
    End(Ending),
}

/// A program's state; its type is known to the program alone.
pub struct ProgramState(Box<dyn Any + Send>);

impl ProgramState {
    /// Erases the type of `state`.
    pub fn new<S: Any + Send>(state: S) -> Self {
        Self(Box::new(state))
    }

    /// The state again.
    ///
    /// # Errors
    /// `Internal` if it is of another type: it belongs to another program.
    pub fn into_inner<S: Any + Send>(self) -> Result<S> {
        let wrong = |_| faas_core::Error::internal("step", "the state is another program's");
        self.0.downcast().map(|state| *state).map_err(wrong)
    }

    /// The state, looked at.
    pub fn get<S: Any + Send>(&self) -> Option<&S> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for ProgramState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramState")
    }
}

/// What a program makes of an event.
#[derive(Debug)]
pub struct Transition {
    /// The state from now on.
    pub state: ProgramState,
    /// What to do, in order.
    pub commands: Vec<Command>,
    /// What the public history says; numbered by the program.
    pub records: Vec<HistoryRecord>,
}

/// What a workflow is: a deterministic machine that consumes events and gives commands.
///
/// ```text
/// Rust builder ─┐
/// ASL           ├─ compile ─▶ Program ◀─ begin, step ─ WorkflowEngine
/// yours         ┘
/// ```
///
/// # Contract
/// - **deterministic**: equal states and events MUST give equal transitions; the time and all
///   randomness come with the event.
/// - **numbered_once**: a task's or timer's number MUST NOT be used twice in an execution.
/// - **saved**: `restore(save(state))` MUST behave as `state` does.
/// - **ends_once**: `End` is the last command; an event that comes later MUST change nothing.
/// - **tolerant**: an event for a task or timer that the program no longer waits for MUST be
///   ignored.
///
/// # Errors
/// `Internal` from `begin` and `step` for a state of another program; a failing workflow is an
/// [`Ending`], not an error.
///
/// # Implementing
/// Implement [`TypedProgram`], whose state has a type, and wrap it in [`Erased`].
///
/// # Example
/// A program that ends at once, with its input:
/// ```
/// # use std::sync::Arc;
/// # use faas_core::encoding::Stored;
/// # use faas_workflow::program::*;
/// # use faas_workflow::HistoryRecord;
/// #[derive(Debug)]
/// struct Identity;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Nothing;
/// impl Stored for Nothing {
///     const KIND: &'static str = "identity-state";
///     const VERSION: u32 = 1;
/// }
///
/// impl TypedProgram for Identity {
///     type State = Nothing;
///     fn digest(&self) -> DefinitionDigest {
///         DefinitionDigest::of(b"identity")
///     }
///     fn begin(&self, beginning: Beginning) -> (Nothing, Vec<Command>, Vec<HistoryRecord>) {
///         (Nothing, vec![Command::End(Ending::Succeeded(beginning.input))], vec![])
///     }
///     fn step(&self, state: Nothing, _: ProgramEvent) -> (Nothing, Vec<Command>, Vec<HistoryRecord>) {
///         (state, vec![], vec![])
///     }
/// }
/// let program: Arc<dyn Program> = Arc::new(Erased(Identity));
/// assert_eq!(program.digest(), DefinitionDigest::of(b"identity"));
/// ```
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Program: Send + Sync + fmt::Debug + 'static {
    /// Which definition this is.
    fn digest(&self) -> DefinitionDigest;
    /// The first transition.
    fn begin(&self, beginning: Beginning) -> Result<Transition>;
    /// Consumes the state and an event.
    fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition>;
    /// The state as bytes, for a snapshot.
    fn save(&self, state: &ProgramState) -> Result<Bytes>;
    /// The state from bytes that this version of the definition saved.
    fn restore(&self, bytes: &[u8]) -> Result<ProgramState>;
}

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        impl<T: Program + ?Sized> Program for $pointer<T> {
            fn digest(&self) -> DefinitionDigest {
                (**self).digest()
            }
            fn begin(&self, beginning: Beginning) -> Result<Transition> {
                (**self).begin(beginning)
            }
            fn step(&self, state: ProgramState, event: ProgramEvent) -> Result<Transition> {
                (**self).step(state, event)
            }
            fn save(&self, state: &ProgramState) -> Result<Bytes> {
                (**self).save(state)
            }
            fn restore(&self, bytes: &[u8]) -> Result<ProgramState> {
                (**self).restore(bytes)
            }
        }
    )*};
}
pointer!(Arc, Box);
