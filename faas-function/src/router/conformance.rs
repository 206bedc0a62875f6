//! The suite of [`FunctionRouter`](super::FunctionRouter): one case for each rule of its contract.

mod stage;

use std::sync::atomic::Ordering;
use std::time::Duration;

use faas_core::{Error, ErrorKind, Response, Result, Retry};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

pub use stage::{Factory, QUEUE, Setup};
use stage::{Stage, within};

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
    never_over_the_limit queue_is_bounded hands_over fair deadline_leaves_queue drop_leaves_queue
    demand_is_pushed removed_gets_no_more weights_split unknown_function
    refuses waits_no_longer fair_admission drains
}

/// Expands to one `#[tokio::test]` per rule of [`FunctionRouter`](crate::FunctionRouter)'s
/// contract. Takes an `async` closure from a
/// [`Setup`](crate::router::conformance::Setup) to a router; put it into a module of its own.
#[macro_export]
macro_rules! function_router_conformance {
    ($factory:expr) => {
        $crate::function_router_conformance! { @cases $factory;
            never_over_the_limit queue_is_bounded hands_over fair deadline_leaves_queue
            drop_leaves_queue demand_is_pushed removed_gets_no_more weights_split unknown_function
            refuses waits_no_longer fair_admission drains
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            let factory: $crate::router::conformance::Factory = ::std::sync::Arc::new(|setup| {
                ::std::boxed::Box::pin(async move {
                    ::std::sync::Arc::new(($factory)(setup).await)
                        as ::std::sync::Arc<dyn $crate::FunctionRouter>
                })
            });
            $crate::router::conformance::$case(factory).await;
        }
    )*};
}

async fn answered(call: JoinHandle<Result<Response>>) {
    let joined = within("the answer", call).await.expect("no panic");
    joined.expect("the invocation runs");
}

/// "No instance has more invocations at once than its concurrency."
pub async fn never_over_the_limit(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let worker = stage.add(2);
    let calls: Vec<_> = (0..5).map(|_| stage.start_for("a")).collect();
    stage
        .until("two run, three wait", |l| l.running + l.queued == 5)
        .await;
    worker.let_go(5);
    for call in calls {
        answered(call).await;
    }
    assert_eq!(worker.most.load(Ordering::SeqCst), 2, "at once");
}

/// "Over the bound, `Exhausted` with a retry-after."
pub async fn queue_is_bounded(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let waiting: Vec<_> = (0..QUEUE).map(|_| stage.start_for("a")).collect();
    let full = |load: &crate::autoscaler::RevisionLoad| load.queued as usize == QUEUE;
    stage.until("the queue is full", full).await;
    let refused = within("the refusal", stage.start_for("a")).await;
    exhausted(refused.expect("no panic"));
    drop(waiting);
}

fn exhausted(refused: Result<Response>) {
    let error = refused.expect_err("the queue is full");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.retry_after().is_some(), "says when to come again");
}

/// "When the queue is full, an invocation of a tenant that has few places in it gets the place of
/// the newest of the tenant that has most, which answers `Exhausted` with a retry-after."
pub async fn fair_admission(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let mut many = Vec::new();
    for waiting in 1..=QUEUE {
        many.push(stage.start_for("many"));
        let waits = |l: &crate::autoscaler::RevisionLoad| l.queued as usize == waiting;
        stage.until("it waits", waits).await;
    }
    let few = stage.start_for("few");
    let newest = many.pop().expect("they wait");
    exhausted(
        within("the newest's refusal", newest)
            .await
            .expect("no panic"),
    );
    let full = |load: &crate::autoscaler::RevisionLoad| load.queued as usize == QUEUE;
    stage.until("the queue is full", full).await;
    assert!(
        many.iter().all(|call| !call.is_finished()),
        "the others wait"
    );
    let worker = stage.add(2);
    worker.let_go(QUEUE);
    answered(few).await;
    for call in many {
        answered(call).await;
    }
}

/// "A waiting invocation gets the first slot that frees, of a new instance or of an old one."
pub async fn hands_over(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let calls: Vec<_> = (0..3).map(|_| stage.start_for("a")).collect();
    stage.until("three wait", |load| load.queued == 3).await;
    let worker = stage.add(2);
    stage
        .until("two run", |l| l.running == 2 && l.queued == 1)
        .await;
    worker.let_go(1);
    stage
        .until("the third runs", |l| l.running == 2 && l.queued == 0)
        .await;
    worker.let_go(2);
    for call in calls {
        answered(call).await;
    }
}

/// "Tenants that wait are served in turn, not by the length of their queues."
pub async fn fair(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let mut many = Vec::new();
    for waiting in 1..=3 {
        many.push(stage.start_for("many"));
        stage.until("it waits", |l| l.queued == waiting).await;
    }
    let single = stage.start_for("single");
    stage.until("all wait", |load| load.queued == 4).await;
    let worker = stage.add(2);
    worker.let_go(2);
    answered(single).await;
    let first = many.remove(0);
    answered(first).await;
    assert!(many.iter().all(|call| !call.is_finished()), "out of turn");
    worker.let_go(2);
    for call in many {
        answered(call).await;
    }
}

/// "An invocation whose deadline passes leaves the queue with `DeadlineExceeded`."
pub async fn deadline_leaves_queue(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let deadline = stage.clock.now() + Duration::from_millis(50);
    let call = stage.call("worker").with_deadline(deadline);
    let late = within("the deadline", stage.router.invoke(call)).await;
    let error = late.expect_err("nothing can run it");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    stage.until("it left", |load| load.queued == 0).await;
}

/// "Dropping the future of `invoke` leaves the queue at once."
pub async fn drop_leaves_queue(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let call = stage.start_for("a");
    stage.until("it waits", |load| load.queued == 1).await;
    call.abort();
    let ended = within("the end", call).await;
    assert!(ended.is_err_and(|e| e.is_cancelled()), "it was aborted");
    stage.until("it left", |load| load.queued == 0).await;
    // Nor does one that left take a slot.
    let worker = stage.add(2);
    worker.let_go(1);
    answered(stage.start_for("a")).await;
    assert_eq!(worker.served.load(Ordering::SeqCst), 1, "served");
}

/// "`demand` reports a change at once, not by polling."
pub async fn demand_is_pushed(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let mut demand = stage.router.demand();
    let call = stage.start_for("a");
    // No platform that polls for demand does so as often as that.
    let soon = tokio::time::timeout(Duration::from_millis(500), demand.next()).await;
    let (_, load) = soon.expect("at once").expect("demand does not end");
    assert_eq!(load.queued, 1);
    call.abort();
}

/// "An instance that was removed gets no new invocation."
pub async fn removed_gets_no_more(factory: Factory) {
    use crate::FunctionInstance;

    let stage = Stage::new(&factory).await;
    let (kept, removed) = (stage.add(2), stage.add(2));
    stage.router.remove(removed.id());
    for _ in 0..4 {
        kept.let_go(1);
        answered(stage.start_for("a")).await;
    }
    assert_eq!(removed.served.load(Ordering::SeqCst), 0, "served");
}

/// "An alias's traffic is split by its weights."
pub async fn weights_split(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let workers = [stage.add(1), stage.add(2)];
    for worker in &workers {
        worker.let_go(400);
    }
    for _ in 0..400 {
        answered(stage.start(stage.call("worker@split"))).await;
    }
    let [one, three] = workers.map(|worker| worker.served.load(Ordering::SeqCst));
    assert_eq!(one + three, 400);
    // Seven standard deviations to each side of a quarter.
    assert!((40..=160).contains(&one), "a quarter, but {one} of 400");
}

/// "An unknown function, revision or alias answers `NotFound`."
pub async fn unknown_function(factory: Factory) {
    let stage = Stage::new(&factory).await;
    for unknown in ["nobody", "worker@9", "worker@none"] {
        let answer = within(unknown, stage.router.invoke(stage.call(unknown))).await;
        let error = answer.expect_err(unknown);
        assert_eq!(error.kind(), ErrorKind::NotFound, "{unknown}");
    }
}

/// "From `refuse` on, those that wait for that revision answer its error; who comes later waits as
/// before."
pub async fn refuses(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let calls: Vec<_> = (0..2).map(|_| stage.start_for("a")).collect();
    stage.until("two wait", |load| load.queued == 2).await;
    let why = Error::unsupported("plan", "there is no such contract");
    stage.router.refuse(&stage.revision(2), why);
    for call in calls {
        let joined = within("the refusal", call).await.expect("no panic");
        let error = joined.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("no such contract"), "{error}");
    }
    let later = stage.start_for("a");
    stage.until("it waits", |load| load.queued == 1).await;
    stage.add(2).let_go(1);
    answered(later).await;
}

/// "Without a deadline an invocation waits for as long as the router says, and then answers
/// `Exhausted` with `Retry::Safe`."
pub async fn waits_no_longer(factory: Factory) {
    let stage = Stage::with(&factory, Duration::from_millis(50)).await;
    let unserved = within(
        "the end of the wait",
        stage.router.invoke(stage.call("worker")),
    )
    .await;
    let error = unserved.expect_err("nothing can run it");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert_eq!(error.retry(), Retry::Safe, "{error}");
    stage.until("it left", |load| load.queued == 0).await;
}

fn refused(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.retry(), Retry::Safe, "{error}");
}

/// "From the call of `drain` on, new invocations answer `Unavailable` with `Retry::Safe`; it ends
/// when none waits and none runs, or at its deadline with `DeadlineExceeded`, and those that still
/// wait then answer `Unavailable` with `Retry::Safe`."
pub async fn drains(factory: Factory) {
    let stage = Stage::new(&factory).await;
    let worker = stage.add(2);
    let calls: Vec<_> = (0..3).map(|_| stage.start_for("a")).collect();
    stage
        .until("two run, one waits", |l| l.running == 2 && l.queued == 1)
        .await;
    let mut drain = stage
        .router
        .drain(stage.clock.now() + Duration::from_secs(60));
    assert!(futures::poll!(&mut drain).is_pending(), "three are left");
    let late = within("the refusal", stage.router.invoke(stage.call("worker"))).await;
    refused(&late.expect_err("it takes no more"));
    worker.let_go(3);
    for call in calls {
        answered(call).await;
    }
    within("the end", drain).await.expect("nothing is left");

    let stage = Stage::new(&factory).await;
    let call = stage.start_for("a");
    stage.until("it waits", |load| load.queued == 1).await;
    let deadline = stage.clock.now() + Duration::from_millis(50);
    let error = within("the deadline", stage.router.drain(deadline)).await;
    let error = error.expect_err("nothing can run it");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    let joined = within("the answer", call).await.expect("no panic");
    refused(&joined.expect_err("nothing runs it"));
}
