//! [`Probe`]: an [`Invoker`] that remembers who was called, and holds or fails calls.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use faas_core::{
    Description, FunctionError, Invocation, Invoker, Payload, PrewarmHint, Response, Result,
};
use tokio::sync::watch;

/// Answers every call with its own input, unless told otherwise.
#[derive(Debug, Default)]
pub struct Probe {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<(String, Option<Arc<str>>)>,
    held: BTreeSet<String>,
    failing: BTreeSet<String>,
    running: usize,
}

/// Counts a call as long as its future lives.
struct Running<'a>(&'a Probe);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.running -= 1);
    }
}

impl Probe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !holds(&self.lock()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Calls of `function` do not answer until [`release`](Self::release).
    pub fn hold(&self, function: &str) {
        self.change(|state| {
            state.held.insert(function.into());
        });
    }

    /// Calls are no longer held.
    pub fn release(&self) {
        self.change(|state| state.held.clear());
    }

    /// Calls of `function` fail with `Probe.Failed`.
    pub fn fail(&self, function: &str) {
        self.change(|state| {
            state.failing.insert(function.into());
        });
    }

    /// Calls fail no longer.
    pub fn mend(&self) {
        self.change(|state| state.failing.clear());
    }

    /// The idempotency keys of the calls of `function`, in order.
    pub fn calls(&self, function: &str) -> Vec<Option<Arc<str>>> {
        let state = self.lock();
        let calls = state.calls.iter().filter(|(name, _)| name == function);
        calls.map(|(_, key)| key.clone()).collect()
    }

    /// Waits until `function` was called `count` times.
    pub async fn called(&self, function: &str, count: usize) {
        let calls = |state: &State| {
            state
                .calls
                .iter()
                .filter(|(name, _)| name == function)
                .count()
        };
        self.until(|state| calls(state) >= count).await;
    }

    /// Waits until no call runs.
    pub async fn idle(&self) {
        self.until(|state| state.running == 0).await;
    }
}

#[async_trait]
impl Invoker for Probe {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let name = invocation.function.name.to_string();
        let call = (name.clone(), invocation.idempotency_key.clone());
        self.change(|state| {
            state.running += 1;
            state.calls.push(call);
        });
        let _running = Running(self);
        self.until(|state| !state.held.contains(&name)).await;
        if self.lock().failing.contains(&name) {
            let error = FunctionError::new("Probe.Failed", "as it was told");
            return Ok(Response::failure(invocation.id, error));
        }
        let payload = Payload::new(
            invocation.payload.as_bytes().clone(),
            faas_core::ContentType::JSON,
        );
        Ok(Response::success(invocation.id, payload))
    }

    fn prewarm(&self, _: PrewarmHint) {}

    fn describe(&self) -> Description {
        Description::new("Probe")
    }
}
