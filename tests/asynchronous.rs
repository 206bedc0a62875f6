//! Asynchronous invocations through a whole platform.

#![cfg(feature = "memory")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas::Platform;
use faas::core::{ErrorKind, FunctionError, HandlerCall, HandlerReply, Payload};
use faas::function::InvocationQueue;
use faas::function::queue::{Destination, LetterQuery, QueueId};
use faas::workflow::{Expression, WorkflowBuilder};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("an answer in time")
}

fn queue(name: &str) -> QueueId {
    QueueId {
        namespace: Default::default(),
        name: name.parse().expect("a name"),
    }
}

/// Until a queue of the platform's holds a message.
async fn message(platform: &Platform, name: &str) -> faas::function::queue::Message {
    let waited = async {
        loop {
            let found = platform.queue().messages(&queue(name), 1).await;
            if let Some(message) = found.expect("messages").pop() {
                return message;
            }
            tokio::task::yield_now().await;
        }
    };
    within(waited).await
}

#[tokio::test]
async fn a_result_goes_from_a_function_by_a_workflow_to_a_queue() {
    let platform = Platform::builder().build().await.expect("it starts");
    let keys = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = keys.clone();
    let double = move |call: HandlerCall| {
        let seen = seen.clone();
        async move {
            let key = call.idempotency_key.as_deref().map(str::to_owned);
            let mut seen = seen.lock().expect("no panic");
            seen.push(key);
            if seen.len() == 1 {
                return Err(FunctionError::new("Test.First", "the first attempt fails"));
            }
            let n: u64 = call.payload.to_json()?;
            Ok(HandlerReply::from(Payload::json(&(n * 2))?))
        }
    };
    let mut config = platform.register(double).expect("it is registered");
    config.queue.first_pause = Duration::from_millis(1);
    config.queue.on_success = Some(Destination::Workflow {
        namespace: Default::default(),
        name: "report".parse().expect("a name"),
    });
    platform.deploy("double", config).await.expect("it deploys");
    let report = |call: HandlerCall| async move { Ok(HandlerReply::from(call.payload)) };
    let mut config = platform.register(report).expect("it is registered");
    config.queue.on_success = Some(Destination::Queue(queue("reports")));
    platform.deploy("report", config).await.expect("it deploys");
    // The workflow's function hands its input to the queue by a call of its own.
    let started = Arc::new(AtomicUsize::new(0));
    let (counted, inner) = (started.clone(), platform.clone());
    let tell = move |n: u64| {
        counted.fetch_add(1, Ordering::SeqCst);
        let inner = inner.clone();
        async move {
            inner.call_async("report", &n).await?;
            Ok::<_, FunctionError>(n)
        }
    };
    platform
        .deploy_json("tell", tell)
        .await
        .expect("it deploys");
    let definition = WorkflowBuilder::new()
        .task("tell", "tell", |task| task.input(Expression::input("")))
        .output(Expression::result("tell", ""))
        .build()
        .expect("it is well-formed");
    let registered = platform.register_workflow("report", definition).await;
    registered.expect("it compiles");

    let id = platform
        .call_async("double", &21)
        .await
        .expect("it is taken");
    let message = message(&platform, "reports").await;
    assert_eq!(message.payload.to_json::<u64>().expect("a number"), 42);
    assert_eq!(started.load(Ordering::SeqCst), 1, "the workflow ran once");
    let keys = keys.lock().expect("no panic").clone();
    assert_eq!(
        keys,
        vec![Some(id.to_string()); 2],
        "one key for all attempts"
    );
    let story = platform.explain(id).to_string();
    for part in ["Test.First", "handed to workflow default/report"] {
        assert!(story.contains(part), "{part} is not in: {story}");
    }
    within(platform.shutdown(Duration::from_secs(20)))
        .await
        .expect("it drains");
    let error = platform
        .call_async("double", &1)
        .await
        .expect_err("it is over");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_dead_letter_tells_why_and_is_run_again() {
    let platform = Platform::builder().build().await.expect("it starts");
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = broken.clone();
    let handler = move |call: HandlerCall| {
        let broken = state.load(Ordering::SeqCst);
        async move {
            match broken {
                true => Err(FunctionError::new("Test.Broken", "the database is away")),
                false => Ok(HandlerReply::from(call.payload)),
            }
        }
    };
    let mut config = platform.register(handler).expect("it is registered");
    config.queue.attempts = 1;
    config.queue.on_success = Some(Destination::Queue(queue("done")));
    platform.deploy("save", config).await.expect("it deploys");
    let id = platform
        .call_async("save", "it")
        .await
        .expect("it is taken");
    let dead = async {
        loop {
            let page = platform.queue().dead_letters(LetterQuery::new()).await;
            if let Some(letter) = page.expect("a page").letters.pop() {
                return letter;
            }
            tokio::task::yield_now().await;
        }
    };
    let letter = within(dead).await;
    assert_eq!(letter.id, id);
    assert!(
        letter.cause.contains("the database is away"),
        "{}",
        letter.cause
    );
    let story = platform.explain(id).to_string();
    assert!(story.contains("redrive the letter"), "{story}");
    broken.store(false, Ordering::SeqCst);
    platform.queue().redrive(id).await.expect("it is there");
    let message = message(&platform, "done").await;
    assert_eq!(message.payload.to_json::<String>().expect("text"), "it");
    let error = platform.call_async("nowhere", "it").await;
    assert_eq!(error.expect_err("unknown").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn large_payloads_lie_in_the_object_store_for_as_long_as_they_are_named() {
    use faas::function::queue::Payloads;
    use futures::StreamExt;
    use object_store::{ObjectStore, memory::InMemory};
    let objects = Arc::new(InMemory::new());
    let platform = Platform::builder()
        .payloads(Payloads::new(objects.clone()).over(1000))
        .build()
        .await
        .expect("it starts");
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = broken.clone();
    let handler = move |call: HandlerCall| {
        let broken = state.load(Ordering::SeqCst);
        async move {
            match broken {
                true => Err(FunctionError::new("Test.Broken", "not now")),
                false => Ok(HandlerReply::from(call.payload)),
            }
        }
    };
    let mut config = platform.register(handler).expect("it is registered");
    config.queue.attempts = 1;
    config.queue.on_success = Some(Destination::Queue(queue("done")));
    platform.deploy("echo", config).await.expect("it deploys");
    let large = "x".repeat(5000);
    let id = platform.call_async("echo", &large).await;
    let id = id.expect("it is taken");
    let dead = async {
        loop {
            let page = platform.queue().dead_letters(LetterQuery::new()).await;
            if let Some(letter) = page.expect("a page").letters.pop() {
                return letter;
            }
            tokio::task::yield_now().await;
        }
    };
    let letter = within(dead).await;
    assert_eq!(letter.payload.to_json::<String>().expect("text"), large);
    assert_eq!(
        objects.list(None).count().await,
        1,
        "a dead letter names it"
    );
    broken.store(false, Ordering::SeqCst);
    platform.queue().redrive(id).await.expect("it is there");
    let message = message(&platform, "done").await;
    assert_eq!(message.payload.to_json::<String>().expect("text"), large);
    assert_eq!(
        objects.list(None).count().await,
        1,
        "the response is the same"
    );
    let (waiting, done) = (platform.queue(), queue("done"));
    let acknowledged = waiting.acknowledge(&done, message.id).await;
    acknowledged.expect("it is there");
    let gone = async {
        while objects.list(None).count().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
}
