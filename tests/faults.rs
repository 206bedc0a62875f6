//! What a platform makes of functions that misbehave, and of callers that ask for too much: each
//! gets a classified answer, the instance is replaced where it must be, and others are not disturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faas::core::{
    Clock, ErrorKind, FunctionError, HandlerCall, HandlerReply, Outcome, Payload, TokioClock,
};
use faas::function::registry::FunctionConfig;
use faas::{CallError, Platform};
use tokio::sync::Notify;

async fn platform() -> Platform {
    let platform = Platform::builder().build().await;
    let platform = platform.expect("the defaults are sound");
    let deployed = platform.deploy_json("well", |n: u64| async move { Ok(n + 1) });
    deployed.await.expect("it deploys");
    platform
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("an answer in time")
}

/// That other functions are not disturbed.
async fn others_are_well(platform: &Platform) {
    let two: u64 = within(platform.call("well", &1)).await.expect("it runs");
    assert_eq!(two, 2);
}

/// Deploys a handler with a configuration of its own.
async fn deploy<F, Fut>(
    platform: &Platform,
    name: &str,
    handler: F,
    configure: impl FnOnce(&mut FunctionConfig),
) where
    F: Fn(HandlerCall) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<HandlerReply, FunctionError>> + Send + 'static,
{
    let mut config = platform.register(handler).expect("a name");
    configure(&mut config);
    platform.deploy(name, config).await.expect("it deploys");
}

async fn failure(platform: &Platform, function: &str) -> FunctionError {
    let done = within(platform.run(function, Payload::empty())).await;
    match done.expect("the platform is well").trailer.outcome {
        Outcome::Failure(error) => error,
        other => panic!("{other:?}"),
    }
}

fn nothing() -> Result<HandlerReply, FunctionError> {
    Ok(HandlerReply::Whole(Payload::empty()))
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_hangs_is_timed_out() {
    let platform = platform().await;
    let hang = |_| std::future::pending();
    deploy(&platform, "hang", hang, |config| {
        config.timeout = Duration::from_secs(3);
    })
    .await;
    let error = failure(&platform, "hang").await;
    assert_eq!(error.kind, FunctionError::TIMEOUT, "{error}");
    others_are_well(&platform).await;
}

/// Lets whoever blocks go when a test ends, however it ends.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closure_that_never_yields_is_given_up_and_replaced() {
    let guests = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let platform = Platform::builder().guest_runtime(guests.handle().clone());
    let platform = platform.build().await.expect("it is well configured");
    let deployed = platform.deploy_json("well", |n: u64| async move { Ok(n + 1) });
    deployed.await.expect("it deploys");
    let release = Arc::new(AtomicBool::new(false));
    let (released, first) = (release.clone(), AtomicBool::new(true));
    let block = move |_| {
        let (released, first) = (released.clone(), first.swap(false, Ordering::SeqCst));
        async move {
            while first && !released.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            nothing()
        }
    };
    let release = Release(release);
    deploy(&platform, "block", block, |config| {
        config.timeout = Duration::from_millis(100);
        config.max_instances = 2;
    })
    .await;
    let error = failure(&platform, "block").await;
    assert_eq!(error.kind, FunctionError::TIMEOUT, "{error}");
    others_are_well(&platform).await;
    // Another instance takes its place.
    let again = within(platform.run("block", Payload::empty())).await;
    let again = again.expect("the platform is well").trailer.outcome;
    assert!(matches!(again, Outcome::Success), "{again:?}");
    drop(release);
    drop(platform);
    guests.shutdown_background();
}

#[tokio::test]
async fn an_answer_over_the_limit_is_the_functions_failure() {
    let platform = platform().await;
    let much = |_| async { Ok(HandlerReply::Whole(Payload::bytes(vec![7; 1001]))) };
    deploy(&platform, "much", much, |config| {
        config.response_limit = 1000
    })
    .await;
    let error = failure(&platform, "much").await;
    assert_eq!(error.kind, FunctionError::RESPONSE_TOO_LARGE, "{error}");
    others_are_well(&platform).await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let platform = platform().await;
    let never = Arc::new(Notify::new());
    let waits = {
        let never = never.clone();
        move |_| {
            let never = never.clone();
            async move {
                never.notified().await;
                nothing()
            }
        }
    };
    deploy(&platform, "busy", waits, |config| config.max_instances = 1).await;
    let mut calls = tokio::task::JoinSet::new();
    let refused = async {
        loop {
            for _ in 0..100 {
                let platform = platform.clone();
                calls.spawn(async move { platform.run("busy", Payload::empty()).await });
            }
            tokio::task::yield_now().await;
            while let Some(done) = calls.try_join_next() {
                if let Err(error) = done.expect("no panic") {
                    return error;
                }
            }
        }
    };
    let error = within(refused).await;
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.retry_after().is_some(), "{error}");
    others_are_well(&platform).await;
}

#[tokio::test]
async fn dropped_calls_leave_the_queue_and_free_their_slots() {
    let platform = platform().await;
    let (entered, began) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let hang = {
        let (entered, began) = (entered.clone(), began.clone());
        move |call: HandlerCall| {
            let (entered, began) = (entered.clone(), began.clone());
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                if call.payload.is_empty() {
                    entered.notify_one();
                    std::future::pending::<()>().await;
                }
                nothing()
            }
        }
    };
    deploy(&platform, "one", hang, |config| config.max_instances = 1).await;
    let call = |payload: Payload| {
        let platform = platform.clone();
        tokio::spawn(async move { platform.run("one", payload).await })
    };
    let running = call(Payload::empty());
    within(entered.notified()).await;
    let waiting: Vec<_> = (0..10).map(|_| call(Payload::empty())).collect();
    tokio::task::yield_now().await;
    for call in &waiting {
        call.abort();
    }
    running.abort();
    // Neither what ran nor what waited is before it.
    let done = within(platform.run("one", Payload::text("go on"))).await;
    done.expect("the slot was freed");
    assert!(began.load(Ordering::SeqCst) <= 3, "a dropped call ran");
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_said_so() {
    let platform = platform().await;
    let hang = |_| std::future::pending();
    deploy(&platform, "hang", hang, |config| config.max_instances = 1).await;
    let clock = TokioClock::new();
    let request = |after: Duration| {
        let mut request = platform.request("hang", Payload::empty()).expect("a name");
        request.deadline = Some(clock.now() + after);
        request
    };
    let first = platform.invoke(request(Duration::from_secs(60)));
    let second = platform.invoke(request(Duration::from_millis(50)));
    let error = tokio::select! {
        biased;
        answer = first => panic!("it hangs: {answer:?}"),
        answer = within(second) => answer.expect_err("it waits in vain"),
    };
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    others_are_well(&platform).await;
}

#[tokio::test]
async fn a_deleted_function_is_not_found() {
    let platform = platform().await;
    let deployed = platform.deploy_json("gone", |n: u64| async move { Ok(n) });
    deployed.await.expect("it deploys");
    let one: u64 = within(platform.call("gone", &1)).await.expect("it runs");
    assert_eq!(one, 1);
    platform.delete("gone").await.expect("it is deleted");
    let not_found = async {
        loop {
            match platform.call::<_, u64>("gone", &1).await {
                Err(CallError::Platform(error)) => return error,
                Err(error) => panic!("{error}"),
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let error = within(not_found).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    others_are_well(&platform).await;
}
