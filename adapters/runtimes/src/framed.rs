//! [`FramedSocket`]: length-prefixed frames over a Unix socket that the sandbox dials.
//!
//! The guest connects once per slot and serves one invocation at a time per connection. Closing a
//! connection cancels its call; the guest connects again when it is idle.

pub mod codec;
mod gate;
pub mod guest;
mod instance;
mod session;
mod wire;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::{Clock, Error, HookName, Result, SandboxId};
use faas_function::contract::{Connect, Contract, SandboxEnvironment};
use faas_function::instance::FunctionInstance;
use faas_function::registry::FunctionRevision;
use faas_resource::agent::ExitCause;
use faas_resource::endpoint::{Address, Endpoint};
use faas_resource::hook::{Cookie, Prepared, Reach, ReachKind, SandboxHook};
use faas_resource::spec::ExecutableKind;

use gate::Listener;

use crate::sandbox_end::{START_TIMEOUT, SandboxEnd, ready_in_time};

/// The variable that tells a guest where to connect to.
pub const SOCKET: &str = "FAAS_SOCKET";
/// The variable that tells a guest which function it is: `namespace/name@revision`.
pub const FUNCTION: &str = "FAAS_FUNCTION";
/// The variable that tells a guest how many invocations it gets at once.
pub const CONCURRENCY: &str = "FAAS_CONCURRENCY";
const FILE: &str = "faas.sock";

/// The contract with guests that speak [frames](codec).
#[derive(Clone)]
pub struct FramedSocket {
    name: HookName,
    clock: Arc<dyn Clock>,
    grace: Duration,
    start_timeout: Duration,
    listeners: Arc<Mutex<HashMap<SandboxId, Listener>>>,
}

impl fmt::Debug for FramedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FramedSocket").field(&self.name).finish()
    }
}

impl FramedSocket {
    /// A contract whose hook specs call `name`.
    pub fn new(name: HookName, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            clock,
            grace: Duration::from_secs(1),
            start_timeout: START_TIMEOUT,
            listeners: Arc::default(),
        }
    }

    /// How long after its timeout a cancelled guest may take to connect again before its instance
    /// is given up; 1 s unless told otherwise.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long after its start a sandbox may take to get ready before it is given up; 60 s unless
    /// told otherwise.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<SandboxId, Listener>) -> T) -> T {
        // Nothing in here leaves the map half changed, so a poisoned one is as good as any.
        work(
            &mut self
                .listeners
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// No await in here: dropping the caller's future leaves a listener in the map or none.
    fn listen(&self, sandbox: SandboxId, directory: &Path) -> Result<()> {
        self.with(|listeners| {
            if let Entry::Vacant(vacant) = listeners.entry(sandbox) {
                let path = directory.join(FILE);
                let listener = Listener::start(sandbox, &path, self.clock.clone())?;
                vacant.insert(listener);
            }
            Ok(())
        })
    }
}

#[async_trait]
impl Contract for FramedSocket {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        Some((self.name.clone(), Arc::new(self.clone())))
    }

    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Program, ExecutableKind::Image]
    }

    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        let mut environment = SandboxEnvironment::default();
        let function = format!("{}@{}", revision.function, revision.number);
        environment.fixed = [
            (FUNCTION.to_owned(), function),
            (
                CONCURRENCY.to_owned(),
                revision.config.concurrency.to_string(),
            ),
        ]
        .into();
        environment.reserved = [SOCKET.to_owned()].into();
        environment
    }

    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let Endpoint::Address(Address::Hook) = connect.endpoint else {
            let message = format!("{:?}: the guest calls us", connect.endpoint);
            return Err(Error::unsupported("connect", message));
        };
        let sandbox = connect.sandbox;
        let gate = self.with(|listeners| listeners.get(&sandbox).map(|l| l.gate.clone()));
        let gate = gate.ok_or_else(|| {
            Error::unavailable("connect", format!("sandbox {sandbox} was not prepared"))
        })?;
        let ready = gate.ready();
        ready_in_time(&*self.clock, self.start_timeout, connect.instance, ready).await?;
        let clock = self.clock.clone();
        Ok(Arc::new(instance::Instance::new(
            gate, connect, clock, self.grace,
        )))
    }
}

#[async_trait]
impl SandboxHook for FramedSocket {
    fn needs(&self) -> Vec<ReachKind> {
        vec![ReachKind::Mount]
    }

    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
        let Some(Reach::Mount { host, guest }) = reach else {
            let message = format!("a guest cannot reach our socket by {reach:?}");
            return Err(Error::unsupported("prepare sandbox", message));
        };
        let path = guest.join(FILE).into_os_string().into_string();
        let path = path.map_err(|path| {
            Error::unsupported("prepare sandbox", format!("{path:?} is not UTF-8"))
        })?;
        self.listen(sandbox, &host)?;
        let mut prepared = Prepared::default();
        prepared.environment.insert(SOCKET.to_owned(), path);
        Ok(prepared)
    }

    /// Refuses: a guest that has lost its socket has ended.
    async fn resume(&self, sandbox: SandboxId, _: Option<Reach>, _: &Cookie) -> Result<()> {
        let message = format!("{sandbox}: a guest ends with its socket");
        Err(Error::unsupported("resume sandbox", message))
    }

    async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
        let listener = self.with(|listeners| listeners.remove(&sandbox));
        if let Some(listener) = listener {
            listener.stop(SandboxEnd::reported(end)).await;
        }
    }
}
