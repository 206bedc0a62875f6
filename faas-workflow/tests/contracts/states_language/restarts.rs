//! Executions go on in a new engine over the same store.

use std::time::Duration;

use faas_core::Clock;
use faas_workflow::engine::WorkflowEngine;
use faas_workflow::engine::conformance::Harness;
use faas_workflow::program::{Data, TaskToken};
use faas_workflow::{StoreExecutionStore, WorkflowExecutionStore};
use serde_json::json;

use super::{echo, lambda, place};
use crate::abilities::output;
use crate::fixtures::{start_of, within};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn a_wait_lasts_as_long_as_it_should_however_often_engines_die() {
    let place = place(&json!({
        "Start": { "Type": "Task", "Resource": lambda("before"), "Next": "Wait" },
        "Wait": { "Type": "Wait", "Seconds": 3600, "Next": "After" },
        "After": { "Type": "Task", "Resource": lambda("after"), "End": true }
    }))
    .await;
    let functions = echo();
    let mut engine = place.open(functions.clone()).await;
    let begun = place.clock.now();
    let id = engine
        .start(start_of("machine", "one", json!(1)))
        .await
        .unwrap()
        .id;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(engine);
        engine = place.open(functions.clone()).await;
    }
    let head = tokio::time::timeout(DAY, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output(&head), json!(1));
    let took = place.clock.now().since(begun).as_secs();
    assert_eq!(took, 3600, "the timer is durable");
    assert_eq!(
        functions.called("before").len(),
        1,
        "its result was recorded"
    );
    assert_eq!(functions.called("after").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn branches_variables_and_expressions_survive_at_every_point() {
    let definition = json!({
        "Start": {
            "Type": "Pass", "QueryLanguage": "JSONata",
            "Assign": { "total": "{% $sum($states.input.prices) %}" },
            "Output": "{% $states.input %}", "Next": "Both"
        },
        "Both": {
            "Type": "Parallel", "ResultPath": "$.both", "Next": "End",
            "Branches": [
                { "StartAt": "Nap", "States": {
                    "Nap": { "Type": "Wait", "Seconds": 100, "Next": "A" },
                    "A": { "Type": "Task", "Resource": lambda("a"), "Parameters": { "x.$": "$total" }, "End": true }
                } },
                { "StartAt": "Each", "States": { "Each": {
                    "Type": "Map", "ItemsPath": "$.prices", "MaxConcurrency": 1, "End": true,
                    "ItemProcessor": { "StartAt": "Rest", "States": {
                        "Rest": { "Type": "Wait", "Seconds": 30, "Next": "B" },
                        "B": { "Type": "Task", "Resource": lambda("b"), "End": true }
                    } }
                } } }
            ]
        },
        "End": {
            "Type": "Pass", "QueryLanguage": "JSONata",
            "Output": "{% {'total': $total, 'both': $states.input.both} %}", "End": true
        }
    });
    let wanted = json!({ "total": 6, "both": [{ "x": 6 }, [1, 2, 3]] });
    // The n-th engine dies after so many seconds.
    for pause in [7, 29, 30, 31, 61, 95] {
        let place = place(&definition).await;
        let functions = echo();
        let mut engine = place.open(functions.clone()).await;
        let start = start_of("machine", "one", json!({ "prices": [1, 2, 3] }));
        let id = engine.start(start).await.unwrap().id;
        for _ in 0..(100 / pause + 1) {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            drop(engine);
            engine = place.open(functions.clone()).await;
        }
        let head = tokio::time::timeout(DAY, engine.wait(id))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(output(&head), wanted, "engines died every {pause} s");
        assert_eq!(functions.calls().len(), 4, "no recorded call ran again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_given_away_ends_its_task_in_the_next_engine() {
    let place = place(&json!({
        "Start": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {
                "FunctionName": "ask", "Payload": { "token.$": "$$.Task.Token", "order.$": "$.order" }
            },
            "TimeoutSeconds": 3600, "Next": "Judge"
        },
        "Judge": {
            "Type": "Choice",
            "Choices": [{ "Variable": "$.approved", "BooleanEquals": true, "Next": "Ship" }],
            "Default": "Refused"
        },
        "Ship": { "Type": "Task", "Resource": lambda("ship"), "End": true },
        "Refused": { "Type": "Fail", "Error": "Refused" }
    }))
    .await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let start = start_of("machine", "one", json!({ "order": 5 }));
    let id = engine.start(start).await.unwrap().id;
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(engine);
    let (_, asked) = functions.called("ask").remove(0);
    let token: TaskToken = asked["token"].as_str().unwrap().parse().unwrap();
    let engine = place.open(functions.clone()).await;
    let approved: Data = json!({ "approved": true }).into();
    let tasks = engine.external_tasks().unwrap();
    tasks.complete(&token, Ok(approved)).await.unwrap();
    let head = within(engine.wait(id)).await.unwrap();
    assert_eq!(output(&head), json!({ "approved": true }));
    assert_eq!(functions.called("ask").len(), 1, "it was not asked again");
    assert_eq!(functions.called("ship").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_go_on_where_they_were_and_call_under_keys_of_their_own() {
    let place = place(&json!({
        "Start": {
            "Type": "Task", "Resource": lambda("fail"), "End": true,
            "Retry": [{ "ErrorEquals": ["Boom"], "IntervalSeconds": 100, "BackoffRate": 1, "MaxAttempts": 3 }]
        }
    }))
    .await;
    let functions = echo();
    let engine = place.open(functions.clone()).await;
    let id = engine
        .start(start_of("machine", "one", json!({})))
        .await
        .unwrap()
        .id;
    tokio::time::sleep(Duration::from_secs(150)).await;
    drop(engine);
    let engine = place.open(functions.clone()).await;
    let head = tokio::time::timeout(DAY, engine.wait(id))
        .await
        .unwrap()
        .unwrap();
    assert!(head.ending.is_some());
    let calls = functions.called("fail");
    assert_eq!(calls.len(), 4);
    let keys: std::collections::BTreeSet<_> = calls.iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys.len(),
        4,
        "an attempt that failed is over: the next is another call"
    );
    let stored = StoreExecutionStore::new(place.store.clone())
        .load(id)
        .await
        .unwrap();
    assert_eq!(stored.head, head);
}
