//! The platform as an application uses it: functions of this process, and workflows over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use faas::core::explain::Finding;
use faas::core::{
    Clock, Component, ErrorKind, FunctionError, InvocationId, Outcome, Payload, Phase, Provision,
    StartKind, TokioClock,
};
use faas::workflow::{Ending, Expression, WorkflowBuilder};
use faas::{CallError, Platform};

async fn platform() -> Platform {
    Platform::builder()
        .build()
        .await
        .expect("the defaults are sound")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("an answer in time")
}

#[tokio::test]
async fn a_closure_starts_cold_and_then_is_warm() {
    let platform = platform().await;
    platform
        .deploy_json("inc", |n: u64| async move { Ok(n + 1) })
        .await
        .expect("it deploys");
    let one = Payload::json(&1u64).expect("JSON");
    let cold = within(platform.run("inc", one.clone()))
        .await
        .expect("it runs");
    assert_eq!(cold.start, StartKind::Cold);
    assert!(
        !cold.trailer.timeline[Phase::Queue].is_zero(),
        "{}",
        cold.trailer.timeline
    );
    assert_eq!(cold.payload.to_json::<u64>().expect("a number"), 2);
    let warm = within(platform.run("inc", one)).await.expect("it runs");
    assert_eq!(warm.start, StartKind::Warm);
    // Nothing is recorded of a warm call; where it ran is in its answer.
    assert!(warm.instance.is_some() && warm.instance == cold.instance);
    let instance = platform.explain(warm.instance.expect("it says where"));
    assert_eq!(instance.finding, Finding::Found);
    assert!(
        warm.trailer.timeline[Phase::Queue].is_zero(),
        "{}",
        warm.trailer.timeline
    );

    let why = platform.explain(cold.id);
    assert_eq!(why.finding, Finding::Found);
    let classes: Vec<_> = why
        .decisions
        .iter()
        .map(|decision| decision.class)
        .collect();
    use faas::core::explain::DecisionClass::{Instance, Placement, Planning, Queueing, Scaling};
    for class in [Queueing, Scaling, Planning, Placement, Instance] {
        assert!(classes.contains(&class), "{class:?} is missing:\n{why}");
    }
    assert_eq!(platform.explain(warm.id).finding, Finding::Undecided);
    assert_eq!(
        platform.explain(InvocationId::from_u128(1)).finding,
        Finding::Unknown
    );
    within(platform.shutdown(Duration::from_secs(5)))
        .await
        .expect("it drains");
}

#[tokio::test(start_paused = true)]
async fn why_it_waits_is_told_while_it_waits_and_after_its_deadline() {
    use faas::core::explain::DecisionClass::{Placement, Planning, Queueing, Scaling};
    use futures::StreamExt;

    let clock: Arc<dyn Clock> = Arc::new(TokioClock::for_paused_time());
    let platform = Platform::builder().clock(clock.clone()).build().await;
    let platform = platform.expect("the defaults are sound");
    let huge = |n: u64| async move { Ok(n) };
    let mut config = platform
        .deploy_json("huge", huge)
        .await
        .expect("it deploys")
        .latest
        .config
        .clone();
    // More than any node has, and less than all of them together.
    config.resources.memory = faas::core::ByteSize::mib(1024 * 1024 + 1);
    platform.deploy("huge", config).await.expect("it deploys");

    let mut decisions = Box::pin(platform.decisions().stream());
    let call = platform.request("huge@2", Payload::json(&1u64).expect("JSON"));
    let mut call = call.expect("a reference");
    call.deadline = Some(clock.now() + Duration::from_secs(5));
    let id = call.id;
    let waiting = tokio::spawn({
        let platform = platform.clone();
        async move { platform.invoke(call).await.map(drop) }
    });
    let unschedulable = async {
        while let Some(decision) = decisions.next().await
            && decision.class != Placement
        {}
    };
    within(unschedulable).await;
    let told = |when: &str| {
        let why = platform.explain(id);
        let classes: Vec<_> = why.decisions.iter().map(|d| d.class).collect();
        for class in [Queueing, Scaling, Planning, Placement] {
            assert!(classes.contains(&class), "{class:?} {when}:\n{why}");
        }
        let why = why.to_string();
        assert!(why.contains("memory"), "{when}: {why}");
        why
    };
    told("while it waits");
    let error = within(waiting).await.expect("no panic");
    let error = error.expect_err("it fits nowhere");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(told("after its deadline").contains("its time was over"));
}

#[tokio::test]
async fn many_requests_for_a_cold_function_are_all_answered() {
    let platform = platform().await;
    platform
        .deploy_json("double", |n: u64| async move { Ok(2 * n) })
        .await
        .expect("it deploys");
    let call = |n: u64| {
        let platform = platform.clone();
        tokio::spawn(async move { platform.call::<_, u64>("double", &n).await })
    };
    let calls: Vec<_> = (0..200).map(call).collect();
    for (n, call) in (0..).zip(calls) {
        let answer: u64 = within(call).await.expect("no panic").expect("an answer");
        assert_eq!(answer, 2 * n);
    }
}

#[tokio::test]
async fn a_failing_function_is_no_failing_platform() {
    let platform = platform().await;
    let fail = |_: u64| async { Err::<u64, _>(FunctionError::new("Shop.Empty", "nothing left")) };
    platform
        .deploy_json("fail", fail)
        .await
        .expect("it deploys");
    let done = within(platform.run("fail", Payload::json(&1).expect("JSON"))).await;
    let Outcome::Failure(error) = done.expect("the platform is well").trailer.outcome else {
        panic!("the function failed")
    };
    assert_eq!(error.kind, "Shop.Empty");
    let error = within(platform.call::<_, u64>("fail", &1))
        .await
        .expect_err("it failed");
    assert!(matches!(error, CallError::Function(_)), "{error}");
}

#[tokio::test]
async fn a_panic_is_the_functions_failure_and_others_are_not_disturbed() {
    let platform = platform().await;
    let calls = Arc::new(AtomicU32::new(0));
    let seen = calls.clone();
    platform
        .deploy_json("moody", move |_: u64| {
            let first = seen.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                assert!(!first, "not today");
                Ok(1u64)
            }
        })
        .await
        .expect("it deploys");
    let error = within(platform.call::<_, u64>("moody", &1))
        .await
        .expect_err("it panics");
    assert!(
        error.to_string().starts_with(FunctionError::PANIC),
        "{error}"
    );
    assert_eq!(
        within(platform.call::<_, u64>("moody", &1))
            .await
            .expect("it runs"),
        1
    );
}

#[tokio::test]
async fn an_unknown_function_is_not_found_and_a_bad_name_refused() {
    let platform = platform().await;
    let error = within(platform.run("nobody", Payload::empty()))
        .await
        .expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = platform
        .deploy_json("a b/-c", |n: u64| async move { Ok(n) })
        .await;
    assert!(
        error
            .expect_err("bad names")
            .message()
            .starts_with("2 faults")
    );
}

#[tokio::test]
async fn a_new_revision_takes_over() {
    let platform = platform().await;
    platform
        .deploy_json("v", |(): ()| async { Ok(1u64) })
        .await
        .expect("it deploys");
    assert_eq!(
        within(platform.call::<_, u64>("v", &()))
            .await
            .expect("it runs"),
        1
    );
    let record = platform
        .deploy_json("v", |(): ()| async { Ok(2u64) })
        .await
        .expect("it deploys");
    assert_eq!(record.latest.number.0, 2);
    let newest = async {
        while platform.call::<_, u64>("v", &()).await.expect("it runs") != 2 {
            tokio::task::yield_now().await;
        }
    };
    within(newest).await;
    assert_eq!(
        within(platform.call::<_, u64>("v@1", &()))
            .await
            .expect("revision 1"),
        1
    );
}

#[tokio::test]
async fn a_workflow_runs_over_functions() {
    let platform = platform().await;
    let count = |text: String| async move { Ok(text.split_whitespace().count()) };
    platform
        .deploy_json("count", count)
        .await
        .expect("it deploys");
    let sum = |counts: Vec<u64>| async move { Ok(counts.iter().sum::<u64>()) };
    platform.deploy_json("sum", sum).await.expect("it deploys");
    let definition = WorkflowBuilder::new()
        .task("map", "count", |task| {
            task.map(Expression::input("/texts"), 4)
                .input(Expression::item(""))
        })
        .task("reduce", "sum", |task| {
            task.input(Expression::result("map", ""))
        })
        .output(Expression::result("reduce", ""))
        .build()
        .expect("it is well-formed");
    let registered = platform.register_workflow("words", definition).await;
    registered.expect("it compiles");
    let input = serde_json::json!({ "texts": ["a b c", "d", "e f"] });
    let words: u64 = within(platform.execute("words", "first", &input))
        .await
        .expect("it succeeds");
    assert_eq!(words, 6);
    // Under one name it runs once.
    let started = platform.start_execution("words", "first", &input).await;
    let started = started.expect("it is the same");
    assert_eq!(started.status().label(), "succeeded");
    assert_eq!(platform.explain(started.id).finding, Finding::Found);
    within(platform.shutdown(Duration::from_secs(5)))
        .await
        .expect("it drains");
}

#[tokio::test]
async fn a_workflow_that_fails_says_so() {
    let platform = platform().await;
    let fail = |_: u64| async { Err::<u64, _>(FunctionError::new("Shop.Empty", "nothing left")) };
    platform
        .deploy_json("fail", fail)
        .await
        .expect("it deploys");
    let definition = WorkflowBuilder::new()
        .task("only", "fail", |task| task.input(Expression::input("")))
        .build()
        .expect("it is well-formed");
    let registered = platform.register_workflow("doomed", definition).await;
    registered.expect("it compiles");
    let error = within(platform.execute::<_, u64>("doomed", "one", &1))
        .await
        .expect_err("it fails");
    let CallError::Workflow { execution, ending } = &error else {
        panic!("{error}")
    };
    assert!(
        matches!(&**ending, Ending::Failed(error) if error.kind == "Shop.Empty"),
        "{ending:?}"
    );
    assert_eq!(platform.explain(*execution).finding, Finding::Found);
    assert!(error.to_string().contains("nothing left"), "{error}");
}

#[tokio::test]
async fn all_faults_of_all_layers_are_told_at_once() {
    let error = Platform::builder()
        .process_root("not/absolute")
        .resources(|layer| layer.concurrent_starts(0))
        .workflows(|layer| {
            let mut options = faas::workflow::EngineOptions::default();
            options.tasks = 0;
            layer.options(options)
        })
        .build()
        .await
        .expect_err("three faults");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let message = error.message();
    assert!(message.starts_with("3 faults"), "{message}");
    for fault in ["not absolute", "may ever start", "no task could run"] {
        assert!(message.contains(fault), "{message}");
    }
}

#[tokio::test]
async fn the_map_names_the_parts() {
    let map = Platform::builder()
        .name("mine")
        .build()
        .await
        .expect("the defaults")
        .map();
    for component in Component::ALL {
        let provision = map.provision(component);
        assert_eq!(provision, &Provision::Provided, "{component}\n{map}");
    }
    assert!(map.to_string().contains("AWS Lambda"));
}

#[tokio::test]
async fn a_deleted_function_lets_go_of_its_closures() {
    let platform = platform().await;
    let (sender, gone) = tokio::sync::oneshot::channel::<()>();
    let held = Arc::new(sender);
    for answer in [1, 2] {
        let held = held.clone();
        let closure = move |(): ()| {
            let _held = held.clone();
            async move { Ok(answer) }
        };
        let record = platform.deploy_json("held", closure).await;
        let number = record.expect("it deploys").latest.number;
        let revision = format!("held@{number}");
        let got: i32 = within(platform.call(&revision, &()))
            .await
            .expect("it runs");
        assert_eq!(got, answer);
    }
    drop(held);
    platform.delete("held").await.expect("it was there");
    assert!(within(gone).await.is_err(), "the last of them is dropped");
}
