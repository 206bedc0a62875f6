//! The suite of [`InvocationQueue`](super::InvocationQueue): one case for each rule of its contract.

mod stage;

use std::time::Duration;

use faas_core::{ErrorKind, Payload};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Destination, LetterQuery, QueueId, Queued};
pub use stage::{Factory, Setup};
use stage::{Gate, Stage};

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
    acknowledged_is_stored submitted_once same_key retried too_old concurrency dead_letters
    destinations bounded unknown_is_refused one_owner cancel_safe
}

/// Expands to one `#[tokio::test]` per rule of [`InvocationQueue`](crate::InvocationQueue)'s
/// contract. Takes an `async` closure from a [`Setup`](crate::queue::conformance::Setup) to a
/// queue; put it into a module of its own.
#[macro_export]
macro_rules! invocation_queue_conformance {
    ($factory:expr) => {
        $crate::invocation_queue_conformance! { @cases $factory;
            acknowledged_is_stored submitted_once same_key retried too_old concurrency dead_letters
            destinations bounded unknown_is_refused one_owner cancel_safe
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let factory: $crate::queue::conformance::Factory = ::std::sync::Arc::new(|setup| {
                ::std::boxed::Box::pin(async move {
                    ::std::sync::Arc::new(($factory)(setup).await)
                        as ::std::sync::Arc<dyn $crate::InvocationQueue>
                })
            });
            $crate::queue::conformance::$case(factory).await;
        }
    )*};
}

fn results() -> QueueId {
    QueueId {
        namespace: "default".parse().expect("a namespace"),
        name: "results".parse().expect("a name"),
    }
}

/// "What `submit` acknowledged is run by any later queue over the same store."
pub async fn acknowledged_is_stored(factory: Factory) {
    let stage = Stage::new();
    stage.invoker.hold();
    let first = stage.queue(&factory).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(stage.submit(&*first, "f", &n.to_string()).await);
    }
    stage.until("one runs", |s| s.invoker.running() > 0).await;
    drop(first);
    stage.until("none runs", |s| s.invoker.running() == 0).await;
    let before = stage.invoker.calls().len();
    stage.invoker.let_go();
    let second = stage.queue(&factory).await;
    for id in ids {
        stage.ended(&*second, id).await;
        let calls = stage.invoker.calls();
        let again = calls[before..].iter().filter(|call| call.id == id).count();
        assert_eq!(again, 1, "{id} is run by the second");
    }
}

/// "An id that the queue holds is taken once."
pub async fn submitted_once(factory: Factory) {
    let stage = Stage::new();
    stage.invoker.hold();
    let queue = stage.queue(&factory).await;
    let call = stage.call("f", "once");
    for _ in 0..3 {
        let id = queue.submit(call.clone()).await.expect("it is taken");
        assert_eq!(id, call.id);
    }
    stage.invoker.let_go();
    stage.ended(&*queue, call.id).await;
    // What comes later has its turn later: by then the others would have run.
    let last = stage.submit(&*queue, "f", "last").await;
    stage.ended(&*queue, last).await;
    let calls = stage.invoker.calls();
    let times = calls.iter().filter(|call| call.payload == "once").count();
    assert_eq!(times, 1, "it ran more than once");
}

/// "All attempts of a request carry one idempotency key."
pub async fn same_key(factory: Factory) {
    let stage = Stage::new();
    let queue = stage.queue(&factory).await;
    stage.invoker.fail(2);
    let id = stage.submit(&*queue, "f", "a").await;
    stage.ended(&*queue, id).await;
    let keys = stage.invoker.calls().into_iter().map(|call| call.key);
    let keys: Vec<_> = keys.collect();
    assert_eq!(keys, vec![Some(id.to_string()); 3], "its id is the key");
    stage.invoker.fail(1);
    let call = stage.call("f", "b").with_idempotency_key("mine");
    let id = queue.submit(call).await.expect("it is taken");
    stage.ended(&*queue, id).await;
    let calls = stage.invoker.calls();
    let own: Vec<_> = calls[3..].iter().map(|call| call.key.clone()).collect();
    assert_eq!(own, vec![Some("mine".to_owned()); 2], "its own key");
}

/// "A request that fails is tried again until it succeeds or the attempts are used up."
pub async fn retried(factory: Factory) {
    let stage = Stage::new();
    let queue = stage.queue(&factory).await;
    stage.invoker.fail(2);
    let id = stage.submit(&*queue, "f", "a").await;
    stage.ended(&*queue, id).await;
    assert_eq!(stage.invoker.calls().len(), 3, "two failures and a success");
    stage.invoker.fail(usize::MAX);
    let id = stage.submit(&*queue, "f", "b").await;
    let letter = stage.dead(&*queue, id).await;
    assert_eq!((letter.failures, stage.invoker.calls().len()), (3, 6));
}

/// "Past the maximum age a request is tried no more."
pub async fn too_old(factory: Factory) {
    let stage = Stage::new();
    stage.set(|settings| {
        settings.attempts = 1_000_000;
        settings.max_age = Duration::from_millis(60);
        settings.longest_pause = Duration::from_millis(5);
    });
    let queue = stage.queue(&factory).await;
    stage.invoker.fail(usize::MAX);
    let id = stage.submit(&*queue, "f", "a").await;
    let letter = stage.dead(&*queue, id).await;
    assert!(letter.failures > 0, "{letter:?}");
    let tried = stage.invoker.calls().len();
    let last = stage.submit(&*queue, "f", "b").await;
    stage.dead(&*queue, last).await;
    let again = stage.invoker.calls();
    assert!(
        again[tried..].iter().all(|call| call.id == last),
        "tried again"
    );
}

/// "Of one function, never more requests run at once than its settings say."
pub async fn concurrency(factory: Factory) {
    let stage = Stage::new();
    stage.set(|settings| settings.concurrency = 2);
    stage.invoker.hold();
    let queue = stage.queue(&factory).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(stage.submit(&*queue, "f", &n.to_string()).await);
    }
    stage.until("two run", |s| s.invoker.running() >= 2).await;
    // Another function's have places of their own, and run behind those that wait.
    ids.push(stage.submit(&*queue, "g", "other").await);
    stage
        .until("the other runs", |s| {
            s.invoker.calls().iter().any(|call| call.payload == "other")
        })
        .await;
    assert_eq!(stage.invoker.running(), 3);
    stage.invoker.let_go();
    for id in ids {
        stage.ended(&*queue, id).await;
    }
    assert_eq!(stage.invoker.most("default/f"), 2, "at once");
}

/// "A request that failed for good is kept with its payload and the cause; redriven it is run
/// again, discarded it is gone."
pub async fn dead_letters(factory: Factory) {
    let stage = Stage::new();
    let queue = stage.queue(&factory).await;
    stage.invoker.fail(usize::MAX);
    let call = stage.call("f", "precious").with_attribute("colour", "red");
    let first = queue.submit(call).await.expect("it is taken");
    let letter = stage.dead(&*queue, first).await;
    assert_eq!(letter.payload, Payload::text("precious"));
    assert_eq!(letter.attributes.get("colour"), Some("red"));
    assert!(letter.cause.contains("Stage.Asked"), "{}", letter.cause);
    let second = stage.submit(&*queue, "f", "worthless").await;
    stage.dead(&*queue, second).await;
    let page = queue.dead_letters(LetterQuery::new().limit(1)).await;
    let page = page.expect("a page");
    assert_eq!((page.letters[0].id, page.more), (first, true));
    let rest = queue.dead_letters(LetterQuery::new().after(first)).await;
    let rest = rest.expect("a page");
    assert_eq!((rest.letters[0].id, rest.more), (second, false));

    stage.invoker.fail(0);
    let before = stage.invoker.calls().len();
    queue.redrive(first).await.expect("it is there");
    stage.ended(&*queue, first).await;
    let calls = stage.invoker.calls();
    let again: Vec<_> = calls[before..].iter().map(|call| &*call.payload).collect();
    assert_eq!(again, ["precious"]);
    queue.discard(second).await.expect("it is there");
    let error = queue.redrive(second).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let left = queue
        .dead_letters(LetterQuery::new())
        .await
        .expect("a page");
    assert!(left.letters.is_empty(), "{left:?}");
}

/// "What a request came to is handed on, to a function, a workflow, or a queue."
pub async fn destinations(factory: Factory) {
    let stage = Stage::new();
    let handler: faas_core::FunctionRef = "mourner".parse().expect("a function");
    stage.set_for("f", |settings| {
        settings.on_success = Some(Destination::Queue(results()));
        settings.on_failure = Some(Destination::Function(handler));
    });
    stage.set_for("w", |settings| {
        settings.on_success = Some(Destination::Workflow {
            namespace: "default".parse().expect("a namespace"),
            name: "next".parse().expect("a name"),
        });
    });
    let queue = stage.queue(&factory).await;
    let id = stage.submit(&*queue, "f", "a").await;
    stage.ended(&*queue, id).await;
    let messages = queue.messages(&results(), 10).await.expect("messages");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0].payload, Payload::text("a"), "the echo");
    let source = messages[0].attributes.get("faas-source-invocation");
    assert_eq!(source, Some(&*id.to_string()));
    for _ in 0..2 {
        let done = queue.acknowledge(&results(), messages[0].id).await;
        done.expect("twice is once");
    }
    let left = queue.messages(&results(), 10).await.expect("messages");
    assert!(left.is_empty(), "{left:?}");

    stage.invoker.fail(3);
    let id = stage.submit(&*queue, "f", "b").await;
    stage.ended(&*queue, id).await;
    let told = |s: &Stage| {
        s.invoker
            .calls()
            .iter()
            .any(|call| call.function == "default/mourner")
    };
    stage.until("the failure is told", told).await;
    let calls = stage.invoker.calls();
    let told = calls.last().expect("a call");
    assert_eq!((&*told.payload, &*told.outcome), ("b", "failure"));

    let id = stage.submit(&*queue, "w", "c").await;
    stage.ended(&*queue, id).await;
    stage
        .until("the workflow starts", |s| !s.started().is_empty())
        .await;
    let started = stage.started();
    let (workflow, execution, input) = &started[0];
    assert_eq!((&**workflow, &**input), ("default/next", "c"));
    assert!(
        started.iter().all(|other| other.1 == *execution),
        "one name"
    );
}

/// "Over the bound `submit` answers `Exhausted` with a retry-after and stores nothing."
pub async fn bounded(factory: Factory) {
    let mut stage = Stage::new();
    stage.capacity = 3;
    stage.invoker.hold();
    let queue = stage.queue(&factory).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(stage.submit(&*queue, "f", &n.to_string()).await);
    }
    let call = stage.call("f", "too much");
    let error = queue.submit(call.clone()).await.expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.retry_after().is_some(), "says when to come again");
    let found = queue.find(call.id).await.expect_err("it is not stored");
    assert_eq!(found.kind(), ErrorKind::NotFound);
    stage.invoker.let_go();
    for id in ids {
        stage.ended(&*queue, id).await;
    }
    stage.invoker.fail(usize::MAX);
    for n in 0..3 {
        let id = stage
            .submit_when_there_is_room(&*queue, &n.to_string())
            .await;
        stage.dead(&*queue, id).await;
    }
    let error = queue.submit(stage.call("f", "x")).await;
    let error = error.expect_err("dead letters count");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
}

/// "A function that is not there is `NotFound`, at once."
pub async fn unknown_is_refused(factory: Factory) {
    let stage = Stage::new();
    let queue = stage.queue(&factory).await;
    let call = stage.call("nowhere", "a");
    let error = queue.submit(call.clone()).await.expect_err("it is unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(queue.find(call.id).await.is_err(), "it is stored");
}

/// "Of several queues over one store one runs the requests of all, and a stalled one that wakes up
/// records nothing any more."
pub async fn one_owner(factory: Factory) {
    let mut stage = Stage::new();
    let lease = Duration::from_millis(150);
    stage.lease = Some(lease);
    stage.set(|settings| settings.on_success = Some(Destination::Queue(results())));
    stage.invoker.hold();
    let gate = Gate::new(stage.store.clone());
    let first = stage.queue_over(&factory, gate.clone()).await;
    let id = stage.submit(&*first, "f", "a").await;
    stage.until("it runs", |s| s.invoker.running() == 1).await;
    let second = stage.queue(&factory).await;
    let other = stage.submit(&*second, "f", "b").await;
    stage
        .until("the first runs both", |s| s.invoker.running() == 2)
        .await;
    tokio::time::sleep(lease * 3).await;
    assert_eq!(
        stage.invoker.calls().len(),
        2,
        "a living owner was disturbed"
    );
    // It stalls, and the other takes over.
    gate.shut();
    stage
        .until("both run again", |s| s.invoker.calls().len() == 4)
        .await;
    stage.invoker.let_go();
    for id in [id, other] {
        stage.ended(&*second, id).await;
    }
    gate.open();
    let last = stage.submit(&*first, "f", "c").await;
    stage.ended(&*first, last).await;
    let messages = second.messages(&results(), 10).await.expect("messages");
    assert_eq!(messages.len(), 3, "a fenced one recorded something");
}

/// "Dropping the future of `submit` does not tear the request."
pub async fn cancel_safe(factory: Factory) {
    let mut stage = Stage::new();
    stage.capacity = 4;
    let queue = stage.queue(&factory).await;
    for n in 0..20 {
        let call = stage.call("f", "whole");
        let mut submitted = Box::pin(queue.submit(call.clone()));
        for _ in 0..n % 5 {
            if (&mut submitted).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(submitted);
        let settled = async {
            while let Ok(Queued::Pending { .. }) = queue.find(call.id).await {
                tokio::task::yield_now().await;
            }
        };
        stage::within("it settles", settled).await;
    }
    let calls = stage.invoker.calls();
    assert!(
        calls.iter().all(|call| call.payload == "whole"),
        "{calls:?}"
    );
    for _ in 0..4 {
        let id = stage.submit_when_there_is_room(&*queue, "after").await;
        stage.ended(&*queue, id).await;
    }
}
