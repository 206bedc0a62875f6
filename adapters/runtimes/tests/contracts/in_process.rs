//! The in-process contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Slots, call, clock, complete, config, connect, failure};
use bytes::Bytes;
use faas_core::{
    ContentType, ErrorKind, Frame, FunctionError, Handler, HandlerCall, HandlerName,
    HandlerRegistry, HandlerReply, Payload, Retry,
};
use faas_function::Contract;
use faas_function::instance::{FunctionInstance, Health};
use faas_function::registry::FunctionConfig;
use faas_resource::endpoint::Address;
use faas_runtimes::InProcess;
use futures::StreamExt;

struct One(Arc<dyn Handler>);

impl HandlerRegistry for One {
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
        (name.as_str() == "hello").then(|| self.0.clone())
    }
}

fn contract(handler: impl Handler) -> InProcess {
    InProcess::new(Arc::new(One(Arc::new(handler))), clock())
}

fn address(name: &str) -> Address {
    Address::Handler(HandlerName::new(name).unwrap())
}

async fn instance(handler: impl Handler, config: FunctionConfig) -> Arc<dyn FunctionInstance> {
    let connect = connect(address("hello"), config);
    contract(handler).connect(connect).await.unwrap()
}

async fn echo(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    Ok(call.payload.into())
}

fn short() -> FunctionConfig {
    let mut config = config();
    config.timeout = Duration::from_millis(50);
    config
}

#[tokio::test]
async fn answers_and_frees_the_slot() {
    let slots = Arc::new(Slots::default());
    let echo = instance(echo, config()).await;
    let answer = complete(echo.invoke(call("hi"), slots.permit()).await.unwrap()).await;
    assert_eq!(answer.payload.to_text().unwrap(), "hi");
    assert_eq!(slots.released(), 1);
}

#[tokio::test]
async fn an_unregistered_handler_is_unavailable() {
    let connected = contract(echo)
        .connect(connect(address("other"), config()))
        .await;
    assert_eq!(connected.err().unwrap().kind(), ErrorKind::Unavailable);
    let connected = contract(echo)
        .connect(connect(Address::Hook, config()))
        .await;
    assert_eq!(connected.err().unwrap().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_panic_is_the_functions_failure() {
    let slots = Arc::new(Slots::default());
    let panics = |_: HandlerCall| async { panic!("on purpose") };
    let instance = instance(panics, config()).await;
    let error = failure(instance.invoke(call(""), slots.permit()).await.unwrap()).await;
    assert_eq!(
        (&*error.kind, &*error.message),
        (FunctionError::PANIC, "on purpose")
    );
    assert_eq!((slots.released(), instance.health()), (1, Health::Ready));
}

#[tokio::test]
async fn a_timeout_stops_the_task() {
    let slots = Arc::new(Slots::default());
    let hangs = |_: HandlerCall| futures::future::pending();
    let instance = instance(hangs, short()).await;
    let error = failure(instance.invoke(call(""), slots.permit()).await.unwrap()).await;
    assert_eq!(error.kind, FunctionError::TIMEOUT);
    slots.wait(1).await;
    assert_eq!(instance.health(), Health::Ready);
}

#[tokio::test]
async fn the_callers_deadline_is_no_failure_of_the_function() {
    let slots = Arc::new(Slots::default());
    let hangs = |_: HandlerCall| futures::future::pending();
    let instance = instance(hangs, config()).await;
    let late = call("").with_deadline(faas_core::Monotonic::ZERO);
    let error = instance.invoke(late, slots.permit()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    slots.wait(1).await;
}

#[tokio::test]
async fn dropping_the_call_stops_the_task() {
    let slots = Arc::new(Slots::default());
    let (entered, mut enters) = tokio::sync::mpsc::channel(1);
    let hangs = move |_: HandlerCall| {
        let entered = entered.clone();
        async move {
            entered.send(()).await.expect("the test waits");
            futures::future::pending().await
        }
    };
    let instance = instance(hangs, config()).await;
    tokio::select! {
        _ = instance.invoke(call(""), slots.permit()) => panic!("it hangs"),
        _ = enters.recv() => {}
    }
    slots.wait(1).await;
    assert_eq!(instance.health(), Health::Ready);
}

#[test]
fn a_task_that_never_yields_quarantines_its_instance() {
    let guests = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let platform = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let blocks = move |_: HandlerCall| {
        let blocked = blocked.clone();
        async move {
            let _ = blocked.lock().unwrap().recv();
            Ok(Payload::empty().into())
        }
    };
    platform.block_on(async {
        let slots = Arc::new(Slots::default());
        let contract = contract(blocks).guest_runtime(guests.handle().clone());
        let contract = contract.grace(Duration::from_millis(50));
        let instance = contract
            .connect(connect(address("hello"), short()))
            .await
            .unwrap();
        let error = failure(instance.invoke(call(""), slots.permit()).await.unwrap()).await;
        assert_eq!(error.kind, FunctionError::TIMEOUT);
        instance.failed().await;
        assert_eq!(slots.released(), 0, "it is still busy");
        let error = instance.invoke(call(""), slots.permit()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Unavailable, Retry::Safe)
        );
        drop(free);
        slots.wait(2).await;
    });
}

#[tokio::test]
async fn a_response_is_bounded() {
    let slots = Arc::new(Slots::default());
    let mut config = config();
    config.response_limit = 3;
    let whole = instance(echo, config.clone()).await;
    let error = failure(whole.invoke(call("long"), slots.permit()).await.unwrap()).await;
    assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
    let streamed = instance(stream_of(Arc::default(), 4), config).await;
    let error = failure(streamed.invoke(call(""), slots.permit()).await.unwrap()).await;
    assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE);
}

/// Streams `count` chunks of a byte, and counts those that were asked for.
fn stream_of(made: Arc<AtomicUsize>, count: usize) -> impl Handler {
    move |_: HandlerCall| {
        let made = made.clone();
        let chunk = move |_| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from_static(b"x"))
        };
        let chunks = futures::stream::iter(0..count).map(chunk).boxed();
        async move { Ok(HandlerReply::Stream(ContentType::OCTETS, chunks)) }
    }
}

#[tokio::test]
async fn a_stream_holds_the_slot_and_waits_for_its_reader() {
    let (slots, made) = <(Arc<Slots>, Arc<AtomicUsize>)>::default();
    let instance = instance(stream_of(made.clone(), 10), config()).await;
    let response = instance.invoke(call(""), slots.permit()).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(made.load(Ordering::SeqCst) <= 2, "the reader has not read");
    assert_eq!(slots.released(), 0);
    assert_eq!(complete(response).await.payload.len(), 10);
    assert_eq!(slots.released(), 1);
    drop(instance.invoke(call(""), slots.permit()).await.unwrap());
    slots.wait(2).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_times_out() {
    let slots = Arc::new(Slots::default());
    let instance = instance(stream_of(Arc::default(), 10), short()).await;
    let response = instance.invoke(call(""), slots.permit()).await.unwrap();
    slots.wait(1).await;
    assert_eq!(failure(response).await.kind, FunctionError::TIMEOUT);
}

#[tokio::test]
async fn a_panic_in_a_stream_is_in_its_trailer() {
    let slots = Arc::new(Slots::default());
    let panics = |_: HandlerCall| async {
        let chunks = futures::stream::iter(0..2).map(|n| match n {
            0 => Ok(Bytes::from_static(b"x")),
            _ => panic!("on purpose"),
        });
        Ok(HandlerReply::Stream(ContentType::OCTETS, chunks.boxed()))
    };
    let instance = instance(panics, config()).await;
    let response = instance.invoke(call(""), slots.permit()).await.unwrap();
    let frames: Vec<_> = response.body.into_frames().collect().await;
    assert!(matches!(frames[0], Ok(Frame::Data(_))));
    let Ok(Frame::Trailer(trailer)) = &frames[1] else {
        panic!("{frames:?}")
    };
    assert!(
        matches!(&trailer.outcome, faas_core::Outcome::Failure(e) if e.kind == FunctionError::PANIC)
    );
    assert_eq!(slots.released(), 1);
}

#[tokio::test]
async fn a_drain_waits_and_refuses() {
    let slots = Arc::new(Slots::default());
    let instance = instance(stream_of(Arc::default(), 10), config()).await;
    let response = instance.invoke(call(""), slots.permit()).await.unwrap();
    let error = instance
        .drain(faas_core::Monotonic::ZERO)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    let error = instance.invoke(call(""), slots.permit()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Safe)
    );
    let later = faas_core::Monotonic::from_nanos(u64::MAX / 4);
    let (drained, _) = tokio::join!(instance.drain(later), complete(response));
    drained.unwrap();
}
