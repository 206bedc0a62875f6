//! When an invocation must have ended, how much it may answer, and how it is accounted for.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{
    Clock, ContentType, Error, FunctionError, InstanceId, InvocationId, Monotonic, Outcome, Phase,
    Response, Result, Trailer,
};
use faas_function::registry::FunctionConfig;
use futures::future::BoxFuture;

use crate::lifecycle::too_late;

/// The bounds of one invocation, without a clock to keep them by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    instance: InstanceId,
    started: Monotonic,
    timeout: Duration,
    deadline: Option<Monotonic>,
    pub(crate) bytes: u64,
}

impl Bounds {
    /// Of an invocation that began at `started`.
    pub(crate) fn new(
        started: Monotonic,
        instance: InstanceId,
        config: &FunctionConfig,
        deadline: Option<Monotonic>,
    ) -> Self {
        Self {
            instance,
            started,
            timeout: config.timeout,
            deadline,
            bytes: config.response_limit,
        }
    }

    /// When the invocation began.
    pub(crate) fn started(&self) -> Monotonic {
        self.started
    }

    /// When the function's own time is over.
    pub(crate) fn timeout_at(&self) -> Monotonic {
        self.started + self.timeout
    }

    /// When nobody waits any longer, for whichever reason comes first.
    pub(crate) fn end(&self) -> Monotonic {
        let timeout = self.timeout_at();
        self.deadline
            .map_or(timeout, |deadline| deadline.min(timeout))
    }

    /// What it means that [`end`](Self::end) has passed: the function took too long, or whoever
    /// asked does not wait any longer.
    pub(crate) fn expired(&self) -> Result<FunctionError> {
        match self.end() < self.timeout_at() {
            true => Err(self.too_late()),
            false => Ok(self.timed_out()),
        }
    }

    pub(crate) fn too_late(&self) -> Error {
        too_late(self.instance)
    }

    fn timed_out(&self) -> FunctionError {
        let message = format!("it did not end within {:?}", self.timeout);
        FunctionError::new(FunctionError::TIMEOUT, message)
    }

    /// What [`expired`](Self::expired) says if an invocation ended too late that took so long.
    pub(crate) fn in_time(&self, took: Duration) -> Result<Result<(), FunctionError>> {
        match self.started + took < self.end() {
            true => Ok(Ok(())),
            false => self.expired().map(Err),
        }
    }

    /// Whether a response of `length` bytes is within the bounds.
    pub(crate) fn check(&self, length: u64) -> Result<(), FunctionError> {
        if length <= self.bytes {
            return Ok(());
        }
        let message = format!("it answered more than {} bytes", self.bytes);
        Err(FunctionError::new(
            FunctionError::RESPONSE_TOO_LARGE,
            message,
        ))
    }

    /// The trailer of an invocation that ends at `now`.
    pub(crate) fn trailer_at(&self, now: Monotonic, result: Result<(), FunctionError>) -> Trailer {
        let mut trailer = Trailer::success();
        if let Err(error) = result {
            trailer.outcome = Outcome::Failure(error);
        }
        let duration = now.since(self.started);
        trailer.usage.duration = duration;
        trailer.timeline[Phase::Run] = duration;
        trailer
    }

    /// The whole response of a function that failed at `now`.
    pub(crate) fn failure_at(
        &self,
        id: InvocationId,
        now: Monotonic,
        error: FunctionError,
    ) -> Response {
        let trailer = self.trailer_at(now, Err(error));
        let body = faas_core::Body::whole(bytes::Bytes::new(), trailer);
        Response::new(id, ContentType::OCTETS, body)
    }
}

/// The bounds of one invocation.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    clock: Arc<dyn Clock>,
    bounds: Bounds,
}

impl std::ops::Deref for Limit {
    type Target = Bounds;
    fn deref(&self) -> &Bounds {
        &self.bounds
    }
}

impl Limit {
    pub(crate) fn new(
        clock: &Arc<dyn Clock>,
        instance: InstanceId,
        config: &FunctionConfig,
        deadline: Option<Monotonic>,
    ) -> Self {
        let bounds = Bounds::new(clock.now(), instance, config, deadline);
        Self::of(clock, bounds)
    }

    pub(crate) fn of(clock: &Arc<dyn Clock>, bounds: Bounds) -> Self {
        let clock = clock.clone();
        Self { clock, bounds }
    }

    pub(crate) fn sleep(&self) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.end())
    }

    pub(crate) fn sleep_past_timeout(&self, grace: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.timeout_at() + grace)
    }

    /// Whether [`sleep`](Self::sleep) would end at once.
    pub(crate) fn is_over(&self) -> bool {
        self.clock.now() >= self.end()
    }

    /// Ends when so much time has passed from now on.
    pub(crate) fn pause(&self, pause: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.clock.now() + pause)
    }

    /// The trailer of an invocation that ends now.
    pub(crate) fn trailer(&self, result: Result<(), FunctionError>) -> Trailer {
        self.trailer_at(self.clock.now(), result)
    }

    /// The whole response of a function that failed.
    pub(crate) fn failure(&self, id: InvocationId, error: FunctionError) -> Response {
        self.failure_at(id, self.clock.now(), error)
    }
}
