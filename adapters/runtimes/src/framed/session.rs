//! One call over one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faas_core::{Body, Error, Frame, FunctionError, Result, Retry};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::codec::{self, End, Head};
use super::gate::{Gate, Owed};
use super::wire::Wire;
use crate::lifecycle::{Busy, Lifecycle, unavailable};
use crate::limit::Limit;
use crate::sandbox_end::SandboxEnd;

/// How many parts of an answer are taken between two looks at the time.
const LOOK: u32 = 16;

/// Why a call ended before its end.
pub(super) enum Stop {
    Failed(FunctionError),
    Lost(Error),
}

/// A call that has a connection. Dropped before its end it closes the connection, which cancels
/// the call; the slot is free when the guest connects again.
pub(super) struct Session {
    gate: Arc<Gate>,
    lifecycle: Arc<Lifecycle>,
    limit: Limit,
    grace: Duration,
    sleep: BoxFuture<'static, ()>,
    held: Option<(Wire, Busy)>,
    /// Whether the guest may have all of the request.
    delivered: bool,
    parts: u32,
    total: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some((wire, busy)) = self.held.take() else {
            return;
        };
        let (watched, freed) = oneshot::channel::<()>();
        self.gate.owe(Owed {
            _busy: busy,
            _watched: watched,
        });
        // Only now, for the guest may connect again before anything else happens here.
        drop(wire);
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
    pub(super) fn new(
        gate: &Arc<Gate>,
        lifecycle: &Arc<Lifecycle>,
        limit: Limit,
        grace: Duration,
        held: (Wire, Busy),
    ) -> Self {
        Self {
            gate: gate.clone(),
            lifecycle: lifecycle.clone(),
            sleep: limit.sleep(),
            limit,
            grace,
            held: Some(held),
            delivered: false,
            parts: 0,
            total: 0,
        }
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn ask(&mut self, request: [codec::Frame; 3]) -> Result<Head, Stop> {
        self.step(async move |wire| wire.write(&request).await)
            .await?;
        self.delivered = true;
        self.step(Wire::read_head).await
    }

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
        match ended {
            Ok(value) => Ok(value),
            Err(error) => Err(self.broken(&error).await),
        }
    }

    fn gone(&self, why: impl std::fmt::Display) -> Error {
        let retry = match self.delivered {
            true => Retry::Ambiguous,
            false => Retry::Safe,
        };
        unavailable(self.lifecycle.id(), why, retry)
    }

    /// What was read is no answer: the guest is gone, or cannot be trusted any longer.
    async fn broken(&mut self, error: &io::Error) -> Stop {
        let why = format!("its guest broke off: {error}");
        if error.kind() == io::ErrorKind::InvalidData {
            self.lifecycle.fail(why);
            let kind = FunctionError::PROTOCOL;
            return Stop::Failed(FunctionError::new(kind, error.to_string()));
        }
        // Its connections close before anybody can say how its sandbox ended. Until then the
        // instance is not given up: its sandbox would be stopped, and the cause lost.
        let ended = tokio::select! {
            biased;
            ended = self.gate.ended() => Some(ended),
            () = self.limit.pause(self.grace) => None,
            () = &mut self.sleep => None,
        };
        let ended = ended.unwrap_or_else(|| SandboxEnd::unreachable(why));
        self.lifecycle.fail(ended.why());
        let instance = self.lifecycle.id();
        match self.delivered {
            true => ended
                .delivered(instance)
                .map_or_else(Stop::Lost, Stop::Failed),
            false => Stop::Lost(ended.undelivered(instance)),
        }
    }

    async fn part(&mut self) -> Result<Result<Bytes, End>, Stop> {
        // Parts may come for ever, and each before anybody looks at the time.
        self.parts = self.parts.wrapping_add(1);
        if self.parts.is_multiple_of(LOOK) && self.limit.is_over() {
            let stop = self.limit.expired();
            return Err(stop.map_or_else(Stop::Lost, Stop::Failed));
        }
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

    /// All of an answer that comes at once.
    pub(super) async fn whole(mut self) -> Result<Body> {
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

    /// An answer that comes over time, read as fast as its reader reads.
    pub(super) fn stream(self) -> Body {
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
