//! [`LambdaRuntime`]: the AWS Lambda Runtime API, version 2018-06-01.
//!
//! The sandbox calls us: it asks for the next invocation, posts its answer, and asks again. Each
//! sandbox has a listener of its own, so what calls there is that sandbox.

mod answer;
mod api;
mod call;
mod environment;
mod flight;
mod headers;
mod instance;
pub(crate) mod report;
mod server;
pub(crate) mod stream;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

use api::Api;
use server::Server;

use crate::sandbox_end::{START_TIMEOUT, SandboxEnd, ready_in_time};

/// The contract with runtimes and custom runtimes of AWS Lambda.
///
/// Lambda's API cannot cancel: an invocation that nobody waits for runs on, and its slot returns
/// when the runtime asks for the next one. One that exceeds its timeout makes its instance one to
/// replace. Answers in Lambda's streaming mode are passed on as they come, as fast as they are read.
#[derive(Clone)]
pub struct LambdaRuntime {
    name: HookName,
    clock: Arc<dyn Clock>,
    grace: Duration,
    start_timeout: Duration,
    servers: Arc<Mutex<HashMap<SandboxId, Server>>>,
}

impl fmt::Debug for LambdaRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LambdaRuntime").field(&self.name).finish()
    }
}

impl LambdaRuntime {
    /// A contract whose hook specs call `name`.
    pub fn new(name: HookName, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            clock,
            grace: Duration::from_secs(1),
            start_timeout: START_TIMEOUT,
            servers: Arc::default(),
        }
    }

    /// How long after its timeout a runtime that has answered may take to ask for more before its
    /// instance is given up; 1 s unless told otherwise.
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

    fn with_servers<T>(&self, work: impl FnOnce(&mut HashMap<SandboxId, Server>) -> T) -> T {
        // Nothing in here leaves the map half changed, so a poisoned one is as good as any.
        work(&mut self.servers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Listens for one sandbox, unless somebody does already.
    fn listen(&self, sandbox: SandboxId, at: SocketAddr) -> Result<SocketAddr> {
        // No await in here: dropping the caller's future leaves a server in the map or none.
        self.with_servers(|servers| match servers.get(&sandbox) {
            Some(server) => Ok(server.address),
            None => {
                let server = Server::start(sandbox, at, self.clock.clone())?;
                let address = server.address;
                servers.insert(sandbox, server);
                Ok(address)
            }
        })
    }

    fn api(&self, sandbox: SandboxId) -> Result<Arc<Api>> {
        let api = self.with_servers(|servers| servers.get(&sandbox).map(|s| s.api.clone()));
        api.ok_or_else(|| {
            Error::unavailable("connect", format!("sandbox {sandbox} was not prepared"))
        })
    }
}

#[async_trait]
impl Contract for LambdaRuntime {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        Some((self.name.clone(), Arc::new(self.clone())))
    }

    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Program, ExecutableKind::Image]
    }

    fn environment(&self, revision: &FunctionRevision) -> SandboxEnvironment {
        environment::environment(revision)
    }

    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let Endpoint::Address(Address::Hook) = connect.endpoint else {
            let message = format!("{:?}: a Lambda runtime calls us", connect.endpoint);
            return Err(Error::unsupported("connect", message));
        };
        let api = self.api(connect.sandbox)?;
        let ready = api.ready();
        ready_in_time(&*self.clock, self.start_timeout, connect.instance, ready).await?;
        let instance = instance::Instance::new(api, &connect, self.clock.clone(), self.grace);
        Ok(Arc::new(instance))
    }
}

#[async_trait]
impl SandboxHook for LambdaRuntime {
    fn needs(&self) -> Vec<ReachKind> {
        vec![ReachKind::Loopback, ReachKind::Gateway, ReachKind::Pod]
    }

    async fn prepare(&self, sandbox: SandboxId, reach: Option<Reach>) -> Result<Prepared> {
        let host = match reach {
            Some(Reach::Loopback) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(Reach::Gateway(host) | Reach::Pod(host)) => host,
            other => {
                let message = format!("a Lambda runtime cannot reach us by {other:?}");
                return Err(Error::unsupported("prepare sandbox", message));
            }
        };
        let address = self.listen(sandbox, SocketAddr::new(host, 0))?.to_string();
        let mut prepared = Prepared::default();
        prepared.cookie = Cookie(address.clone().into());
        prepared.environment = [
            (environment::RUNTIME_API.to_owned(), address),
            (environment::LOG_STREAM.to_owned(), sandbox.to_string()),
        ]
        .into();
        Ok(prepared)
    }

    async fn resume(&self, sandbox: SandboxId, _: Option<Reach>, cookie: &Cookie) -> Result<()> {
        let address = std::str::from_utf8(&cookie.0).ok();
        let address = address.and_then(|text| text.parse().ok()).ok_or_else(|| {
            Error::unsupported("resume sandbox", format!("{sandbox}: not a cookie of ours"))
        })?;
        self.listen(sandbox, address).map(drop)
    }

    async fn release(&self, sandbox: SandboxId, end: &ExitCause) {
        let server = self.with_servers(|servers| servers.remove(&sandbox));
        if let Some(server) = server {
            server.stop(&SandboxEnd::reported(end)).await;
        }
    }
}
