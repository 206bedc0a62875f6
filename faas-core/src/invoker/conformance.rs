//! The conformance suite of [`Invoker`]: one case per rule of its contract.
//!
//! The factory makes a fresh invoker with three functions to call, as a [`Fixture`]; each case runs
//! in real time.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;

use super::{Invoker, PrewarmHint};
use crate::clock::{Clock, TokioClock};
use crate::{
    Error, ErrorKind, Frame, FunctionRef, IdSource, Invocation, InvocationId, Outcome, Payload,
    Response,
};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any response of a case.
const LIMIT: usize = 1 << 20;

/// Counts the calls of the function that waits which are under way.
pub type Running = Arc<dyn Fn() -> usize + Send + Sync>;

/// A fresh invoker, and the functions that it can call.
pub struct Fixture {
    invoker: Arc<dyn Invoker>,
    clock: Arc<dyn Clock>,
    echo: FunctionRef,
    failing: FunctionRef,
    waiting: Option<(FunctionRef, Running)>,
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// An invoker that can call `echo`, which answers what it is given, and `failing`, which fails
    /// whatever it is given.
    pub fn new(invoker: impl Invoker, echo: FunctionRef, failing: FunctionRef) -> Self {
        Self {
            invoker: Arc::new(invoker),
            clock: Arc::new(TokioClock::new()),
            echo,
            failing,
            waiting: None,
            guard: None,
        }
    }

    /// Adds a function that never ends by itself, and a way to tell how many calls of it are under
    /// way: without it, `deadline` and `drop_cancels` prove nothing.
    #[must_use]
    pub fn waiting(mut self, function: FunctionRef, running: Running) -> Self {
        self.waiting = Some((function, running));
        self
    }

    /// Names the clock that the invoker reads deadlines by.
    #[must_use]
    pub fn by_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps `guard` until the case is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    fn ids(&self) -> IdSource {
        IdSource::random(self.clock.clone())
    }

    async fn invoke(&self, invocation: Invocation) -> Response {
        within("invoke", self.invoker.invoke(invocation))
            .await
            .expect("the platform does its part")
    }

    async fn refused(&self, invocation: Invocation) -> Error {
        let answer = within("invoke", self.invoker.invoke(invocation)).await;
        match answer {
            Err(error) => error,
            // A platform may learn of it only as the body arrives.
            Ok(response) => within("collect", response.collect(LIMIT))
                .await
                .expect_err("it cannot be answered"),
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("invoker", &self.invoker.describe())
            .field("echo", &self.echo)
            .field("failing", &self.failing)
            .field(
                "waiting",
                &self.waiting.as_ref().map(|(function, _)| function),
            )
            .field("guard", &self.guard.is_some())
            .finish_non_exhaustive()
    }
}

/// One case of the suite.
pub type Case = fn(Fixture) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// Every case by the name of its rule, for harnesses other than the macro.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |fixture| Box::pin($case(fixture)))),*
        ];
    };
}
cases! {
    failure_is_ok names_invocation ends_with_trailer unknown_is_not_found deadline drop_cancels
    prewarm_is_a_hint
}

/// Expands to one `#[tokio::test]` per rule of [`Invoker`](crate::Invoker)'s contract. Takes an
/// `async` closure that makes a [`Fixture`](crate::invoker::conformance::Fixture); put it into a
/// module of its own.
#[macro_export]
macro_rules! invoker_conformance {
    ($factory:expr) => {
        $crate::invoker_conformance! { @cases $factory;
            failure_is_ok names_invocation ends_with_trailer unknown_is_not_found deadline
            drop_cancels prewarm_is_a_hint
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::invoker::conformance::$case(($factory)().await).await;
        }
    )*};
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}

/// "A function that fails is an `Ok` whose trailer says so; `Err` means that the platform failed."
pub async fn failure_is_ok(fixture: Fixture) {
    for _ in 0..3 {
        let id = fixture.ids().next();
        let call = Invocation::new(id, fixture.failing.clone(), Payload::text("x"));
        let response = fixture.invoke(call).await;
        assert_eq!(response.id, id, "it answers another invocation");
        let completed = within("collect", response.collect(LIMIT)).await;
        let completed = completed.expect("the platform does its part");
        let outcome = completed.trailer.outcome;
        assert!(matches!(outcome, Outcome::Failure(_)), "{outcome:?}");
    }
}

/// "A response names the invocation that it answers, however many run at once."
pub async fn names_invocation(fixture: Fixture) {
    let ids = fixture.ids();
    let calls = (0..32u32).map(|n| echoed(&fixture, ids.next(), n.to_string()));
    futures::future::join_all(calls).await;
}

async fn echoed(fixture: &Fixture, id: InvocationId, text: String) {
    let call = Invocation::new(id, fixture.echo.clone(), Payload::text(text.clone()));
    let response = fixture.invoke(call).await;
    assert_eq!(response.id, id, "it answers another invocation");
    let completed = within("collect", response.collect(LIMIT)).await;
    let payload = completed
        .expect("the platform does its part")
        .into_result()
        .expect("`echo` succeeds");
    assert_eq!(payload.as_bytes(), text.as_bytes(), "another's answer");
}

/// "The body of a response ends with exactly one trailer."
pub async fn ends_with_trailer(fixture: Fixture) {
    for function in [&fixture.echo, &fixture.failing] {
        let id = fixture.ids().next();
        let call = Invocation::new(id, function.clone(), Payload::text("x"));
        let mut frames = fixture.invoke(call).await.body.into_frames();
        let mut trailers = 0;
        while let Some(frame) = within("body", frames.next()).await {
            assert_eq!(trailers, 0, "something follows the trailer");
            let trailer = matches!(frame.expect("the body arrives"), Frame::Trailer(_));
            trailers += usize::from(trailer);
        }
        assert_eq!(trailers, 1, "the body ended without a trailer");
    }
}

/// "A function that is not there is `NotFound`."
pub async fn unknown_is_not_found(fixture: Fixture) {
    let nobody: FunctionRef = "nobody/made-this".parse().expect("a good reference");
    let call = Invocation::new(fixture.ids().next(), nobody, Payload::empty());
    let error = fixture.refused(call).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// "An invocation whose deadline passes is answered with `DeadlineExceeded`."
pub async fn deadline(fixture: Fixture) {
    let Some((function, running)) = &fixture.waiting else {
        return;
    };
    let deadline = fixture.clock.now() + Duration::from_millis(100);
    let call = Invocation::new(fixture.ids().next(), function.clone(), Payload::empty());
    let error = fixture.refused(call.with_deadline(deadline)).await;
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(fixture.clock.now() >= deadline, "it was answered early");
    until("the call ends with its deadline", || running() == 0).await;
}

/// "Dropping the future of `invoke`, or the body of its response, cancels the call."
pub async fn drop_cancels(fixture: Fixture) {
    let Some((function, running)) = &fixture.waiting else {
        return;
    };
    for _ in 0..3 {
        let call = Invocation::new(fixture.ids().next(), function.clone(), Payload::empty());
        let invoker = fixture.invoker.clone();
        // Holds the body, if there is one before the function ends.
        let call = tokio::spawn(async move {
            let response = invoker.invoke(call).await;
            let body = response.map(|response| response.body.into_frames());
            std::future::pending::<()>().await;
            drop(body);
        });
        until("the call begins", || running() == 1).await;
        call.abort();
        until("the call is cancelled", || running() == 0).await;
    }
}

/// "`prewarm` MUST NOT wait, fail, or promise anything, whatever it names."
pub async fn prewarm_is_a_hint(fixture: Fixture) {
    let nobody: FunctionRef = "nobody/made-this".parse().expect("a good reference");
    let handle = tokio::runtime::Handle::current();
    for function in [fixture.echo.clone(), nobody] {
        let hint = PrewarmHint::new(function, fixture.clock.now()).with_concurrency(2);
        let (invoker, handle) = (fixture.invoker.clone(), handle.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // On a thread of its own, for one that waits must not stop the case.
        std::thread::spawn(move || {
            let _runtime = handle.enter();
            invoker.prewarm(hint);
            sender.send(())
        });
        within("prewarm", receiver).await.expect("prewarm fails");
    }
    let id = fixture.ids().next();
    let call = Invocation::new(id, fixture.echo.clone(), Payload::text("x"));
    assert_eq!(fixture.invoke(call).await.id, id);
}

/// Asks again and again, for what is asked about tells nobody when it changes.
async fn until(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
