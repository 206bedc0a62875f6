//! The suite of [`FunctionInstance`]: one case for each rule of its
//! contract.
//!
//! Cases drive real things (sockets, processes), so they use real time, bounded by
//! [`Fixture::patience`].

mod fixture;
mod subject;

use std::time::Duration;

use faas_core::{ErrorKind, Frame, FunctionError, Monotonic, Outcome, Retry};
use faas_resource::agent::ExitCause;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

pub use fixture::{End, Factory, Fixture, Setup};
use fixture::{invocation, unavailable};
pub use subject::{ASKED, Subject};

use super::{FunctionInstance, Health};

/// A case by name.
pub type Case = fn(Factory) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($case:ident)*) => {
        /// All cases.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($case), |factory| Box::pin($case(factory)))),*
        ];
    };
}
cases! {
    function_failure_is_ok permit_until_idle concurrent cancel_by_drop dead_is_classified
    exit_is_a_failure failed_resolves drain_waits response_bounded deadline_is_the_callers
    streams_as_it_comes
}

/// Expands to one `#[tokio::test]` per rule of [`FunctionInstance`](crate::FunctionInstance)'s
/// contract. Takes an `async` closure from a
/// [`Setup`](crate::instance::conformance::Setup) to a
/// [`Fixture`](crate::instance::conformance::Fixture); put it into a module of its own.
#[macro_export]
macro_rules! function_instance_conformance {
    ($factory:expr) => {
        $crate::function_instance_conformance! { @cases $factory;
            function_failure_is_ok permit_until_idle concurrent cancel_by_drop dead_is_classified
            exit_is_a_failure failed_resolves drain_waits response_bounded deadline_is_the_callers
            streams_as_it_comes
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let factory: $crate::instance::conformance::Factory = ::std::sync::Arc::new(|setup| {
                ::std::boxed::Box::pin(($factory)(setup))
            });
            $crate::instance::conformance::$case(factory).await;
        }
    )*};
}

/// Short enough to wait for, long enough for a call to begin.
const SHORT: Duration = Duration::from_millis(300);

async fn make(factory: &Factory) -> Fixture {
    factory(Setup::default()).await
}

/// "A failing function is a response whose outcome says so."
pub async fn function_failure_is_ok(factory: Factory) {
    let fixture = make(&factory).await;
    for calls in 1..=2 {
        let error = fixture.failure(fixture.call("fail").await).await;
        assert_eq!(error.kind, ASKED);
        fixture.until_freed(calls).await;
    }
    fixture.serves().await;
}

/// "The permit is dropped when the instance is idle again, not sooner; if it cannot become idle it
/// is `failed`, and the permit is dropped after that."
pub async fn permit_until_idle(factory: Factory) {
    let fixture = make(&factory).await;
    for command in fixture.waiting() {
        let fixture = make(&factory).await;
        let running = fixture.start(invocation(command)).await;
        assert_eq!(fixture.freed(), 0, "it is busy");
        fixture.subject.open();
        let ended = running.end(&fixture).await.expect("it ends");
        assert_eq!(ended.outcome, Outcome::Success);
        fixture.until_freed(1).await;
        fixture.serves().await;
        assert_eq!(fixture.freed(), 2, "a slot came back twice");
    }
    let setup = Setup {
        timeout: SHORT,
        ..Setup::default()
    };
    let fixture = factory(setup).await;
    fixture.failure(fixture.call("hold").await).await;
    fixture.until_freed(1).await;
    match &fixture.healths()[..] {
        // It is given up, or has been stopped and serves on.
        [Health::Failed(_)] => {}
        [Health::Ready] => fixture.serves().await,
        other => panic!("a slot came back and it was {other:?}"),
    }
}

/// "As many invocations as it is configured for run at once, each with an answer of its own."
pub async fn concurrent(factory: Factory) {
    let setup = Setup {
        concurrency: 2,
        ..Setup::default()
    };
    let fixture = factory(setup).await;
    let held = fixture.start(invocation("hold")).await;
    fixture.serves().await;
    let other = fixture.start(invocation("hold")).await;
    fixture.subject.open();
    for running in [held, other] {
        let ended = running.end(&fixture).await.expect("it ends");
        assert_eq!(ended.outcome, Outcome::Success);
    }
    fixture.until_freed(3).await;
}

/// "Dropping the invoke future or the response's body cancels the call, where the contract can;
/// else it runs to its end, and keeps its permit until then."
pub async fn cancel_by_drop(factory: Factory) {
    let fixture = make(&factory).await;
    for command in fixture.waiting() {
        let fixture = make(&factory).await;
        // What is not cancelled is let go on, and then nothing waits any more.
        for calls in 1..=if fixture.cancels { 2 } else { 1 } {
            let running = fixture.start(invocation(command)).await;
            match *command {
                "wait" => drop(running.first(&fixture).await),
                _ => running.abandon().await,
            }
            if !fixture.cancels {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(fixture.freed(), 2 * calls - 2, "it still runs");
                fixture.subject.open();
            }
            fixture.until_freed(2 * calls - 1).await;
            fixture.serves().await;
        }
    }
}

/// "An instance that dies fails its invocations with `Unavailable`, `Retry::Safe` if the request
/// was not delivered, else `Retry::Ambiguous`."
pub async fn dead_is_classified(factory: Factory) {
    let fixture = make(&factory).await;
    for command in fixture.waiting() {
        let fixture = make(&factory).await;
        let Some(end) = &fixture.end else { return };
        let running = fixture.start(invocation(command)).await;
        end(ExitCause::Unknown).await;
        unavailable(running.end(&fixture).await, Retry::Ambiguous);
        fixture.gone().await;
        fixture.until_freed(2).await;
    }
}

/// "Where it is known that what ran in the sandbox ended it […], an invocation that was delivered
/// has the outcome `Function.Exit`, with the cause."
pub async fn exit_is_a_failure(factory: Factory) {
    let fixture = make(&factory).await;
    for command in fixture.waiting() {
        for cause in [
            ExitCause::Code(7),
            ExitCause::Signal(6),
            ExitCause::OutOfMemory,
        ] {
            let fixture = make(&factory).await;
            let Some(end) = &fixture.end else { return };
            let running = fixture.start(invocation(command)).await;
            end(cause.clone()).await;
            let ended = running
                .end(&fixture)
                .await
                .expect("the platform did its part");
            let Outcome::Failure(error) = ended.outcome else {
                panic!("it succeeded");
            };
            assert_eq!(error.kind, FunctionError::EXIT);
            assert!(error.message.contains(&cause.to_string()), "{error}");
            fixture.gone().await;
        }
    }
}

/// "`failed` ends when the instance must be replaced, and not before."
pub async fn failed_resolves(factory: Factory) {
    let fixture = make(&factory).await;
    let mut failed = fixture.instance.failed();
    assert_eq!(fixture.instance.health(), Health::Ready);
    fixture.serves().await;
    fixture.failure(fixture.call("fail").await).await;
    fixture.until_freed(2).await;
    assert!(failed.as_mut().now_or_never().is_none(), "it serves");
    let Some(end) = &fixture.end else { return };
    end(ExitCause::Unknown).await;
    fixture.soon("`failed`", failed).await;
    // Whoever asks later is told as well.
    fixture.gone().await;
}

/// "`drain` ends when no invocation runs, or at its deadline; a draining instance refuses new ones
/// with `Unavailable` and `Retry::Safe`."
pub async fn drain_waits(factory: Factory) {
    let fixture = make(&factory).await;
    let far = fixture.clock.now() + Duration::from_secs(600);
    let running = fixture.start(invocation("hold")).await;
    let mut drain = fixture.instance.drain(far);
    for _ in 0..20 {
        assert!(futures::poll!(drain.as_mut()).is_pending(), "one runs");
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.instance.health(), Health::Draining);
    unavailable(fixture.call("echo late").await, Retry::Safe);
    fixture.subject.open();
    let ended = running.end(&fixture).await.expect("it may end");
    assert_eq!(ended.outcome, Outcome::Success);
    let drained = fixture.soon("the drain", drain).await;
    drained.expect("nothing runs");

    let fixture = make(&factory).await;
    let _running = fixture.start(invocation("hold")).await;
    let past = fixture.instance.drain(Monotonic::ZERO);
    let error = fixture.soon("the drain", past).await.expect_err("one runs");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
}

/// "A response over the limit is the function's failure `Function.ResponseTooLarge`; one after the
/// timeout `Function.Timeout`."
pub async fn response_bounded(factory: Factory) {
    let setup = Setup {
        response_limit: 64,
        ..Setup::default()
    };
    let streams = make(&factory).await.streams;
    let commands: &[&str] = if streams {
        &["bytes", "stream"]
    } else {
        &["bytes"]
    };
    for command in commands {
        let fixture = factory(setup.clone()).await;
        let answer = fixture.call(&format!("{command} 64")).await;
        let answer = fixture
            .complete(answer.expect("it is within the limit"))
            .await;
        assert_eq!(answer.payload.len(), 64);
        fixture.until_freed(1).await;
        let error = fixture
            .failure(fixture.call(&format!("{command} 65")).await)
            .await;
        assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
        fixture.until_freed(2).await;
    }
    let setup = Setup {
        timeout: SHORT,
        ..Setup::default()
    };
    for command in make(&factory).await.waiting() {
        let fixture = factory(setup.clone()).await;
        let error = fixture.failure(fixture.call(command).await).await;
        assert_eq!(error.kind, FunctionError::TIMEOUT);
        fixture.until_freed(1).await;
    }
}

/// "An invocation whose own deadline passes first answers `DeadlineExceeded`."
pub async fn deadline_is_the_callers(factory: Factory) {
    let fixture = make(&factory).await;
    for command in fixture.waiting() {
        let fixture = make(&factory).await;
        let deadline = fixture.clock.now() + SHORT;
        let late = fixture.spawn(invocation(command).with_deadline(deadline));
        let error = late
            .end(&fixture)
            .await
            .expect_err("nobody waits any longer");
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
}

/// "A body that streams is passed on as it comes, and ends with one trailer."
pub async fn streams_as_it_comes(factory: Factory) {
    let fixture = make(&factory).await;
    if !fixture.streams {
        return;
    }
    let running = fixture.start(invocation("wait")).await;
    // Nothing has let it go on: only its first data can be here.
    let (first, frames) = running.first(&fixture).await;
    assert_eq!(first, "begun");
    fixture.subject.open();
    let mut rest: Vec<_> = fixture.soon("the rest", frames.collect::<Vec<_>>()).await;
    let Some(Ok(Frame::Trailer(trailer))) = rest.pop() else {
        panic!("it does not end with a trailer");
    };
    assert_eq!(trailer.outcome, Outcome::Success);
    let mut data = Vec::new();
    for frame in rest {
        match frame {
            Ok(Frame::Data(part)) => data.extend_from_slice(&part),
            other => panic!("{other:?} before the end"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&data), " and done");
    fixture.until_freed(1).await;
}
