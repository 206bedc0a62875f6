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
use crate::limit::Limit;

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
    /// On the task of whoever called.
    async fn inline(
        &self,
        id: InvocationId,
        call: HandlerCall,
        limit: Limit,
        busy: Busy,
    ) -> Result<Response> {
        let mut work = Inline::new(&self.guests, &limit, &*self.handler, call);
        let ended = (&mut work).await;
        let longest = work.longest();
        drop(work);
        let response = self.respond(id, &limit, ended, Some(busy));
        // There was but one poll: it took as long as all of it, which the response says.
        let took = || match &response {
            Ok(response) => response
                .body
                .trailer()
                .map(|trailer| trailer.usage.duration),
            Err(_) => None,
        };
        if let Some(longest) = longest.or_else(took) {
            self.guests.pace.took(longest);
        }
        response
    }

    /// On a task of its own.
    async fn spawned(
        &self,
        id: InvocationId,
        call: HandlerCall,
        limit: Limit,
        busy: Busy,
    ) -> Result<Response> {
        let work = run(self.handler.clone(), call, self.guests.clone(), busy);
        let mut task = Task::spawn(&self.guests, limit.clone(), work);
        let (ended, busy) = match task.end().await {
            Ended::Done((reply, busy)) => (Ended::Done(reply), busy),
            Ended::Failed(error) => (Ended::Failed(error), None),
            Ended::Lost(error) => (Ended::Lost(error), None),
        };
        self.respond(id, &limit, ended, busy)
    }

    fn respond(
        &self,
        id: InvocationId,
        limit: &Limit,
        ended: Ended<Reply>,
        busy: Option<Busy>,
    ) -> Result<Response> {
        let reply = match ended {
            Ended::Done(reply) => reply,
            Ended::Failed(error) => Err(error),
            Ended::Lost(error) => return Err(error),
        };
        match (reply, busy) {
            (Ok(HandlerReply::Whole(payload)), busy) => whole(id, limit, payload, busy),
            (Ok(HandlerReply::Stream(content_type, chunks)), Some(busy)) => {
                let body = stream(&self.guests, limit.clone(), chunks, busy);
                Ok(Response::new(id, content_type, body))
            }
            (Ok(_), _) => {
                let message = "it answered in a way that this version does not know";
                let error = FunctionError::new(FunctionError::PROTOCOL, message);
                Ok(limit.failure(id, error))
            }
            (Err(error), _) => Ok(limit.failure(id, error)),
        }
    }
}

fn whole(
    id: InvocationId,
    limit: &Limit,
    payload: Payload,
    busy: Option<Busy>,
) -> Result<Response> {
    let trailer = limit.trailer(Ok(()));
    // The handler has ended at the time that the trailer says.
    drop(busy);
    let content_type = payload.content_type().clone();
    let bytes = payload.into_bytes();
    let fault = limit.in_time(trailer.usage.duration)?;
    match fault.and_then(|()| limit.check(bytes.len() as u64)) {
        Ok(()) => Ok(Response::new(id, content_type, Body::whole(bytes, trailer))),
        Err(error) => Ok(limit.failure(id, error)),
    }
}

#[async_trait]
impl FunctionInstance for Instance {
    fn id(&self) -> InstanceId {
        self.guests.lifecycle.id()
    }

    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let busy = self.guests.lifecycle.begin(permit)?;
        let id = invocation.id;
        let config = &self.revision.config;
        let limit = Limit::new(&self.guests.clock, self.id(), config, invocation.deadline);
        match self.guests.may_inline() {
            true => self.inline(id, invocation.into(), limit, busy).await,
            false => self.spawned(id, invocation.into(), limit, busy).await,
        }
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
