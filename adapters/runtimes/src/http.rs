//! [`Http`]: functions that are HTTP servers, as Knative's runtime contract has them.
//!
//! The function listens, and we call it: at the address that its node gives, or at a port of the
//! loopback interface that our hook has kept for it.

mod exchange;
mod head;
mod instance;
mod link;
mod port;
mod target;

use std::fmt;
use std::sync::Arc;
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

pub use head::{ERROR, METHOD, PATH, STATUS};
use port::{Ports, Tether};
use target::Target;

use crate::sandbox_end::{START_TIMEOUT, SandboxEnd, ready_in_time};

/// The variable that tells a function where to listen.
const PORT: &str = "PORT";
/// The port of functions that have an address of their own.
const DEFAULT_PORT: u16 = 8080;

/// The contract with functions that are HTTP/1.1 servers.
///
/// A function answers on `$PORT`, for any path. The invocation's attributes are the request's
/// headers, [`METHOD`] and [`PATH`] among them; the response's status and headers are attributes of
/// the answer. A status from 500 on is the function's failure `Http.<status>`, unless the header
/// [`ERROR`] names it. What has no `content-length` is passed on as it comes.
///
/// A call is cancelled by the end of its connection. The slot returns when the function has closed
/// its side as well: HTTP has no other sign of it.
#[derive(Clone)]
pub struct Http {
    hook: Option<HookName>,
    clock: Arc<dyn Clock>,
    grace: Duration,
    start_timeout: Duration,
    probe: Option<Arc<str>>,
    ports: Ports,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("hook", &self.hook)
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// The contract with functions whose node says where they are reached: by TCP at `$PORT` (8080),
    /// or at a Unix socket (that of `$FAAS_SOCKET` on a process node).
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            hook: None,
            clock,
            grace: Duration::from_secs(1),
            start_timeout: START_TIMEOUT,
            probe: None,
            ports: Ports::default(),
        }
    }

    /// The contract with functions that share our loopback interface, whose hook specs call `name`:
    /// it keeps a port for each sandbox, which nobody else is given.
    pub fn on_loopback(name: HookName, clock: Arc<dyn Clock>) -> Self {
        Self {
            hook: Some(name),
            ..Self::new(clock)
        }
    }

    /// A function is ready when it answers a `GET` of that path with a status below 400; unless told
    /// so, when it accepts a connection.
    #[must_use]
    pub fn probe(mut self, path: impl Into<Arc<str>>) -> Self {
        self.probe = Some(path.into());
        self
    }

    /// How long after its timeout a call that was cancelled may take to end before its instance is
    /// given up; 1 s unless told otherwise.
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

    fn target(&self, connect: &Connect) -> Result<(Target, Arc<Tether>)> {
        let tether = self.ports.get(connect.sandbox);
        let target = match (&connect.endpoint, &tether) {
            (Endpoint::Address(Address::Tcp(address)), _) => Target::Tcp(*address),
            (Endpoint::Address(Address::Unix(path)), _) => Target::Unix(path.clone()),
            (Endpoint::Dial(dial), _) => Target::Dial(dial.clone()),
            (Endpoint::Address(Address::Hook), Some(tether)) => Target::Tcp(tether.address()),
            (Endpoint::Address(Address::Hook), None) if self.hook.is_some() => {
                let message = format!("sandbox {} was not prepared", connect.sandbox);
                return Err(Error::unavailable("connect", message));
            }
            (endpoint, _) => {
                let message = format!("{endpoint:?} is not the address of an HTTP server");
                return Err(Error::unsupported("connect", message));
            }
        };
        Ok((target, tether.unwrap_or_default()))
    }
}

#[async_trait]
impl Contract for Http {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        let hook: Arc<dyn SandboxHook> = Arc::new(self.clone());
        self.hook.clone().map(|name| (name, hook))
    }

    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Program, ExecutableKind::Image]
    }

    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        let name = revision.function.name.to_string();
        let mut environment = SandboxEnvironment::default();
        environment.fixed = [
            (
                "K_REVISION".to_owned(),
                format!("{name}-{}", revision.number),
            ),
            ("K_CONFIGURATION".to_owned(), name.clone()),
            ("K_SERVICE".to_owned(), name),
        ]
        .into();
        match self.hook {
            Some(_) => environment.reserved = [PORT.to_owned()].into(),
            None => {
                let port = (PORT.to_owned(), DEFAULT_PORT.to_string());
                environment.fixed.extend([port]);
            }
        }
        environment
    }

    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let (target, tether) = self.target(&connect)?;
        let ready = async {
            tokio::select! {
                biased;
                end = tether.ended() => Err(end),
                () = target.ready(&*self.clock, self.probe.as_deref()) => Ok(()),
            }
        };
        ready_in_time(&*self.clock, self.start_timeout, connect.instance, ready).await?;
        let parts = instance::Parts {
            target,
            tether,
            clock: self.clock.clone(),
            grace: self.grace,
        };
        Ok(Arc::new(instance::Instance::new(parts, connect)))
    }
}

#[async_trait]
impl SandboxHook for Http {
    fn needs(&self) -> Vec<ReachKind> {
        vec![ReachKind::Loopback]
    }

    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
        check(reach.as_ref())?;
        let port = self.ports.keep(sandbox, None)?;
        let mut prepared = Prepared::default();
        prepared.environment = [(PORT.to_owned(), port.to_string())].into();
        prepared.cookie = Cookie(port.to_string().into());
        Ok(prepared)
    }

    async fn resume(
        &self,
        sandbox: SandboxId,
        reach: Option<Reach>,
        cookie: &Cookie,
    ) -> Result<()> {
        check(reach.as_ref())?;
        let port = std::str::from_utf8(&cookie.0).ok();
        let port = port.and_then(|port| port.parse().ok()).ok_or_else(|| {
            Error::unsupported("resume sandbox", format!("{sandbox}: not a cookie of ours"))
        })?;
        self.ports.keep(sandbox, Some(port)).map(drop)
    }

    async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
        self.ports.release(sandbox, SandboxEnd::reported(end));
    }
}

fn check(reach: Option<&Reach>) -> Result<()> {
    if matches!(reach, Some(Reach::Loopback)) {
        return Ok(());
    }
    let message = format!("a port of the loopback interface is not reached by {reach:?}");
    Err(Error::unsupported("prepare sandbox", message))
}
