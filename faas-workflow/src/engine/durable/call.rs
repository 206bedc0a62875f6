//! One call of a function, and what it means to a workflow.

use std::sync::Arc;
use std::time::Duration;

use faas_core::response::{Phase, StartKind};
use faas_core::{Clock, Completed, FunctionError, Invocation, Invoker, Monotonic};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};

use crate::engine::answer::payload_data;
use crate::program::{Data, TaskError};

/// How far a task has come that was called.
pub(super) enum Progress {
    /// It is over.
    Ended(Result<Data, TaskError>),
    /// Somebody took it over, and gave this receipt; its end comes by this future, or by its token.
    Submitted(Data, Option<BoxFuture<'static, Result<Data, TaskError>>>),
}

/// What a call answered, and how long it had to wait for an instance that was started for it.
pub(super) struct Called {
    pub(super) result: Result<Data, TaskError>,
    pub(super) cold: Option<Duration>,
}

/// Calls, waits for the whole answer, and gives up at the invocation's deadline.
pub(super) async fn call(
    invoker: Arc<dyn Invoker>,
    clock: Arc<dyn Clock>,
    invocation: Invocation,
    limit: usize,
) -> Called {
    let deadline = invocation.deadline;
    let answer = async {
        let response = invoker.invoke(invocation).await?;
        response.collect(limit).await
    };
    match within(&*clock, deadline, answer.boxed()).await {
        Ok(Ok(completed)) => {
            let cold = cold(&completed);
            let result = completed.into_result().map_err(TaskError::from);
            let result = result.and_then(payload_data);
            Called { result, cold }
        }
        Ok(Err(error)) => Called {
            result: Err(TaskError::from(&error)),
            cold: None,
        },
        Err(late) => Called {
            result: Err(late),
            cold: None,
        },
    }
}

fn cold(completed: &Completed) -> Option<Duration> {
    let waited = completed.trailer.timeline[Phase::Queue];
    (completed.start == StartKind::Cold).then_some(waited)
}

/// Waits for `work`, at most until `deadline`.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    deadline: Option<Monotonic>,
    work: BoxFuture<'_, T>,
) -> Result<T, TaskError> {
    let Some(at) = deadline else {
        return Ok(work.await);
    };
    match select(work, clock.sleep_until(at)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(late()),
    }
}

/// That a task took too long.
pub(super) fn late() -> TaskError {
    let message = "the task took longer than its timeout";
    TaskError::new(FunctionError::TIMEOUT, message)
}
