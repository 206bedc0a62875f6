//! What the cases are given, and what they share.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use faas_core::body::FrameStream;
use faas_core::{
    Clock, Completed, Error, ErrorKind, Frame, FunctionError, InstanceId, Invocation, InvocationId,
    Outcome, Payload, Response, Result, Retry, Trailer,
};
use faas_resource::agent::ExitCause;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::Subject;
use crate::instance::{FunctionInstance, Health, Permit, SlotOwner};
use crate::registry::FunctionConfig;

/// How the function of a case is configured.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Setup {
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Bytes of a response at most.
    pub response_limit: u64,
    /// How many invocations at once.
    pub concurrency: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            response_limit: 1 << 20,
            concurrency: 1,
        }
    }
}

impl Setup {
    /// Configures a function so.
    pub fn apply(&self, config: &mut FunctionConfig) {
        config.timeout = self.timeout;
        config.response_limit = self.response_limit;
        config.concurrency = self.concurrency;
    }
}

/// Ends the sandbox of an instance, as if its agent had reported that cause.
pub type End = Box<dyn Fn(ExitCause) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fresh instance, whose sandbox runs a [`Subject`].
#[non_exhaustive]
pub struct Fixture {
    /// The instance; it has run nothing yet.
    pub instance: Arc<dyn FunctionInstance>,
    /// What runs in its sandbox.
    pub subject: Subject,
    /// The clock that the instance has.
    pub clock: Arc<dyn Clock>,
    /// Ends its sandbox; `None` if it cannot end before this process does.
    pub end: Option<End>,
    /// Whether a call that nobody waits for is stopped, as opposed to run to its end.
    pub cancels: bool,
    /// Whether a response's body can stream.
    pub streams: bool,
    /// How long anything may take: 10 s unless it is changed.
    pub patience: Duration,
    /// What must live as long as the instance: contracts, guests, directories.
    pub keep: Box<dyn Any + Send + Sync>,
    slots: Arc<Slots>,
}

/// Makes a fixture for a setup.
pub type Factory = Arc<dyn Fn(Setup) -> BoxFuture<'static, Fixture> + Send + Sync>;

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

impl Fixture {
    /// An instance that cancels and streams, and whose sandbox cannot end by itself; the other
    /// fields can be set.
    pub fn new(
        instance: Arc<dyn FunctionInstance>,
        subject: Subject,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let slots = Arc::new(Slots::default());
        let known = slots.instance.set(Arc::downgrade(&instance));
        assert!(known.is_ok(), "it is set once");
        Self {
            instance,
            subject,
            clock,
            end: None,
            cancels: true,
            streams: true,
            patience: Duration::from_secs(10),
            keep: Box::new(()),
            slots,
        }
    }

    pub(super) async fn soon<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(self.patience, future).await;
        bounded.unwrap_or_else(|_| panic!("{what} took longer than {:?}", self.patience))
    }

    /// The commands to keep a call in the function until it is let go on.
    pub(super) fn waiting(&self) -> &'static [&'static str] {
        match self.streams {
            true => &["hold", "wait"],
            false => &["hold"],
        }
    }

    pub(super) fn permit(&self) -> Permit {
        Permit::new(self.slots.clone(), self.instance.id())
    }

    /// How many slots came back.
    pub(super) fn freed(&self) -> usize {
        *self.slots.freed.borrow()
    }

    /// Waits until so many slots came back.
    pub(super) async fn until_freed(&self, count: usize) {
        let mut freed = self.slots.freed.subscribe();
        let enough = freed.wait_for(|freed| *freed >= count);
        let enough = self.soon("the return of the slot", enough).await;
        assert!(enough.is_ok(), "we hold the sender");
    }

    /// How the instance was each time a slot came back.
    pub(super) fn healths(&self) -> Vec<Health> {
        let healths = self.slots.healths.lock();
        healths.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Result<Response>> {
        let (instance, permit) = (self.instance.clone(), self.permit());
        Box::pin(async move { instance.invoke(invocation, permit).await })
    }

    pub(super) async fn call(&self, command: &str) -> Result<Response> {
        let answer = self.invoke(invocation(command));
        self.soon("the answer", answer).await
    }

    /// Starts a call that is in the function when this answers.
    pub(super) async fn start(&self, invocation: Invocation) -> Running {
        let before = self.subject.count();
        let running = self.spawn(invocation);
        let begun = self.subject.begun(before + 1);
        self.soon("the beginning of the call", begun).await;
        running
    }

    pub(super) fn spawn(&self, invocation: Invocation) -> Running {
        Running(tokio::spawn(self.invoke(invocation)))
    }

    pub(super) async fn complete(&self, response: Response) -> Completed {
        let collected = self.soon("the body", response.collect(16 << 20)).await;
        collected.expect("a body that ends with a trailer")
    }

    /// The failure that a call ends with.
    pub(super) async fn failure(&self, answer: Result<Response>) -> FunctionError {
        let response = answer.expect("a failure of the function is a response");
        match self.complete(response).await.trailer.outcome {
            Outcome::Failure(error) => error,
            Outcome::Success => panic!("it succeeded"),
        }
    }

    /// Whether it serves: one call, from its permit to the return of its slot.
    pub(super) async fn serves(&self) {
        let before = self.freed();
        let invocation = invocation("echo again");
        let id = invocation.id;
        let answer = self.soon("the answer", self.invoke(invocation)).await;
        let answer = self.complete(answer.expect("it serves")).await;
        assert_eq!(answer.id, id, "the answer is of another invocation");
        assert_eq!(answer.payload.as_bytes(), "again");
        assert_eq!(answer.trailer.outcome, Outcome::Success);
        self.until_freed(before + 1).await;
        assert_eq!(self.instance.health(), Health::Ready);
    }

    /// Its sandbox has ended: it says so, and is given nothing more.
    pub(super) async fn gone(&self) {
        let reason = self.soon("`failed`", self.instance.failed()).await;
        assert!(!reason.is_empty(), "it must say why");
        assert!(matches!(self.instance.health(), Health::Failed(_)));
        unavailable(self.call("echo late").await, Retry::Safe);
    }
}

/// A call that is in the function.
pub(super) struct Running(tokio::task::JoinHandle<Result<Response>>);

impl Running {
    /// What came of it, all of its body.
    pub(super) async fn end(self, fixture: &Fixture) -> Result<Trailer> {
        let answer = fixture.soon("the answer", self.0).await;
        let response = answer.expect("no panic")?;
        let mut frames = response.body.into_frames();
        while let Some(frame) = fixture.soon("the body", frames.next()).await {
            if let Frame::Trailer(trailer) = frame? {
                return Ok(trailer);
            }
        }
        panic!("a body without a trailer")
    }

    /// Its body, of which the first data is here.
    pub(super) async fn first(self, fixture: &Fixture) -> (String, FrameStream) {
        let answer = fixture.soon("the head", self.0).await;
        let response = answer.expect("no panic").expect("it answers");
        assert!(
            !response.body.is_whole(),
            "what is not here yet is not whole"
        );
        let mut frames = response.body.into_frames();
        match fixture.soon("the first data", frames.next()).await {
            Some(Ok(Frame::Data(data))) => (String::from_utf8_lossy(&data).into_owned(), frames),
            other => panic!("{other:?} instead of data"),
        }
    }

    /// Nobody waits for it any longer: neither for its answer nor for the rest of it.
    pub(super) async fn abandon(self) {
        self.0.abort();
        if let Ok(Ok(response)) = self.0.await {
            drop(response);
        }
    }
}

/// An invocation of the subject, with an id of its own.
pub(super) fn invocation(command: &str) -> Invocation {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = InvocationId::from_u128(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)));
    let function = "subject".parse().expect("a name");
    Invocation::new(id, function, Payload::text(command.to_owned()))
}

pub(super) fn unavailable<T>(answer: Result<T>, retry: Retry) -> Error {
    let error = answer.err().expect("an error of the platform");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.retry(), retry, "{error}");
    assert!(!error.message().is_empty(), "it must say why");
    error
}

/// Counts the slots that come back, and notes how the instance is when they do.
#[derive(Default)]
struct Slots {
    freed: watch::Sender<usize>,
    healths: Mutex<Vec<Health>>,
    instance: OnceLock<Weak<dyn FunctionInstance>>,
}

impl SlotOwner for Slots {
    fn released(&self, instance: InstanceId) {
        if let Some(known) = self.instance.get().and_then(Weak::upgrade) {
            assert_eq!(known.id(), instance);
            let mut healths = self.healths.lock().unwrap_or_else(PoisonError::into_inner);
            healths.push(known.health());
        }
        self.freed.send_modify(|freed| *freed += 1);
    }
}
