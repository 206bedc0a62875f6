//! The instance behind a framed socket.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Clock, ContentType, InstanceId, Invocation, Monotonic, Response, Result, Retry};
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::codec::{End, Head};
use super::gate::Gate;
use super::session::{Session, Stop};
use super::wire::{Wire, message};
use crate::lifecycle::{Busy, Lifecycle};
use crate::limit::Limit;
use crate::sandbox_end::SandboxEnd;

pub(super) struct Instance {
    gate: Arc<Gate>,
    revision: Arc<FunctionRevision>,
    clock: Arc<dyn Clock>,
    lifecycle: Arc<Lifecycle>,
    grace: Duration,
}

impl Instance {
    pub(super) fn new(
        gate: Arc<Gate>,
        connect: Connect,
        clock: Arc<dyn Clock>,
        grace: Duration,
    ) -> Self {
        let lifecycle = Lifecycle::new(connect.instance);
        gate.attach(lifecycle.clone());
        let revision = connect.revision;
        Self {
            gate,
            revision,
            clock,
            lifecycle,
            grace,
        }
    }

    async fn start(&self, limit: &Limit, busy: Busy) -> Result<Session> {
        let wire = self.connection(limit).await?;
        Ok(Session::new(
            &self.gate,
            &self.lifecycle,
            limit.clone(),
            self.grace,
            (wire, busy),
        ))
    }

    async fn connection(&self, limit: &Limit) -> Result<Wire> {
        // No timer is made where a connection is idle.
        let taken = match self.gate.take().now_or_never() {
            Some(taken) => taken,
            None => tokio::select! {
                biased;
                taken = self.gate.take() => taken,
                () = limit.sleep() => match limit.expired() {
                    Ok(_) => Err(SandboxEnd::unreachable("no guest is connected")),
                    Err(late) => return Err(late.with_retry(Retry::Safe)),
                },
                () = self.deserted(limit) => Err(SandboxEnd::unreachable("its guest has left")),
            },
        };
        taken.map_err(|ended| {
            self.lifecycle.fail(ended.why());
            ended.undelivered(self.id())
        })
    }

    /// Ends when no guest is connected, nor was one in the time that it takes to connect again.
    async fn deserted(&self, limit: &Limit) {
        loop {
            limit.pause(self.grace).await;
            if self.gate.is_deserted() {
                return;
            }
        }
    }

    fn head(&self, invocation: &Invocation, limit: &Limit) -> Head {
        let left = limit.end().since(self.clock.now()).as_millis();
        let trace = invocation.trace;
        Head {
            id: invocation.id.to_string(),
            content_type: invocation.payload.content_type().as_str().to_owned(),
            attributes: invocation.attributes.clone(),
            trace: if trace.is_present() {
                trace.to_string()
            } else {
                String::new()
            },
            time_left: u64::try_from(left).unwrap_or(u64::MAX),
            idempotency_key: invocation.idempotency_key.clone(),
            caller: invocation.caller.clone(),
            stream: false,
        }
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
        let mut session = self.start(&limit, busy).await?;
        let head = self.head(&invocation, &limit);
        let id = invocation.id;
        let request = message(&head, invocation.payload.into_bytes(), &End::default());
        let head = match session.ask(request).await {
            Ok(head) => head,
            Err(Stop::Failed(error)) => return Ok(limit.failure(id, error)),
            Err(Stop::Lost(error)) => return Err(error),
        };
        let content_type = ContentType::new(head.content_type).unwrap_or(ContentType::OCTETS);
        let body = match head.stream {
            true => session.stream(),
            false => session.whole().await?,
        };
        Ok(Response::new(id, content_type, body).with_attributes(head.attributes))
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
