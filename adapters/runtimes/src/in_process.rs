//! [`InProcess`]: functions that are closures of this process.

mod task;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{
    Body, Clock, Error, Handler, HandlerCall, HandlerName, HandlerRegistry, HandlerReply, HookName,
    InstanceId, Invocation, InvocationId, Monotonic, Response, Result,
};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::instance::{FunctionInstance, Health, Permit};
use faas_function::registry::FunctionRevision;
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::SandboxHook;
use faas_resource::spec::ExecutableKind;
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use crate::lifecycle::{Busy, Lifecycle};
use crate::limit::Limit;
use task::{Ended, Guests, Task};

/// How long a task that was told to stop may take to yield.
const GRACE: Duration = Duration::from_secs(1);

/// The contract with handlers of this process.
///
/// Each call is a task of its own, so that a panic is the function's failure, a timeout holds, and
/// dropping the invocation stops the task. A task that never yields cannot be stopped: it keeps
/// its permit, and a grace after its timeout its instance reports that it must be replaced.
///
/// It is generic over nothing and needs no hook; handlers are looked up once per connection.
#[derive(Clone)]
pub struct InProcess {
    registry: Arc<dyn HandlerRegistry>,
    clock: Arc<dyn Clock>,
    guests: Option<Handle>,
    grace: Duration,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl InProcess {
    /// A contract with the handlers of `registry`, whose tasks run on the runtime that connects.
    pub fn new(registry: Arc<dyn HandlerRegistry>, clock: Arc<dyn Clock>) -> Self {
        Self {
            registry,
            clock,
            guests: None,
            grace: GRACE,
        }
    }

    /// Runs the handlers on another runtime, so that one that blocks does not block the platform.
    #[must_use]
    pub fn guest_runtime(mut self, runtime: Handle) -> Self {
        self.guests = Some(runtime);
        self
    }

    /// How long after its timeout a task may still run before its instance is given up; 1 s unless
    /// told otherwise.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    fn lookup(&self, endpoint: &Endpoint) -> Result<Arc<dyn Handler>> {
        let Endpoint::Address(Address::Handler(name)) = endpoint else {
            let message = format!("{endpoint:?} is not a handler of this process");
            return Err(Error::unsupported("connect", message));
        };
        self.registry.lookup(name).ok_or_else(|| unregistered(name))
    }
}

fn unregistered(name: &HandlerName) -> Error {
    Error::unavailable("connect", format!("no handler {name} is registered"))
}

#[async_trait]
impl Contract for InProcess {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }

    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }

    /// Nothing: handlers share the environment of this process.
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        SandboxEnvironment::default()
    }

    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let handler = self.lookup(&connect.endpoint)?;
        let platform = Handle::current();
        let guests = Guests {
            guests: self.guests.clone().unwrap_or_else(|| platform.clone()),
            platform,
            grace: self.grace,
            lifecycle: Lifecycle::new(connect.instance),
        };
        Ok(Arc::new(Instance {
            handler,
            revision: connect.revision,
            clock: self.clock.clone(),
            guests: Arc::new(guests),
        }))
    }
}

struct Instance {
    handler: Arc<dyn Handler>,
    revision: Arc<FunctionRevision>,
    clock: Arc<dyn Clock>,
    guests: Arc<Guests>,
}

/// What a task answers: a whole reply when it is idle again, or a stream and the slot it needs.
type Reply = Result<(HandlerReply, Option<Busy>), faas_core::FunctionError>;

async fn run(handler: Arc<dyn Handler>, call: HandlerCall, busy: Busy) -> Reply {
    match handler.call(call).await? {
        reply @ HandlerReply::Stream(..) => Ok((reply, Some(busy))),
        reply => Ok((reply, None)),
    }
}

impl Instance {
    fn respond(&self, id: InvocationId, limit: Limit, reply: Reply) -> Response {
        match reply {
            Ok((HandlerReply::Whole(payload), _)) => {
                let content_type = payload.content_type().clone();
                let bytes = payload.into_bytes();
                match limit.check(bytes.len() as u64) {
                    Ok(()) => {
                        Response::new(id, content_type, Body::whole(bytes, limit.trailer(Ok(()))))
                    }
                    Err(error) => limit.failure(id, error),
                }
            }
            Ok((HandlerReply::Stream(content_type, chunks), Some(busy))) => {
                let body = task::stream(&self.guests, limit, chunks, busy);
                Response::new(id, content_type, body)
            }
            Ok(_) => {
                let message = "it answered in a way that this version does not know";
                let kind = faas_core::FunctionError::PROTOCOL;
                limit.failure(id, faas_core::FunctionError::new(kind, message))
            }
            Err(error) => limit.failure(id, error),
        }
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
        let limit = Limit::new(&self.clock, self.id(), config, invocation.deadline);
        let work = run(self.handler.clone(), invocation.into(), busy);
        let mut task = Task::spawn(&self.guests, limit.clone(), work);
        match task.end().await {
            Ended::Done(reply) => Ok(self.respond(id, limit, reply)),
            Ended::Failed(error) => Ok(limit.failure(id, error)),
            Ended::Lost(error) => Err(error),
        }
    }

    fn health(&self) -> Health {
        self.guests.lifecycle.health()
    }

    fn failed(&self) -> BoxFuture<'static, String> {
        self.guests.lifecycle.failed()
    }

    async fn drain(&self, deadline: Monotonic) -> Result<()> {
        self.guests.lifecycle.drain(&*self.clock, deadline).await
    }
}
