//! A contract whose instances do what they are told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use faas_core::{Error, HookName, InstanceId, Invocation, Monotonic, Response, Result};
use faas_resource::SandboxHook;
use faas_resource::spec::ExecutableKind;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::contract::{Connect, Contract, SandboxEnvironment};
use crate::instance::{Health, Permit};
use crate::{FunctionInstance, FunctionRevision};

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Idle,
    Busy,
    Failed,
}

#[derive(Default)]
struct State {
    instances: BTreeMap<InstanceId, watch::Sender<Mood>>,
    refusals: u32,
}

/// A contract of handlers that connects to everything at once. A clone is the same contract.
#[derive(Clone, Default)]
pub struct Puppets(Arc<Mutex<State>>);

impl fmt::Debug for Puppets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puppets").finish_non_exhaustive()
    }
}

impl Puppets {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, instance: InstanceId, mood: Mood) {
        if let Some(sender) = self.state().instances.get(&instance) {
            sender.send_replace(mood);
        }
    }

    /// The next connections are refused, so many.
    pub fn refuse(&self, refusals: u32) {
        self.state().refusals = refusals;
    }

    /// An instance must be replaced.
    pub fn fail(&self, instance: InstanceId) {
        self.set(instance, Mood::Failed);
    }

    /// An instance has work that does not end by itself.
    pub fn occupy(&self, instance: InstanceId) {
        self.set(instance, Mood::Busy);
    }

    /// The work of an instance ends.
    pub fn release(&self, instance: InstanceId) {
        self.set(instance, Mood::Idle);
    }
}

struct Puppet {
    id: InstanceId,
    mood: watch::Receiver<Mood>,
}

#[async_trait]
impl FunctionInstance for Puppet {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, invocation: Invocation, _: Permit) -> Result<Response> {
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        let mut mood = self.mood.clone();
        async move {
            if mood.wait_for(|mood| *mood == Mood::Failed).await.is_err() {
                std::future::pending::<()>().await;
            }
            "it was told to".to_owned()
        }
        .boxed()
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        let mut mood = self.mood.clone();
        let drained = mood.wait_for(|mood| *mood != Mood::Busy).await;
        let lost = |_| Error::unavailable("drain instance", "its strings are cut");
        drained.map(drop).map_err(lost)
    }
}

#[async_trait]
impl Contract for Puppets {
    fn hook(&self) -> Option<(HookName, Arc<dyn SandboxHook>)> {
        None
    }
    fn executables(&self) -> Vec<ExecutableKind> {
        vec![ExecutableKind::Handler]
    }
    fn environment(&self, _: &FunctionRevision) -> SandboxEnvironment {
        SandboxEnvironment::default()
    }
    async fn connect(&self, connect: Connect) -> Result<Arc<dyn FunctionInstance>> {
        let mut state = self.state();
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(Error::unavailable("connect", "it does not speak"));
        }
        let (sender, mood) = watch::channel(Mood::Idle);
        let id = connect.instance;
        state.instances.insert(id, sender);
        Ok(Arc::new(Puppet { id, mood }))
    }
}
