//! The instance behind a Runtime API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Clock, InstanceId, Invocation, Monotonic, Payload, Response, Result};
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::future::BoxFuture;
use http::HeaderMap;
use tokio::sync::oneshot;

use super::api::Api;
use super::call::Call;
use super::flight::{Flight, Job, Slot};
use super::headers;
use crate::lifecycle::Lifecycle;
use crate::limit::Limit;

pub(super) struct Instance {
    api: Arc<Api>,
    revision: Arc<FunctionRevision>,
    clock: Arc<dyn Clock>,
    lifecycle: Arc<Lifecycle>,
    grace: Duration,
}

impl Instance {
    pub(super) fn new(
        api: Arc<Api>,
        connect: &Connect,
        clock: Arc<dyn Clock>,
        grace: Duration,
    ) -> Self {
        let lifecycle = Lifecycle::new(connect.instance);
        api.attach(lifecycle.clone(), connect.revision.config.concurrency);
        Self {
            api,
            revision: connect.revision.clone(),
            clock,
            lifecycle,
            grace,
        }
    }

    fn headers(&self, invocation: &Invocation, id: &str, limit: &Limit) -> HeaderMap {
        let left = limit.end().since(self.clock.now());
        let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        let deadline = self.clock.wall().as_millisecond().saturating_add(left);
        headers::headers(&self.revision, invocation, id, deadline)
    }

    /// Gives the instance up if the slot does not return in time, even if nobody waits for it.
    fn watch(&self, id: String, limit: &Limit, freed: oneshot::Receiver<()>) {
        let late = limit.sleep_past_timeout(self.grace);
        let (api, lifecycle) = (self.api.clone(), self.lifecycle.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = freed => {}
                () = late => {
                    lifecycle.fail("its runtime does not ask for more work");
                    api.forget(&id);
                }
            }
        });
    }
}

/// An event is JSON: one that says nothing is an empty object, as AWS has it.
fn payload(payload: Payload) -> Bytes {
    match payload.is_empty() {
        true => Bytes::from_static(b"{}"),
        false => payload.into_bytes(),
    }
}

#[async_trait]
impl FunctionInstance for Instance {
    fn id(&self) -> InstanceId {
        self.lifecycle.id()
    }

    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let busy = self.lifecycle.begin(permit)?;
        let config = &self.revision.config;
        let limit = Limit::new(&self.clock, self.id(), config, invocation.deadline);
        let id = headers::request_id(invocation.id);
        let (reply, answer) = oneshot::channel();
        let (watched, freed) = oneshot::channel();
        let slot = Slot {
            _busy: busy,
            _watched: watched,
        };
        let headers = self.headers(&invocation, &id, &limit);
        let (invocation, payload) = (invocation.id, payload(invocation.payload));
        self.api.submit(Job {
            id: id.clone(),
            headers,
            payload,
            flight: Flight::new(slot, reply, limit.bytes),
        })?;
        self.watch(id.clone(), &limit, freed);
        let call = Call {
            api: self.api.clone(),
            lifecycle: self.lifecycle.clone(),
            sleep: limit.sleep(),
            limit,
            grace: self.grace,
            id,
        };
        call.respond(invocation, answer).await
    }

    fn health(&self) -> Health {
        self.lifecycle.health()
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.lifecycle.failed()
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.lifecycle.drain(&*self.clock, deadline).await
    }
}
