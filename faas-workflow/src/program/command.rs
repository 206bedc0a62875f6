//! What a program wants done.

use faas_core::ExecutionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Data, TaskError, TaskNumber, TaskRequest, TimerNumber};

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
    /// It goes on as that execution, with the same name, a history of its own, and this input.
    Continued(ExecutionId),
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
    /// It ends here, and begins again as a new execution of the same name with this input, so that
    /// no history grows for ever: nothing may follow.
    ContinueAsNew(Data),
}
