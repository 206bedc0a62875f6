//! A stranger, who has only the public interface, can make everything that is asked of or by the
//! traits of this crate, and can use the mocks.

use std::time::Duration;

use bytes::Bytes;
use faas_core::store::{
    Batch, Committed, Durability, Key, KeyRange, Page, Precondition, Revision, Scan, Space, Store,
};
use faas_core::{
    Attributes, Body, Caller, Clock, Component, ContentType, Description, Error, Frame,
    FunctionError, FunctionRef, Handler, HandlerCall, HandlerName, HandlerRegistry, HandlerReply,
    Hold, Invocation, InvocationId, Invoker, MockClock, MockHandler, MockHandlerRegistry,
    MockInvoker, MockStore, Monotonic, Namespace, Outcome, Payload, Phase, PrewarmHint, Response,
    Result, StartKind, TraceContext, Trailer,
};
use futures::stream;

const BOOKS: Space = Space::watched("books");

fn invocation() -> Result<Invocation> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace: TraceContext = trace.parse()?;
    let function: FunctionRef = "shop/checkout@prod".parse()?;
    Ok(
        Invocation::new(InvocationId::from_u128(1), function, Payload::from("hi"))
            .with_deadline(Monotonic::ZERO + Duration::from_secs(1))
            .with_trace(trace)
            .with_caller(Caller::of(Namespace::new("web")?).with_identity("alice"))
            .with_idempotency_key("order-7")
            .with_attributes(Attributes::from_iter([("accept", "*/*")]))
            .with_attribute("x", "y"),
    )
}

#[test]
fn every_request_can_be_made() -> Result<()> {
    let call = HandlerCall::from(invocation()?);
    assert_eq!(call.caller.identity.as_deref(), Some("alice"));
    assert_eq!(call.idempotency_key.as_deref(), Some("order-7"));
    assert_eq!((call.attributes.len(), call.trace.flags), (2, 1));
    let hint = PrewarmHint::new(invocation()?.function, Monotonic::ZERO).with_concurrency(3);
    assert_eq!(hint.concurrency, 3);
    let scan = Scan::new(BOOKS, KeyRange::prefix(Key::new("a")))
        .limit(7)
        .reversed();
    assert!(scan.reverse && scan.limit == 7);
    let batch = Batch::new().check(BOOKS, Key::new("a"), Precondition::Value(Bytes::new()));
    assert_eq!(batch.operations().len(), 1);
    Ok(())
}

#[tokio::test]
async fn every_answer_can_be_made() -> Result<()> {
    let id = InvocationId::from_u128(1);
    let mut trailer = Trailer::failure(FunctionError::new("E", "m").with_details("{}"));
    trailer.timeline[Phase::Run] = Duration::from_millis(1);
    let frames = [Frame::Data(Bytes::from("part")), Frame::Trailer(trailer)];
    let body = Body::stream(stream::iter(frames.map(Ok)));
    let response = Response::new(id, ContentType::TEXT, body)
        .with_start(StartKind::Cold)
        .with_attributes(Attributes::from_iter([("etag", "1")]));
    let completed = response.collect(99).await?;
    assert_eq!(completed.start, StartKind::Cold);
    assert_eq!(completed.payload.to_text()?, "part");
    assert!(matches!(completed.trailer.outcome, Outcome::Failure(_)));
    let description = Description::new("Mine")
        .provides(Component::F5)
        .delegates(Component::R4, "a cloud");
    assert_eq!(description.components.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_invoker_can_be_mocked() -> Result<()> {
    let mut mock = MockInvoker::new();
    mock.expect_invoke()
        .times(1)
        .returning(|call| Ok(Response::success(call.id, call.payload)));
    mock.expect_prewarm().return_const(());
    mock.expect_describe()
        .returning(|| Description::new("Mock"));
    let invoker: Box<dyn Invoker> = Box::new(mock);
    let hint = PrewarmHint::new("hello".parse()?, Monotonic::ZERO);
    invoker.prewarm(hint);
    let completed = invoker.invoke(invocation()?).await?.collect(99).await?;
    assert_eq!(completed.payload.to_text()?, "hi");
    assert_eq!(invoker.describe().name, "Mock");
    Ok(())
}

#[tokio::test]
async fn a_store_can_be_mocked() -> Result<()> {
    let mut mock = MockStore::new();
    mock.expect_commit().returning(|batch| {
        let keys = batch.operations().len();
        Box::pin(async move {
            match keys {
                0 => Err(Error::unavailable("commit", "the connection is lost")),
                _ => Ok(Committed::default()),
            }
        })
    });
    mock.expect_scan().returning(|_| Ok(Page::default()));
    mock.expect_get().returning(|_, _| Ok(None));
    mock.expect_watch()
        .returning(|_, _, _| Box::pin(stream::empty()));
    mock.expect_durability()
        .return_const(Durability::Replicated);
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(mock);
    assert!(store.commit(Batch::new()).await.is_err());
    let batch = Batch::new().delete(BOOKS, Key::new("a"), Precondition::Any);
    assert_eq!(store.commit(batch).await?, Committed::default());
    assert_eq!(store.get(&BOOKS, &Key::new("a")).await?, None);
    let page = store.scan(Scan::new(BOOKS, KeyRange::all())).await?;
    assert_eq!(page.revision, Revision(0));
    let _ = store.watch(&BOOKS, Key::empty(), Revision(0));
    assert_eq!(store.durability(), Durability::Replicated);
    Ok(())
}

#[tokio::test]
async fn a_clock_and_handlers_can_be_mocked() -> Result<()> {
    let mut clock = MockClock::new();
    clock.expect_now().return_const(Monotonic::from_nanos(7));
    clock
        .expect_sleep_until()
        .returning(|_| Box::pin(std::future::ready(())));
    clock.expect_hold().returning(Hold::idle);
    clock.sleep_until(clock.now()).await;
    drop(clock.hold());

    let mut registry = MockHandlerRegistry::new();
    registry.expect_lookup().returning(|_| {
        let mut handler = MockHandler::new();
        handler
            .expect_call()
            .returning(|call| Ok(HandlerReply::Whole(call.payload)));
        Some(std::sync::Arc::new(handler))
    });
    let handler = registry.lookup(&HandlerName::new("any")?);
    let handler: std::sync::Arc<dyn Handler> =
        handler.ok_or_else(|| Error::not_found("look up", "any"))?;
    assert!(handler.call(invocation()?.into()).await.is_ok());
    Ok(())
}
