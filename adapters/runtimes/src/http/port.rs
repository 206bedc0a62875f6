//! The ports that are kept for sandboxes, and what is known of their ends.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use faas_core::{Error, Result, SandboxId};
use tokio::net::TcpSocket;
use tokio::sync::watch;

use crate::lifecycle::Lifecycle;
use crate::sandbox_end::SandboxEnd;

/// What ties an instance to its sandbox.
#[derive(Debug, Default)]
pub(super) struct Tether {
    port: u16,
    /// Bound, and never listening: the system gives its port to nobody who asks for any, and lets the
    /// function, which asks for this one, have it beside us. (Both set `SO_REUSEADDR`, as servers do.)
    _kept: Option<TcpSocket>,
    lifecycle: Mutex<Option<Arc<Lifecycle>>>,
    end: watch::Sender<Option<SandboxEnd>>,
}

impl Tether {
    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Whether anybody will tell of the sandbox's end.
    pub(super) fn is_tied(&self) -> bool {
        self.port != 0
    }

    /// Ends with the sandbox, where anybody is told of that.
    pub(super) async fn ended(&self) -> SandboxEnd {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        match ended.ok().and_then(|end| end.clone()) {
            Some(end) => end,
            // The sender is ours and lives.
            None => SandboxEnd::unreachable("its sandbox is forgotten"),
        }
    }

    /// An instance takes the sandbox over.
    pub(super) fn attach(&self, lifecycle: &Arc<Lifecycle>) {
        let mut known = self
            .lifecycle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(lifecycle.clone());
        drop(known);
        let end = self.end.borrow().clone();
        if let Some(end) = end {
            lifecycle.fail(end.why());
        }
    }

    fn end(&self, end: &SandboxEnd) {
        self.end.send_replace(Some(end.clone()));
        let known = self
            .lifecycle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lifecycle = known.clone();
        drop(known);
        if let Some(lifecycle) = lifecycle {
            lifecycle.fail(end.why());
        }
    }
}

/// The ports of all sandboxes.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports(Arc<Mutex<HashMap<SandboxId, Arc<Tether>>>>);

impl Ports {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<SandboxId, Arc<Tether>>) -> T) -> T {
        // Nothing in here leaves the map half changed, so a poisoned one is as good as any.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, sandbox: SandboxId) -> Option<Arc<Tether>> {
        self.with(|ports| ports.get(&sandbox).cloned())
    }

    /// Keeps a port for a sandbox: any, or the one that it has.
    pub(super) fn keep(&self, sandbox: SandboxId, known: Option<u16>) -> Result<u16> {
        self.with(|ports| {
            if let Some(tether) = ports.get(&sandbox) {
                return Ok(tether.port);
            }
            let (port, kept) = match (bind(known.unwrap_or(0)), known) {
                (Ok((port, socket)), _) => (port, Some(socket)),
                // The function listens there already, and keeps it by that.
                (Err(_), Some(port)) => (port, None),
                (Err(error), None) => {
                    let message = format!("no port for sandbox {sandbox}: {error}");
                    return Err(Error::unavailable("prepare sandbox", message).with_source(error));
                }
            };
            let tether = Tether {
                port,
                _kept: kept,
                ..Tether::default()
            };
            ports.insert(sandbox, Arc::new(tether));
            Ok(port)
        })
    }

    pub(super) fn release(&self, sandbox: SandboxId, end: SandboxEnd) {
        if let Some(tether) = self.with(|ports| ports.remove(&sandbox)) {
            tether.end(&end);
        }
    }
}

fn bind(port: u16) -> std::io::Result<(u16, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok((socket.local_addr()?.port(), socket))
}
