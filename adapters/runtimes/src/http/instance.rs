//! The instance behind an HTTP server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Clock, Error, InstanceId, Invocation, Monotonic, Response, Result, Retry};
use faas_function::contract::Connect;
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use futures::future::BoxFuture;

use super::exchange::{Exchange, Stop};
use super::head;
use super::link::Link;
use super::port::Tether;
use super::target::Target;
use crate::lifecycle::{Lifecycle, unavailable};
use crate::limit::Limit;
use crate::sandbox_end::SandboxEnd;

/// How long a connection is kept idle: servers close them after some seconds, and a call that meets
/// that end is one of which nobody can say whether it was delivered.
const IDLE: Duration = Duration::from_secs(1);

/// What an instance is made of.
pub(super) struct Parts {
    pub(super) target: Target,
    pub(super) tether: Arc<Tether>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) grace: Duration,
}

/// What the calls of an instance share.
pub(super) struct Shared {
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) tether: Arc<Tether>,
    pub(super) grace: Duration,
    target: Target,
    clock: Arc<dyn Clock>,
    /// Connections that are idle, and since when; the last is the freshest.
    idle: Mutex<Vec<(Link, Monotonic)>>,
    connections: usize,
}

impl Shared {
    /// A connection is idle again.
    pub(super) fn put(&self, link: Link) {
        let now = self.clock.now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| now.since(*since) < IDLE);
        if idle.len() < self.connections {
            idle.push((link, now));
        }
    }

    fn take(&self) -> Option<Link> {
        let now = self.clock.now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (link, since) = idle.pop()?;
        (now.since(since) < IDLE).then_some(link)
    }

    /// A connection, and whether it has served before.
    async fn link(&self) -> Result<(Link, bool), String> {
        while let Some(mut link) = self.take() {
            if link.is_open().await {
                return Ok((link, true));
            }
        }
        let stream = self
            .target
            .open()
            .await
            .map_err(|error| error.to_string())?;
        let link = Link::new(stream).await.map_err(|error| error.to_string())?;
        Ok((link, false))
    }

    /// What has become of a function whose connection broke. A process that ends closes its
    /// connections one by one, and how it ended is told after that.
    pub(super) async fn fate(&self, limit: &Limit) -> Fate {
        let serves = async {
            limit.pause(self.grace / 10).await;
            self.target.open().await.is_ok()
        };
        let serves = tokio::select! {
            biased;
            end = self.tether.ended() => return Fate::Ended(end),
            serves = serves => serves,
        };
        if serves {
            return Fate::Serves;
        }
        if !self.tether.is_tied() {
            return Fate::Gone;
        }
        tokio::select! {
            biased;
            end = self.tether.ended() => Fate::Ended(end),
            () = limit.pause(self.grace) => Fate::Gone,
        }
    }
}

/// What has become of a function whose connection broke.
pub(super) enum Fate {
    /// It accepts others.
    Serves,
    /// It accepts none, and nobody says why.
    Gone,
    /// Its sandbox has ended.
    Ended(SandboxEnd),
}

pub(super) struct Instance {
    shared: Arc<Shared>,
    revision: Arc<FunctionRevision>,
}

impl Instance {
    pub(super) fn new(parts: Parts, connect: Connect) -> Self {
        let lifecycle = Lifecycle::new(connect.instance);
        parts.tether.attach(&lifecycle);
        let connections = connect.revision.config.concurrency as usize;
        let shared = Shared {
            lifecycle,
            tether: parts.tether,
            grace: parts.grace,
            target: parts.target,
            clock: parts.clock,
            idle: Mutex::default(),
            connections,
        };
        Self {
            shared: Arc::new(shared),
            revision: connect.revision,
        }
    }

    async fn start(&self, limit: &Limit, permit: Permit) -> Result<Exchange> {
        let busy = self.shared.lifecycle.begin(permit)?;
        let mut sleep = limit.sleep();
        let linked = tokio::select! {
            biased;
            linked = self.shared.link() => linked,
            () = &mut sleep => match limit.expired() {
                Ok(_) => Err("it accepts no connection in time".to_owned()),
                Err(late) => return Err(late.with_retry(Retry::Safe)),
            },
        };
        let (link, reused) = linked.map_err(|why| {
            self.shared.lifecycle.fail(why.clone());
            unavailable(self.id(), why, Retry::Safe)
        })?;
        Ok(Exchange {
            shared: self.shared.clone(),
            limit: limit.clone(),
            sleep,
            held: Some((link, busy)),
            reused,
            total: 0,
        })
    }
}

#[async_trait]
impl FunctionInstance for Instance {
    fn id(&self) -> InstanceId {
        self.shared.lifecycle.id()
    }

    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let (id, config) = (invocation.id, &self.revision.config);
        let limit = Limit::new(&self.shared.clock, self.id(), config, invocation.deadline);
        let request = head::request(invocation);
        let request = request.map_err(|why| Error::invalid("invoke", why))?;
        let mut exchange = self.start(&limit, permit).await?;
        match exchange.ask(request).await {
            Ok(answer) => exchange.respond(id, answer).await,
            Err(Stop::Failed(error)) => Ok(limit.failure(id, error)),
            Err(Stop::Lost(error)) => Err(error),
        }
    }

    fn health(&self) -> Health {
        self.shared.lifecycle.health()
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.shared.lifecycle.failed()
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.shared
            .lifecycle
            .drain(&*self.shared.clock, deadline)
            .await
    }
}
