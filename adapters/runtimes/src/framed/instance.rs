//! The instance behind a framed socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use faas_core::{
    Body, Clock, ContentType, Error, Frame, FunctionError, InstanceId, Invocation, Monotonic,
    Response, Result, Retry,
};
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::codec::{End, Head};
use super::gate::{Gate, Owed};
use super::wire::{Wire, message};
use crate::lifecycle::{Busy, Lifecycle, unavailable};
use crate::limit::Limit;

pub(super) struct Instance {
    pub(super) gate: Arc<Gate>,
    pub(super) revision: Arc<FunctionRevision>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) grace: Duration,
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
}

/// Why a call ended before its end.
enum Stop {
    Failed(FunctionError),
    Lost(Error),
}

/// A call that has a connection. Dropped before its end it closes the connection, which cancels
/// the call; the slot is free when the guest connects again.
struct Session {
    gate: Arc<Gate>,
    lifecycle: Arc<Lifecycle>,
    limit: Limit,
    grace: Duration,
    sleep: BoxFuture<'static, ()>,
    held: Option<(Wire, Busy)>,
    total: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((wire, busy)) = self.held.take() else {
            return;
        };
        drop(wire);
        let (watched, freed) = oneshot::channel::<()>();
        self.gate.owe(Owed {
            _busy: busy,
            _watched: watched,
        });
        let (gate, lifecycle) = (self.gate.clone(), self.lifecycle.clone());
        let late = self.limit.sleep_past_timeout(self.grace);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            lifecycle.fail("its call was dropped where nobody can wait for it to end");
            return gate.forget();
        };
        runtime.spawn(async move {
            tokio::select! {
                biased;
                _ = freed => {}
                () = late => {
                    lifecycle.fail("a cancelled guest does not connect again");
                    gate.forget();
                }
            }
        });
    }
}

impl Session {
    /// Runs one step of the protocol within the bounds of the call.
    async fn step<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Wire) -> io::Result<T>,
    ) -> Result<T, Stop> {
        let Some((wire, _)) = &mut self.held else {
            return Err(Stop::Lost(self.gone("its connection is closed")));
        };
        let ended = tokio::select! {
            biased;
            ended = step(wire) => ended,
            () = &mut self.sleep => {
                return Err(self.limit.expired().map_or_else(Stop::Lost, Stop::Failed));
            }
        };
        ended.map_err(|error| self.broken(&error))
    }

    fn gone(&self, why: impl std::fmt::Display) -> Error {
        unavailable(self.lifecycle.id(), why, Retry::Ambiguous)
    }

    /// What was read is no answer: the guest is gone, or cannot be trusted any longer.
    fn broken(&self, error: &io::Error) -> Stop {
        self.lifecycle.fail(format!("its guest broke off: {error}"));
        match error.kind() {
            io::ErrorKind::InvalidData => {
                let kind = FunctionError::PROTOCOL;
                Stop::Failed(FunctionError::new(kind, error.to_string()))
            }
            _ => Stop::Lost(self.gone(error)),
        }
    }

    async fn part(&mut self) -> Result<Result<bytes::Bytes, End>, Stop> {
        let part = self.step(Wire::read_part).await?;
        if let Ok(data) = &part {
            self.total = self.total.saturating_add(data.len() as u64);
            self.limit.check(self.total).map_err(Stop::Failed)?;
        }
        Ok(part)
    }

    /// The guest has answered and is idle.
    fn finish(&mut self, end: End) -> Frame {
        if let Some((mut wire, busy)) = self.held.take() {
            if wire.is_drained() {
                self.gate.put(wire);
            } else {
                // Else the next call would take it for its answer.
                self.lifecycle.fail("its guest said more than its answer");
            }
            drop(busy);
        }
        Frame::Trailer(self.limit.trailer(end.error.map_or(Ok(()), Err)))
    }

    fn stopped(&self, stop: Stop) -> Result<Frame> {
        match stop {
            Stop::Failed(error) => Ok(Frame::Trailer(self.limit.trailer(Err(error)))),
            Stop::Lost(error) => Err(error),
        }
    }

    async fn whole(&mut self) -> Result<Body> {
        let mut data = BytesMut::new();
        let last = loop {
            match self.part().await {
                Ok(Ok(part)) => data.extend_from_slice(&part),
                Ok(Err(end)) => break self.finish(end),
                Err(stop) => break self.stopped(stop)?,
            }
        };
        match last {
            Frame::Trailer(trailer) => Ok(Body::whole(data.freeze(), trailer)),
            _ => Err(self.gone("it did not end")),
        }
    }

    fn stream(self) -> Body {
        Body::stream(futures::stream::unfold(Some(self), |session| async move {
            let mut session = session?;
            match session.part().await {
                Ok(Ok(data)) => Some((Ok(Frame::Data(data)), Some(session))),
                Ok(Err(end)) => Some((Ok(session.finish(end)), None)),
                Err(stop) => Some((session.stopped(stop), None)),
            }
        }))
    }
}

impl Instance {
    async fn start(&self, limit: &Limit, busy: Busy) -> Result<Session> {
        let wire = tokio::select! {
            biased;
            wire = self.gate.take() => wire.map_err(|e| unavailable(self.id(), e, Retry::Safe))?,
            () = limit.sleep() => {
                return Err(unavailable(self.id(), "no guest connected in time", Retry::Safe));
            }
        };
        Ok(Session {
            gate: self.gate.clone(),
            lifecycle: self.lifecycle.clone(),
            grace: self.grace,
            sleep: limit.sleep(),
            limit: limit.clone(),
            held: Some((wire, busy)),
            total: 0,
        })
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
        let head = session
            .step(async move |wire: &mut Wire| {
                wire.write(&request).await?;
                wire.read_head().await
            })
            .await;
        let head = match head {
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
