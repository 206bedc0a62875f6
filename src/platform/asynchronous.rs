//! Asynchronous invocations: taken now, run later.

use std::sync::Arc;

use faas_core::{Invocation, InvocationId, Payload, Result};
use faas_function::InvocationQueue;
use serde::Serialize;

use super::Platform;

impl Platform {
    /// Has a function run later, at least once: when this answers, the request is stored as durably
    /// as the platform's store is. What comes of it goes where the function's
    /// [`queue`](faas_function::registry::FunctionConfig::queue) settings say; until then
    /// [`queue`](Self::queue) knows of it, and [`explain`](Self::explain) says why it waits.
    ///
    /// The function should do the same once however often it gets the same idempotency key.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name, `NotFound` for a function that is not there, `Exhausted`
    /// over the queue's bound; as [`InvocationQueue::submit`].
    pub async fn invoke_async(&self, function: &str, payload: Payload) -> Result<InvocationId> {
        self.submit(self.request(function, payload)?).await
    }

    /// As [`invoke_async`](Self::invoke_async), with one JSON value.
    ///
    /// # Errors
    /// As [`invoke_async`](Self::invoke_async).
    pub async fn call_async<I>(&self, function: &str, input: &I) -> Result<InvocationId>
    where
        I: Serialize + Sync + ?Sized,
    {
        self.invoke_async(function, Payload::json(input)?).await
    }

    /// As [`invoke_async`](Self::invoke_async), with attributes, a caller, an idempotency key of
    /// its own, or a deadline.
    ///
    /// # Errors
    /// As [`invoke_async`](Self::invoke_async).
    pub async fn submit(&self, invocation: Invocation) -> Result<InvocationId> {
        self.queue.0.submit(invocation).await
    }

    /// The queue of asynchronous invocations: what waits, dead letters, and queues that are
    /// destinations.
    pub fn queue(&self) -> Arc<dyn InvocationQueue> {
        self.queue.0.clone()
    }
}
