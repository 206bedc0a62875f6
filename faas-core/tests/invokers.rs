//! A plain [`Invoker`] passes the suite; the suite catches those that break a rule.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faas_core::invoker::conformance::{CASES, Fixture};
use faas_core::{
    Body, Clock, ContentType, Description, Error, Frame, FunctionError, FunctionRef, Invocation,
    InvocationId, Invoker, Payload, PrewarmHint, Response, Result, TokioClock, Trailer,
};
use futures::future::{Either, select};
use futures::{StreamExt, stream};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    FailureIsErr,
    ForgetsId,
    MixesAnswers,
    NoTrailer,
    TwoTrailers,
    UnknownSucceeds,
    NoDeadline,
    EarlyDeadline,
    CallOutlivesItsFuture,
    PrewarmWaits,
    PrewarmPanics,
}

struct Plain {
    fault: Fault,
    clock: Arc<dyn Clock>,
    running: Arc<AtomicUsize>,
}

/// Counts a call as long as it lives.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(running.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Plain {
    async fn wait(&self, invocation: Invocation) -> Result<Response> {
        let running = Count::new(&self.running);
        if self.fault == Fault::CallOutlivesItsFuture {
            tokio::spawn(async move {
                let _running = running;
                pending::<()>().await;
            });
            return pending().await;
        }
        let over = || Error::deadline_exceeded("invoke", "the function still runs");
        match (invocation.deadline, self.fault) {
            (None, _) | (_, Fault::NoDeadline) => pending().await,
            (_, Fault::EarlyDeadline) => Err(over()),
            (Some(deadline), _) => {
                let end = self.clock.sleep_until(deadline);
                match select(end, pending::<()>()).await {
                    Either::Left(_) => Err(over()),
                    Either::Right(_) => pending().await,
                }
            }
        }
    }

    fn echo(&self, invocation: Invocation) -> Response {
        let (id, payload) = (invocation.id, invocation.payload);
        let text = payload.as_bytes().clone();
        let frames = |trailers: usize| {
            let trailers = (0..trailers).map(|_| Frame::Trailer(Trailer::success()));
            let frames = [Frame::Data(text.clone())].into_iter().chain(trailers);
            Body::stream(stream::iter(frames.collect::<Vec<_>>()).map(Ok))
        };
        match self.fault {
            Fault::ForgetsId => Response::success(InvocationId::from_u128(1), payload),
            Fault::MixesAnswers => Response::success(id, Payload::text("x")),
            Fault::NoTrailer => Response::new(id, ContentType::TEXT, frames(0)),
            Fault::TwoTrailers => Response::new(id, ContentType::TEXT, frames(2)),
            _ => Response::success(id, payload),
        }
    }
}

#[async_trait::async_trait]
impl Invoker for Plain {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        match invocation.function.name.as_str() {
            "echo" => Ok(self.echo(invocation)),
            "waiting" => self.wait(invocation).await,
            "failing" if self.fault == Fault::FailureIsErr => {
                Err(Error::internal("invoke", "the function failed"))
            }
            "failing" => Ok(Response::failure(
                invocation.id,
                FunctionError::new("Test", "as it always does"),
            )),
            _ if self.fault == Fault::UnknownSucceeds => {
                Ok(Response::success(invocation.id, Payload::empty()))
            }
            name => Err(Error::not_found("invoke", format!("function {name}"))),
        }
    }

    fn prewarm(&self, hint: PrewarmHint) {
        match self.fault {
            Fault::PrewarmWaits => loop {
                std::thread::park();
            },
            Fault::PrewarmPanics => panic!("{} is not there", hint.function),
            _ => {}
        }
    }

    fn describe(&self) -> Description {
        Description::new("Plain")
    }
}

fn fixture(fault: Fault) -> Fixture {
    let running = Arc::new(AtomicUsize::new(0));
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let plain = Plain {
        fault,
        clock: clock.clone(),
        running: running.clone(),
    };
    let function = |name: &str| -> FunctionRef { name.parse().expect("a good reference") };
    Fixture::new(plain, function("echo"), function("failing"))
        .waiting(
            function("waiting"),
            Arc::new(move || running.load(Ordering::SeqCst)),
        )
        .by_clock(clock)
}

mod plain {
    faas_core::invoker_conformance!(async || super::fixture(super::Fault::None));
}

async fn caught(rule: &str, fault: Fault) {
    let case = CASES.iter().find(|(name, _)| *name == rule);
    let (_, case) = case.unwrap_or_else(|| panic!("no case {rule}"));
    let result = tokio::spawn(case(fixture(fault))).await;
    let error = result.expect_err(&format!("{rule} does not catch {fault:?}"));
    assert!(error.is_panic(), "{error}");
}

macro_rules! caught {
    ($($rule:ident: $($fault:ident)*;)*) => {
        mod broken {
            $(
                // Paused time makes waiting in vain cost nothing.
                #[tokio::test(start_paused = true)]
                async fn $rule() {
                    $(super::caught(stringify!($rule), super::Fault::$fault).await;)*
                }
            )*
        }

        const CAUGHT: &[&str] = &[$(stringify!($rule)),*];
    };
}
caught! {
    failure_is_ok: FailureIsErr;
    names_invocation: ForgetsId MixesAnswers;
    ends_with_trailer: NoTrailer TwoTrailers;
    unknown_is_not_found: UnknownSucceeds;
    deadline: NoDeadline EarlyDeadline;
    drop_cancels: CallOutlivesItsFuture;
    prewarm_is_a_hint: PrewarmWaits PrewarmPanics;
}

#[test]
fn every_case_has_an_invoker_that_it_catches() {
    let cases: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(CAUGHT, cases);
}
