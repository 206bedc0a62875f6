//! The instance of a handler.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{
    Body, FunctionError, Handler, HandlerCall, HandlerReply, InstanceId, Invocation, InvocationId,
    Monotonic, Payload, Response, Result,
};
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::future::BoxFuture;

use super::inline::Inline;
use super::stream::stream;
use super::task::{Ended, Guests, Reply, Task};
use crate::lifecycle::Busy;
use crate::limit::{Bounds, Limit};

pub(super) struct Instance {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) revision: Arc<FunctionRevision>,
    pub(super) guests: Arc<Guests>,
}

/// A call of a task: its slot is free as soon as it has ended, but for an answer that streams.
async fn run(
    handler: Arc<dyn Handler>,
    call: HandlerCall,
    guests: Arc<Guests>,
    busy: Busy,
) -> (Reply, Option<Busy>) {
    let reply = guests.pace.take(&*guests.clock, handler.call(call)).await;
    let streams = matches!(reply, Ok(HandlerReply::Stream(..)));
    (reply, streams.then_some(busy))
}

impl Instance {
    pub(super) fn bounds(&self, permit: &Permit, deadline: Option<Monotonic>) -> Bounds {
        let started = permit.granted().unwrap_or_else(|| self.guests.clock.now());
        Bounds::new(started, self.id(), &self.revision.config, deadline)
    }

    /// Runs a call on a task of its own.
    pub(super) async fn spawned(
        &self,
        id: InvocationId,
        call: HandlerCall,
        bounds: Bounds,
        busy: Busy,
    ) -> Result<Response> {
        let limit = Limit::of(&self.guests.clock, bounds);
        let work = run(self.handler.clone(), call, self.guests.clone(), busy);
        let mut task = Task::spawn(&self.guests, limit, work);
        let (ended, busy) = match task.end().await {
            Ended::Done((reply, busy)) => (Ended::Done(reply), busy),
            Ended::Failed(error) => (Ended::Failed(error), None),
            Ended::Lost(error) => (Ended::Lost(error), None),
        };
        self.respond(id, &bounds, ended, move || busy)
    }

    /// What came of a call. Its slot is asked for if the answer streams, and is free else.
    pub(super) fn respond(
        &self,
        id: InvocationId,
        bounds: &Bounds,
        ended: Ended<Reply>,
        busy: impl FnOnce() -> Option<Busy>,
    ) -> Result<Response> {
        let now = self.guests.clock.now();
        let reply = match ended {
            Ended::Done(reply) => reply,
            Ended::Failed(error) => Err(error),
            Ended::Lost(error) => return Err(error),
        };
        match reply {
            Ok(HandlerReply::Whole(payload)) => whole(id, bounds, now, payload),
            Ok(HandlerReply::Stream(content_type, chunks)) if let Some(busy) = busy() => {
                let limit = Limit::of(&self.guests.clock, *bounds);
                let body = stream(&self.guests, limit, chunks, busy);
                Ok(Response::new(id, content_type, body))
            }
            Ok(_) => {
                let message = "it answered in a way that this version does not know";
                let error = FunctionError::new(FunctionError::PROTOCOL, message);
                Ok(bounds.failure_at(id, now, error))
            }
            Err(error) => Ok(bounds.failure_at(id, now, error)),
        }
    }
}

fn whole(id: InvocationId, bounds: &Bounds, now: Monotonic, payload: Payload) -> Result<Response> {
    let content_type = payload.content_type().clone();
    let bytes = payload.into_bytes();
    let fault = bounds.in_time(now.since(bounds.started()))?;
    match fault.and_then(|()| bounds.check(bytes.len() as u64)) {
        Ok(()) => {
            let body = Body::whole(bytes, bounds.trailer_at(now, Ok(())));
            Ok(Response::new(id, content_type, body))
        }
        Err(error) => Ok(bounds.failure_at(id, now, error)),
    }
}

#[async_trait]
impl FunctionInstance for Instance {
    fn id(&self) -> InstanceId {
        self.guests.lifecycle.id()
    }

    fn invoke<'a, 'f>(
        &'a self,
        invocation: Invocation,
        permit: Permit,
    ) -> BoxFuture<'f, Result<Response>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(Inline::new(self, invocation, permit))
    }

    fn health(&self) -> Health {
        self.guests.lifecycle.health()
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.guests.lifecycle.failed()
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.guests
            .lifecycle
            .drain(&*self.guests.clock, deadline)
            .await
    }
}
