//! What the cases play with: a registry that stands still, and instances that wait to be let go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use faas_core::explain::DecisionLog;
use faas_core::store::Revision;
use faas_core::{
    AliasName, Caller, Clock, Description, Error, HandlerName, IdSource, InstanceId, Invocation,
    Monotonic, Name, Namespace, Payload, Response, Result, RevisionNumber, RuntimeName, TokioClock,
};
use faas_resource::Executable;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::autoscaler::{RevisionId, RevisionLoad};
use crate::instance::{FunctionInstance, Health, Permit};
use crate::registry::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    MetadataStore, RegistryEvent,
};
use crate::router::{AddInstance, FunctionRouter};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many invocations the router under test may let wait for one revision.
pub const QUEUE: usize = 4;

/// What a router under test is made of. Its queue MUST hold [`QUEUE`] invocations of a revision.
#[derive(Clone)]
#[non_exhaustive]
pub struct Setup {
    /// The functions that the cases call.
    pub metadata: Arc<dyn MetadataStore>,
    /// The clock of the cases.
    pub clock: Arc<dyn Clock>,
    /// Where to record decisions.
    pub decisions: DecisionLog,
    /// How long the router MUST let an invocation without a deadline wait.
    pub longest_wait: Duration,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// Makes a fresh router.
pub type Factory = Arc<dyn Fn(Setup) -> BoxFuture<'static, Arc<dyn FunctionRouter>> + Send + Sync>;

pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Two revisions of one function, and an alias `split` that sends three quarters to the second.
struct Still {
    record: Arc<FunctionRecord>,
    revisions: BTreeMap<RevisionNumber, Arc<FunctionRevision>>,
}

impl Still {
    fn new() -> Self {
        let function = FunctionId {
            namespace: Namespace::default(),
            name: Name::new("worker").expect("a valid name"),
        };
        let runtime = RuntimeName::new("test").expect("a valid name");
        let handler = HandlerName::new("test").expect("a valid name");
        let mut config = FunctionConfig::new(runtime, Executable::Handler(handler));
        config.concurrency = 2;
        let revision = |number| {
            let number = RevisionNumber(number);
            let (function, config) = (function.clone(), config.clone());
            let revision = FunctionRevision {
                function,
                number,
                config,
            };
            (number, Arc::new(revision))
        };
        let revisions = BTreeMap::from([revision(1), revision(2)]);
        let split = AliasName::new("split").expect("a valid name");
        let alias = Alias {
            name: split.clone(),
            weights: [(RevisionNumber(1), 1), (RevisionNumber(2), 3)].into(),
        };
        let latest = revisions[&RevisionNumber(2)].clone();
        let aliases = [(split, alias)].into();
        let record = Arc::new(FunctionRecord::new(latest, aliases, Generation(1)));
        Self { record, revisions }
    }

    fn find(&self, function: &FunctionId) -> Result<&Self> {
        let unknown = || Error::not_found("get function", format!("{function} does not exist"));
        (*function == self.record.function)
            .then_some(self)
            .ok_or_else(unknown)
    }
}

fn fixed<T>() -> Result<T> {
    Err(Error::unsupported("change registry", "it stands still"))
}

#[async_trait]
impl MetadataStore for Still {
    async fn create(&self, _: FunctionId, _: FunctionConfig) -> Result<Arc<FunctionRecord>> {
        fixed()
    }
    async fn update(
        &self,
        _: &FunctionId,
        _: FunctionConfig,
        _: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        fixed()
    }
    async fn set_alias(
        &self,
        _: &FunctionId,
        _: AliasChange,
        _: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        fixed()
    }
    async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
        Ok(self.find(function)?.record.clone())
    }
    async fn revision(
        &self,
        function: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        let unknown = || Error::not_found("get revision", format!("{function} has no {number}"));
        let found = self.find(function)?.revisions.get(&number);
        found.cloned().ok_or_else(unknown)
    }
    async fn list(&self, _: Option<Namespace>) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        Ok((vec![self.record.clone()], Revision(1)))
    }
    async fn delete(&self, _: &FunctionId, _: Option<Generation>) -> Result<()> {
        fixed()
    }
    fn watch(&self, _: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        futures::stream::pending().boxed()
    }
    fn describe(&self) -> Description {
        Description::new("Still")
    }
}

/// An instance whose invocations end when they are let go.
pub(super) struct Worker {
    id: InstanceId,
    running: AtomicU32,
    pub(super) most: AtomicU32,
    pub(super) served: AtomicU32,
    gate: Semaphore,
}

/// Counts one out however its invocation ends.
struct Counted<'a>(&'a Worker);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl FunctionInstance for Worker {
    fn id(&self) -> InstanceId {
        self.id
    }
    async fn invoke(&self, invocation: Invocation, permit: Permit) -> Result<Response> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.served.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(self);
        if let Ok(let_go) = self.gate.acquire().await {
            let_go.forget();
        }
        drop(counted);
        drop(permit);
        Ok(Response::success(invocation.id, invocation.payload))
    }
    fn health(&self) -> Health {
        Health::Ready
    }
    fn failed(&self) -> BoxFuture<'static, String> {
        futures::future::pending().boxed()
    }
    async fn drain(&self, _: Monotonic) -> Result<()> {
        Ok(())
    }
}

impl Worker {
    /// Lets so many invocations end.
    pub(super) fn let_go(&self, count: usize) {
        self.gate.add_permits(count);
    }
}

/// A router, and the hands that play with it.
pub(super) struct Stage {
    pub(super) router: Arc<dyn FunctionRouter>,
    still: Arc<Still>,
    pub(super) clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Stage {
    pub(super) async fn new(factory: &Factory) -> Self {
        Self::with(factory, Duration::from_secs(600)).await
    }

    pub(super) async fn with(factory: &Factory, longest_wait: Duration) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let ids = IdSource::new(clock.clone(), 1);
        let still = Arc::new(Still::new());
        let setup = Setup {
            metadata: still.clone(),
            clock: clock.clone(),
            decisions: DecisionLog::new(clock.clone(), ids.clone()),
            longest_wait,
        };
        let router = within("make a router", factory(setup)).await;
        Self {
            router,
            still,
            clock,
            ids,
        }
    }

    /// Adds an instance of a revision.
    pub(super) fn add(&self, revision: u64) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            id: self.ids.next(),
            running: AtomicU32::new(0),
            most: AtomicU32::new(0),
            served: AtomicU32::new(0),
            gate: Semaphore::new(0),
        });
        let revision = self.still.revisions[&RevisionNumber(revision)].clone();
        self.router.add(AddInstance::new(revision, worker.clone()));
        worker
    }

    /// The id of a revision.
    pub(super) fn revision(&self, number: u64) -> RevisionId {
        RevisionId {
            function: self.still.record.function.clone(),
            number: RevisionNumber(number),
        }
    }

    /// A call of a function.
    pub(super) fn call(&self, function: &str) -> Invocation {
        let function = function.parse().expect("a valid reference");
        Invocation::new(self.ids.next(), function, Payload::text("hello"))
    }

    /// Invokes in a task.
    pub(super) fn start(&self, call: Invocation) -> JoinHandle<Result<Response>> {
        let router = self.router.clone();
        tokio::spawn(async move { router.invoke(call).await })
    }

    /// Invokes in a task, for a tenant.
    pub(super) fn start_for(&self, tenant: &str) -> JoinHandle<Result<Response>> {
        let tenant = Namespace::new(tenant).expect("a valid name");
        self.start(self.call("worker").with_caller(Caller::of(tenant)))
    }

    /// Waits until the newest revision's load is as it should be.
    pub(super) async fn until(&self, what: &str, right: impl Fn(&RevisionLoad) -> bool) {
        let mut demand = self.router.demand();
        let reached = async {
            loop {
                let (id, load) = demand.next().await.expect("demand does not end");
                if id.number == RevisionNumber(2) && right(&load) {
                    return;
                }
            }
        };
        within(what, reached).await;
    }
}
