//! [`SandboxEnd`]: how a sandbox came to its end, and what that means for what ran in it.

use std::time::Duration;

use faas_core::{Clock, Error, FunctionError, InstanceId, Retry};
use faas_resource::agent::ExitCause;

use crate::lifecycle::unavailable;

/// How long a sandbox may take to get ready, unless its contract is told otherwise.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The end of a sandbox, as far as its contract knows.
#[derive(Debug, Clone)]
pub(crate) struct SandboxEnd {
    why: String,
    /// Whether the function ended it.
    exit: bool,
}

impl SandboxEnd {
    /// As its agent reported.
    pub(crate) fn reported(cause: &ExitCause) -> Self {
        Self {
            why: format!("its sandbox has {cause}"),
            exit: cause.is_its_own(),
        }
    }

    /// It cannot be reached any longer, whatever the cause.
    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            exit: false,
        }
    }

    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// What it means for an invocation that the function did not have.
    pub(crate) fn undelivered(&self, instance: InstanceId) -> Error {
        unavailable(instance, &self.why, Retry::Safe)
    }

    /// What it means for an invocation that the function had: it failed if it ended its sandbox
    /// itself, else nobody can say how far it came.
    pub(crate) fn delivered(&self, instance: InstanceId) -> Result<FunctionError, Error> {
        match self.exit {
            true => Ok(FunctionError::new(FunctionError::EXIT, self.why.clone())),
            false => Err(unavailable(instance, &self.why, Retry::Ambiguous)),
        }
    }
}

/// Waits until a sandbox is ready, has ended, or took longer than `timeout`.
pub(crate) async fn ready_in_time(
    clock: &dyn Clock,
    timeout: Duration,
    instance: InstanceId,
    ready: impl Future<Output = Result<(), SandboxEnd>>,
) -> Result<(), Error> {
    let late = clock.sleep_until(clock.now() + timeout);
    let ready = tokio::select! {
        biased;
        ready = ready => ready,
        () = late => Err(SandboxEnd::unreachable(format!("it was not ready within {timeout:?}"))),
    };
    ready
        .map_err(|end| Error::unavailable("connect", format!("instance {instance}: {}", end.why())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: InstanceId = InstanceId::from_u128(1);

    #[test]
    fn what_the_function_did_is_its_failure_and_all_else_the_platforms() {
        for own in [
            ExitCause::Code(7),
            ExitCause::Signal(6),
            ExitCause::OutOfMemory,
        ] {
            let failure = SandboxEnd::reported(&own).delivered(INSTANCE).unwrap();
            assert_eq!(failure.kind, FunctionError::EXIT);
            assert!(failure.message.contains(&own.to_string()), "{failure}");
        }
        for other in [ExitCause::Stopped, ExitCause::Unknown] {
            let error = SandboxEnd::reported(&other)
                .delivered(INSTANCE)
                .unwrap_err();
            assert_eq!(error.retry(), Retry::Ambiguous);
        }
    }
}
