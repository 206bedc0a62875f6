//! [`InProcess`]: functions that are closures of this process.

mod inline;
mod instance;
mod pace;
mod stream;
mod task;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Clock, Error, Handler, HandlerName, HandlerRegistry, HookName, Result};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::instance::FunctionInstance;
use faas_function::registry::FunctionRevision;
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::SandboxHook;
use faas_resource::spec::ExecutableKind;
use tokio::runtime::Handle;

use crate::lifecycle::Lifecycle;
use instance::Instance;
use pace::Pace;
use task::Guests;
use watch::Watch;

/// How long a task that was told to stop may take to yield.
const GRACE: Duration = Duration::from_secs(1);

/// The contract with handlers of this process.
///
/// A panic is the function's failure, a timeout holds, and dropping the invocation stops the call.
/// Handlers are looked up once per connection; there is no hook.
///
/// # Where a handler runs
///
/// A task for each call would cost more than most handlers do. So a call is polled on the task of
/// whoever called, without a timer until it has to wait, if the last call of its instance yielded
/// within 100 µs each time that it was polled. All else is a task of its own: an instance's first
/// call and the first after some seconds without any, the calls of handlers that compute, calls that other functions make within several others
/// (the stack is one), and all calls with a [`guest_runtime`](Self::guest_runtime). What that means:
///
/// - Calls that are polled together (by `join_all`, say) run on as many threads as there are only if
///   their handler computes for longer than that.
/// - A handler that never yields cannot be stopped. It keeps its permit, and a grace after its
///   timeout its instance reports that it must be replaced. If it ran on a task of its own, whoever
///   called is told `Function.Timeout` in time; if it was prompt until now and then was not, whoever
///   called waits until it yields. Others are not disturbed, but for the thread that it occupies.
/// - Code that is not trusted to yield belongs on a [`guest_runtime`](Self::guest_runtime).
#[derive(Clone)]
pub struct InProcess {
    registry: Arc<dyn HandlerRegistry>,
    clock: Arc<dyn Clock>,
    guests: Option<Handle>,
    grace: Duration,
    watch: Arc<Watch>,
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
            watch: Watch::new(clock.clone(), GRACE),
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
        self.watch = Watch::new(self.clock.clone(), grace);
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
        let lifecycle = Lifecycle::new(connect.instance);
        let guests = Guests {
            guests: self.guests.clone(),
            watched: self.watch.over(&lifecycle, platform.clone()),
            platform,
            clock: self.clock.clone(),
            grace: self.grace,
            lifecycle,
            pace: Pace::default(),
        };
        Ok(Arc::new(Instance {
            handler,
            revision: connect.revision,
            guests: Arc::new(guests),
        }))
    }
}
