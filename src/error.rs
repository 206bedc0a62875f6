//! [`CallError`]: why a typed call gave no answer.

use faas_core::{Error, ExecutionId, FunctionError};
use faas_workflow::Ending;

/// Why a typed call gave no answer: the platform failed, the function did, or the workflow ended
/// in another way.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The platform failed.
    #[error(transparent)]
    Platform(#[from] Error),
    /// The function failed.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The workflow did not succeed.
    #[error("execution {execution} {}", describe(ending))]
    Workflow {
        /// Which execution; [`Platform::explain`](crate::Platform::explain) tells more.
        execution: ExecutionId,
        /// How it ended.
        ending: Box<Ending>,
    },
}

fn describe(ending: &Ending) -> String {
    match ending {
        Ending::Failed(error) => format!("failed: {error}"),
        Ending::TimedOut(error) => format!("timed out: {error}"),
        Ending::Cancelled(cause) => format!("was cancelled: {cause}"),
        other => format!("ended as {other:?}"),
    }
}
