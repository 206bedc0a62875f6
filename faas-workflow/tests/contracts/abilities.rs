//! What the engine can do beyond its contract's core.

mod children;
mod continued;
mod engines;
mod kept;
mod outside;
mod pipelined;
mod resources;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use faas_core::{
    Description, FunctionError, Invocation, Invoker, Payload, PrewarmHint, Response, Result,
};
use faas_workflow::{Ending, ExecutionHead};
use serde_json::Value;
use tokio::sync::watch;

/// Echoes; `fail` fails, `hang` hangs. Remembers what was called with which key.
pub(crate) struct Echo {
    calls: Mutex<Vec<(String, String, Value)>>,
    running: watch::Sender<usize>,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            calls: Mutex::default(),
            running: watch::Sender::new(0),
        }
    }
}

struct Running<'a>(&'a Echo);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Echo {
    /// Name, idempotency key and input of each call so far.
    pub(crate) fn calls(&self) -> Vec<(String, String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn called(&self, name: &str) -> Vec<(String, Value)> {
        let calls = self.calls().into_iter().filter(|call| call.0 == name);
        calls.map(|(_, key, input)| (key, input)).collect()
    }

    /// Waits until so many calls run at once.
    pub(crate) async fn running(&self, count: usize) {
        let mut running = self.running.subscribe();
        running.wait_for(|now| *now == count).await.unwrap();
    }
}

#[async_trait]
impl Invoker for Echo {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        let input: Value = invocation.payload.to_json()?;
        let name = invocation.function.name.to_string();
        let key = invocation.idempotency_key.as_deref().unwrap_or_default();
        let call = (name.clone(), key.to_owned(), input.clone());
        self.calls.lock().unwrap().push(call);
        self.running.send_modify(|running| *running += 1);
        let _running = Running(self);
        match name.as_str() {
            "hang" => std::future::pending().await,
            "fail" => {
                let error = FunctionError::new("Boom", "it broke");
                Ok(Response::failure(invocation.id, error))
            }
            _ => Ok(Response::success(invocation.id, Payload::json(&input)?)),
        }
    }

    fn prewarm(&self, _: PrewarmHint) {}

    fn describe(&self) -> Description {
        Description::new("Echo")
    }
}

pub(crate) fn echo() -> Arc<Echo> {
    Arc::new(Echo::default())
}

pub(crate) fn output(head: &ExecutionHead) -> Value {
    match &head.ending {
        Some(Ending::Succeeded(data)) => (**data).clone(),
        other => panic!("it ended as {other:?}"),
    }
}

pub(crate) fn failure(head: &ExecutionHead) -> String {
    match &head.ending {
        Some(Ending::Failed(error)) => error.kind.clone(),
        other => panic!("it ended as {other:?}"),
    }
}
