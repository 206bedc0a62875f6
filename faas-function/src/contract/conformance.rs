//! The suite of [`Contract`]: one case for each rule of its contract.
//!
//! Cases drive real things (sockets, files), so they use real time, bounded by
//! [`Fixture::patience`].

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{ErrorKind, InstanceId, Invocation, InvocationId, Payload, Result, SandboxId};
use faas_resource::agent::ExitCause;
use faas_resource::hook::{Prepared, Reach, ReachKind};
use faas_resource::{Endpoint, SandboxHook};
use futures::future::BoxFuture;

use super::{Connect, Contract};
use crate::instance::{FunctionInstance, Permit, SlotOwner};
use crate::registry::FunctionRevision;

/// From where a sandbox will reach us; makes what a node would make for it (a directory).
pub type ReachOf = Box<dyn Fn(SandboxId, ReachKind) -> Option<Reach> + Send + Sync>;
/// Where a sandbox can be reached, as its node would say.
pub type EndpointOf = Box<dyn Fn(SandboxId) -> Endpoint + Send + Sync>;
/// A guest that runs; dropping it ends it.
pub type Guest = Box<dyn Any + Send>;
/// Starts a guest with a [`Subject`](crate::instance::conformance::Subject) in a sandbox, with the environment that its node gives it.
pub type Start =
    Box<dyn Fn(SandboxId, BTreeMap<String, String>) -> BoxFuture<'static, Guest> + Send + Sync>;
/// What is left of a sandbox outside of the contract: files, listeners.
pub type LeftOf = Box<dyn Fn(SandboxId) -> Option<String> + Send + Sync>;

/// A fresh contract, and what is around it.
#[non_exhaustive]
pub struct Fixture {
    /// The contract; it has connected nothing yet.
    pub contract: Arc<dyn Contract>,
    /// The revision that its sandboxes run.
    pub revision: Arc<FunctionRevision>,
    /// The kinds of reach that the node offers, and what they are.
    pub reach: ReachOf,
    /// Where a sandbox can be reached.
    pub endpoint: EndpointOf,
    /// Starts what runs in a sandbox.
    pub start: Start,
    /// An endpoint of a kind that the contract cannot use; `None` if it can use all.
    pub foreign: Option<Endpoint>,
    /// What is left of a sandbox.
    pub left: LeftOf,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the contract.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// A permit that nobody waits for.
struct Nobody;

impl SlotOwner for Nobody {
    fn released(&self, _: InstanceId) {}
}

type Connected = Result<Arc<dyn FunctionInstance>>;

impl Fixture {
    /// A contract whose sandboxes are reached at `endpoint`, needs no reach, can use every kind of
    /// endpoint, and leaves nothing; the other fields can be set.
    pub fn new(
        contract: Arc<dyn Contract>,
        revision: Arc<FunctionRevision>,
        endpoint: EndpointOf,
        start: Start,
    ) -> Self {
        Self {
            contract,
            revision,
            reach: Box::new(|_, _| None),
            endpoint,
            start,
            foreign: None,
            left: Box::new(|_| None),
            patience: Duration::from_secs(10),
            keep: Box::new(()),
        }
    }

    async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    fn hook(&self) -> Option<Arc<dyn SandboxHook>> {
        self.contract.hook().map(|(_, hook)| hook)
    }

    async fn prepare(&self, sandbox: SandboxId) -> Prepared {
        let Some(hook) = self.hook() else {
            return Prepared::default();
        };
        let mut needs = hook.needs().into_iter();
        let reach = needs.find_map(|kind| (self.reach)(sandbox, kind));
        let prepared = self.soon("prepare", hook.prepare(sandbox, reach)).await;
        prepared.expect("its hook prepares a sandbox")
    }

    /// Tells the hook that a sandbox is gone.
    async fn end(&self, sandbox: SandboxId) {
        if let Some(hook) = self.hook() {
            let released = hook.release(sandbox, &ExitCause::Stopped);
            self.soon("release", released).await;
        }
    }

    async fn release(&self, sandbox: SandboxId) {
        self.end(sandbox).await;
        let left = (self.left)(sandbox);
        assert!(left.is_none(), "left of it: {}", left.unwrap_or_default());
    }

    fn connect(&self, sandbox: SandboxId) -> BoxFuture<'static, Connected> {
        let instance = InstanceId::from_u128(sandbox.as_u128());
        let endpoint = (self.endpoint)(sandbox);
        let connect = Connect::new(sandbox, instance, endpoint, self.revision.clone());
        let contract = self.contract.clone();
        Box::pin(async move { contract.connect(connect).await })
    }

    async fn start(&self, sandbox: SandboxId, prepared: &Prepared) -> Guest {
        let own = &self.revision.config.environment;
        let mut environment = self.contract.environment(&self.revision).merge(own);
        environment.extend(prepared.environment.clone());
        let started = (self.start)(sandbox, environment);
        self.soon("the start of the guest", started).await
    }

    /// Whether an instance takes an invocation at once.
    async fn serves(&self, instance: &Arc<dyn FunctionInstance>) {
        let function = "subject".parse().expect("a name");
        let payload = Payload::text("echo hello");
        let invocation = Invocation::new(InvocationId::from_u128(1), function, payload);
        let permit = Permit::new(Arc::new(Nobody), instance.id());
        let answer = self
            .soon("the answer", instance.invoke(invocation, permit))
            .await;
        let answer = answer.expect("it takes invocations").collect(64);
        let answer = self.soon("the body", answer).await.expect("it ends");
        assert_eq!(answer.payload.as_bytes(), "hello");
    }
}

/// A case by name.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// All cases.
        pub const CASES: &[(&str, Case)] =
            &[$((stringify!($case), |fixture| Box::pin($case(fixture)))),*];
    };
}
cases! {
    connects_when_ready ends_with_the_sandbox refuses_foreign cancel_safe hook_matches
    environment_is_pure
}

/// Expands to one `#[tokio::test]` per rule of [`Contract`](crate::Contract)'s contract. Takes an
/// `async` closure that makes a fresh [`Fixture`](crate::contract::conformance::Fixture) of a
/// [`Subject`](crate::instance::conformance::Subject); put it into a module of its own.
#[macro_export]
macro_rules! contract_conformance {
    ($factory:expr) => {
        $crate::contract_conformance! { @cases $factory;
            connects_when_ready ends_with_the_sandbox refuses_foreign cancel_safe hook_matches
            environment_is_pure
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let subject = $crate::instance::conformance::Subject::default();
            $crate::contract::conformance::$case(($factory)(subject).await).await;
        }
    )*};
}

const SANDBOX: SandboxId = SandboxId::from_u128(1);

/// Polls a future some times; what it answers, if it does.
async fn poll<T>(future: &mut BoxFuture<'static, T>, times: u32) -> Option<T> {
    for _ in 0..times {
        if let std::task::Poll::Ready(answer) = futures::poll!(future.as_mut()) {
            return Some(answer);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// "`connect` answers when the sandbox takes invocations; readiness is pushed by the sandbox, not
/// polled."
pub async fn connects_when_ready(fixture: Fixture) {
    let prepared = fixture.prepare(SANDBOX).await;
    let mut connect = fixture.connect(SANDBOX);
    let early = poll(&mut connect, 50).await;
    let ready = matches!(early, Some(Ok(_)));
    assert!(!ready, "it is connected to what does not run");
    let _guest = fixture.start(SANDBOX, &prepared).await;
    // What did not wait may be asked again.
    let connect = if early.is_some() {
        fixture.connect(SANDBOX)
    } else {
        connect
    };
    let connected = fixture.soon("connect", connect).await;
    let instance = connected.expect("its guest is ready");
    assert_eq!(instance.id(), InstanceId::from_u128(SANDBOX.as_u128()));
    fixture.serves(&instance).await;
    fixture.release(SANDBOX).await;
}

/// "A `connect` that waits answers `Unavailable` when the hook is told that the sandbox is gone."
pub async fn ends_with_the_sandbox(fixture: Fixture) {
    if fixture.hook().is_none() {
        return;
    }
    fixture.prepare(SANDBOX).await;
    let mut connect = fixture.connect(SANDBOX);
    let early = poll(&mut connect, 20).await;
    fixture.end(SANDBOX).await;
    let connected = match early {
        Some(connected) => connected,
        None => fixture.soon("the end of connect", connect).await,
    };
    let error = connected.err().expect("nothing runs there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.message().is_empty(), "it must say why");
    fixture.release(SANDBOX).await;
}

/// "An endpoint of a kind that it cannot use answers `Unsupported`."
pub async fn refuses_foreign(fixture: Fixture) {
    let Some(foreign) = fixture.foreign.clone() else {
        return;
    };
    fixture.prepare(SANDBOX).await;
    let instance = InstanceId::from_u128(1);
    let connect = Connect::new(SANDBOX, instance, foreign, fixture.revision.clone());
    let refused = fixture.contract.connect(connect);
    let refused = fixture.soon("the refusal", refused).await;
    let error = refused.err().expect("it cannot use that endpoint");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    fixture.release(SANDBOX).await;
}

/// "Dropping the future of `connect` leaves no connection or task, and it can be called again."
pub async fn cancel_safe(fixture: Fixture) {
    for polls in 0..6 {
        let sandbox = SandboxId::from_u128(u128::from(polls) + 1);
        let prepared = fixture.prepare(sandbox).await;
        let mut connect = fixture.connect(sandbox);
        poll(&mut connect, polls).await;
        drop(connect);
        let guest = fixture.start(sandbox, &prepared).await;
        // Once more, with a guest that is there.
        let mut connect = fixture.connect(sandbox);
        let early = poll(&mut connect, polls).await;
        drop((connect, early));
        let connected = fixture.soon("connect", fixture.connect(sandbox)).await;
        fixture
            .serves(&connected.expect("its guest is ready"))
            .await;
        drop(guest);
        fixture.release(sandbox).await;
    }
}

/// "`hook` names a hook if and only if the contract needs one."
pub async fn hook_matches(fixture: Fixture) {
    let name = |contract: &dyn Contract| contract.hook().map(|(name, _)| name);
    let first = name(&*fixture.contract);
    assert_eq!(name(&*fixture.contract), first, "its name changes");
    if first.is_none() {
        // Without a hook nothing was prepared, and that is enough.
        let _guest = fixture.start(SANDBOX, &Prepared::default()).await;
        let connected = fixture.soon("connect", fixture.connect(SANDBOX)).await;
        fixture.serves(&connected.expect("it needs no hook")).await;
        return;
    }
    let connected = fixture.soon("connect", fixture.connect(SANDBOX)).await;
    let error = connected.err().expect("its hook has prepared nothing");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// "`environment` answers the same for the same revision, names a variable in one of its parts only,
/// and reserves what the hook prepares."
pub async fn environment_is_pure(fixture: Fixture) {
    let environment = fixture.contract.environment(&fixture.revision);
    assert_eq!(fixture.contract.environment(&fixture.revision), environment);
    let parts = environment.defaults.keys().chain(environment.fixed.keys());
    let parts = parts
        .chain(&environment.code_root)
        .chain(&environment.reserved);
    let mut seen = std::collections::BTreeSet::new();
    for name in parts {
        assert!(seen.insert(name), "{name} stands in two parts");
    }
    let prepared = fixture.prepare(SANDBOX).await;
    for name in prepared.environment.keys() {
        assert!(
            environment.reserved.contains(name),
            "{name} is not reserved"
        );
    }
    fixture.release(SANDBOX).await;
}
