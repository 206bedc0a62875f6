//! Amazon States Language on a platform: definitions as AWS Step Functions takes them, over the
//! platform's own functions.
#![cfg(feature = "memory")]

use std::time::Duration;

use faas::Platform;
use faas::core::ErrorKind;
use serde_json::{Value, json};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("an answer in time")
}

async fn platform() -> Platform {
    let platform = Platform::builder().build().await.expect("it is sound");
    let twice = |n: u64| async move { Ok(2 * n) };
    platform
        .deploy_json("twice", twice)
        .await
        .expect("it deploys");
    platform
}

#[tokio::test]
async fn a_state_machine_runs_over_the_platforms_functions() {
    let platform = platform().await;
    let inner = json!({
        "StartAt": "Twice",
        "States": { "Twice": {
            "Type": "Task", "Resource": "arn:aws:lambda:us-east-1:123456789012:function:twice",
            "InputPath": "$.n", "End": true
        } }
    });
    let registered = platform
        .register_state_machine("inner", &inner.to_string())
        .await;
    assert_eq!(registered.expect("it compiles").version.0, 1);
    let outer = json!({
        "StartAt": "Each",
        "States": {
            "Each": {
                "Type": "Map", "ItemsPath": "$.numbers", "Next": "Sum", "ResultPath": "$.twice",
                "ItemSelector": { "n.$": "$$.Map.Item.Value" },
                "ItemProcessor": { "StartAt": "Inner", "States": { "Inner": {
                    "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
                    "Parameters": { "StateMachineArn": "inner", "Input.$": "$" },
                    "OutputPath": "$.Output", "End": true
                } } }
            },
            "Sum": {
                "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {
                    "FunctionName": "twice",
                    "Payload.$": "States.MathAdd($.twice[0], $.twice[1])"
                },
                "OutputPath": "$.Payload", "End": true
            }
        }
    });
    let registered = platform
        .register_state_machine("outer", &outer.to_string())
        .await;
    registered.expect("it compiles");
    let input = json!({ "numbers": [1, 2] });
    let output: u64 = within(platform.execute("outer", "one", &input))
        .await
        .expect("it succeeds");
    assert_eq!(output, 12);
}

#[tokio::test]
async fn a_faulty_state_machine_is_refused_with_every_fault() {
    let platform = platform().await;
    let faulty = json!({
        "StartAt": "A",
        "States": { "A": { "Type": "Pass", "Next": "B" }, "C": { "Type": "Nothing" } }
    });
    let refused = platform
        .register_state_machine("m", &faulty.to_string())
        .await;
    let error = refused.expect_err("it is faulty");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    for place in ["/States/A/Next", "/States/C/Type"] {
        assert!(error.message().contains(place), "{error}");
    }
}

#[tokio::test]
async fn jsonata_is_the_features() {
    let platform = platform().await;
    let definition = json!({
        "QueryLanguage": "JSONata", "StartAt": "Sum",
        "States": { "Sum": { "Type": "Pass", "Output": "{% $sum($states.input) %}", "End": true } }
    });
    let registered = platform
        .register_state_machine("sum", &definition.to_string())
        .await;
    if !cfg!(feature = "jsonata") {
        let error = registered.expect_err("nothing evaluates it");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        return;
    }
    registered.expect("it compiles");
    let input = json!([1, 2, 3]);
    let output: Value = within(platform.execute("sum", "one", &input))
        .await
        .expect("it succeeds");
    assert_eq!(output, json!(6));
}
