//! The socket of one sandbox, and its connections that are idle.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_core::{Clock, Error, Result, SandboxId};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::codec::GREETING;
use super::wire::{Peek, Wire};
use crate::lifecycle::{Busy, Lifecycle};
use crate::sandbox_end::SandboxEnd;

/// Connections of one sandbox that are idle or greet us, at most; more are closed.
const CONNECTIONS: usize = 256;
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a guest may take to greet us.
const PATIENCE: Duration = Duration::from_secs(5);

/// A slot whose guest has to connect again; the other end of `watched` learns when it has.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) _busy: Busy,
    pub(super) _watched: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    idle: VecDeque<Wire>,
    owed: VecDeque<Owed>,
    ended: Option<SandboxEnd>,
    lifecycle: Option<Arc<Lifecycle>>,
}

/// Where a sandbox's connections meet its instance.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    change: Notify,
    /// Shared by the connections that are open.
    open: Arc<()>,
}

impl Gate {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // No panic can leave the state half changed.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends when a connection is idle; with `take`, it is the caller's.
    async fn wait<T>(
        &self,
        mut take: impl FnMut(&mut VecDeque<Wire>) -> Option<T>,
    ) -> Result<T, SandboxEnd> {
        loop {
            let change = self.change.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            let found = self.with(|state| match &state.ended {
                Some(ended) => Some(Err(ended.clone())),
                None => take(&mut state.idle).map(Ok),
            });
            match found {
                Some(found) => return found,
                None => change.await,
            }
        }
    }

    /// Ends when a guest is there.
    pub(super) async fn ready(&self) -> Result<(), SandboxEnd> {
        self.wait(|idle| (!idle.is_empty()).then_some(())).await
    }

    /// A connection that is idle, as far as we have heard.
    pub(super) async fn take(&self) -> Result<Wire, SandboxEnd> {
        let mut spoke = false;
        let idle = self.wait(|idle| {
            while let Some(mut wire) = idle.pop_front() {
                match wire.peek() {
                    Peek::Idle => return Some(Some(wire)),
                    Peek::Closed => {}
                    Peek::Spoke => spoke = true,
                }
            }
            spoke.then_some(None)
        });
        match idle.await? {
            Some(wire) => Ok(wire),
            None => Err(SandboxEnd::unreachable("its guest spoke out of turn")),
        }
    }

    /// Whether no guest is connected.
    pub(super) fn is_deserted(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    /// Ends with the sandbox.
    pub(super) async fn ended(&self) -> SandboxEnd {
        let ended = self.wait(|_| None::<std::convert::Infallible>).await;
        match ended {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    pub(super) fn attach(&self, lifecycle: Arc<Lifecycle>) {
        let ended = self.with(|state| {
            state.lifecycle = Some(lifecycle.clone());
            state.ended.clone()
        });
        if let Some(ended) = ended {
            lifecycle.fail(ended.why());
        }
    }

    /// A connection is idle again.
    pub(super) fn put(&self, wire: Wire) {
        self.with(|state| {
            if state.ended.is_none() && state.idle.len() < CONNECTIONS {
                state.idle.push_back(wire);
            }
        });
        self.change.notify_waiters();
    }

    /// A guest has connected: if it owes a slot, that is free again.
    fn admit(&self, wire: Wire) {
        let freed = self.with(|state| state.owed.pop_front());
        self.put(wire);
        drop(freed);
    }

    pub(super) fn owe(&self, owed: Owed) {
        let refused = self.with(|state| match state.ended {
            Some(_) => Some(owed),
            None => {
                state.owed.push_back(owed);
                None
            }
        });
        drop(refused);
    }

    /// Frees the slots that nobody waits for any longer; its instance has been given up.
    pub(super) fn forget(&self) {
        drop(self.with(|state| std::mem::take(&mut state.owed)));
    }

    pub(super) fn end(&self, ended: &SandboxEnd) {
        let (lifecycle, idle) = self.with(|state| {
            state.ended.get_or_insert_with(|| ended.clone());
            (state.lifecycle.clone(), std::mem::take(&mut state.idle))
        });
        if let Some(lifecycle) = lifecycle {
            lifecycle.fail(ended.why());
        }
        drop(idle);
        self.forget();
        self.change.notify_waiters();
    }
}

/// The listener of one sandbox; dropping it closes everything.
pub(super) struct Listener {
    pub(super) gate: Arc<Gate>,
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(sandbox: SandboxId, path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let listener = UnixListener::bind(path).map_err(|error| {
            let message = format!("no socket {} for {sandbox}: {error}", path.display());
            Error::unavailable("prepare sandbox", message).with_source(error)
        })?;
        let gate = Arc::<Gate>::default();
        let task = tokio::spawn(accept(listener, gate.clone(), clock));
        let path = path.to_owned();
        Ok(Self { gate, path, task })
    }

    /// Ends everything and waits until it has ended.
    pub(super) async fn stop(mut self, end: SandboxEnd) {
        self.gate.end(&end);
        self.task.abort();
        // It was told to stop; there is nothing to learn from how it did.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        self.gate
            .end(&SandboxEnd::unreachable("its socket is closed"));
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "a socket was gone before its sandbox");
        }
    }
}

async fn accept(listener: UnixListener, gate: Arc<Gate>, clock: Arc<dyn Clock>) {
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = greetings.join_next() => {}
            accepted = listener.accept(), if greetings.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(greetings.spawn(greet(stream, gate.clone(), clock.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "a connection of a sandbox was lost before it began");
                    // It may be for want of descriptors: others must close some first.
                    clock.sleep_until(clock.now() + PAUSE).await;
                }
            },
        }
    }
}

async fn greet(mut stream: UnixStream, gate: Arc<Gate>, clock: Arc<dyn Clock>) {
    // No frame is waited for, however long it says that it is: there is one greeting.
    let mut greeting = [0; GREETING.len()];
    let late = clock.sleep_until(clock.now() + PATIENCE);
    tokio::select! {
        read = stream.read_exact(&mut greeting) => match read {
            Ok(_) if greeting == GREETING => {
                let open = Some(gate.open.clone());
                gate.admit(Wire::new(stream, open));
            }
            other => tracing::debug!(?other, ?greeting, "not the greeting of a guest"),
        },
        () = late => tracing::debug!("a guest did not greet"),
    }
}
