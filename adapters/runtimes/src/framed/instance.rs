//! The instance behind a framed socket.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Clock, ContentType, InstanceId, Invocation, Monotonic, Response, Result, Retry};
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::future::BoxFuture;

use super::codec::{End, Head};
use super::gate::Gate;
use super::session::{Session, Stop};
use super::wire::message;
use crate::lifecycle::{Busy, Lifecycle, unavailable};
use crate::limit::Limit;

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
        let wire = tokio::select! {
            biased;
            wire = self.gate.take() => wire.map_err(|ended| ended.undelivered(self.id()))?,
            () = limit.sleep() => {
                return Err(unavailable(self.id(), "no guest connected in time", Retry::Safe));
            }
        };
        Ok(Session::new(
            &self.gate,
            &self.lifecycle,
            limit.clone(),
            self.grace,
            (wire, busy),
        ))
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
