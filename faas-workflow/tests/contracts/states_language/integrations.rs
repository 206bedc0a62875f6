//! What tasks name, and who runs it.

use faas_workflow::engine::conformance::Harness;
use faas_workflow::engine::{PollTask, WorkflowEngine};
use faas_workflow::program::{Data, TaskError};
use faas_workflow::{Ending, ExecutionHead};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};

use super::{echo, lambda, place, states};
use crate::abilities::output;
use crate::fixtures::{Place, start_of, within};

async fn run(place: &Place, input: Value) -> ExecutionHead {
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("machine", "one", input))
        .await
        .unwrap()
        .id;
    within(engine.wait(id)).await.unwrap()
}

fn failed(head: &ExecutionHead) -> TaskError {
    match &head.ending {
        Some(Ending::Failed(error)) => error.clone(),
        other => panic!("it ended as {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn functions_are_called_by_their_arn_and_by_lambda_invoke() {
    let place = place(&json!({
        "Start": { "Type": "Task", "Resource": lambda("add:live"), "ResultPath": "$.own", "Next": "Invoke" },
        "Invoke": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName": lambda("add"), "Payload.$": "$.own" },
            "ResultSelector": { "payload.$": "$.Payload", "status.$": "$.StatusCode" }, "End": true
        }
    }))
    .await;
    let head = run(&place, json!({ "a": 1 })).await;
    assert_eq!(
        output(&head),
        json!({ "payload": { "a": 1 }, "status": 200 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_by_lambda_invoke_is_caught_under_its_own_name() {
    let place = place(&json!({
        "Start": {
            "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": { "FunctionName": "fail" },
            "Catch": [{ "ErrorEquals": ["Boom"], "Next": "Caught" }], "End": true
        },
        "Caught": {
            "Type": "Pass", "Parameters": { "cause.$": "States.StringToJson($.Cause)" }, "End": true
        }
    }))
    .await;
    let cause = json!({ "errorMessage": "it broke", "errorType": "Boom" });
    assert_eq!(
        output(&run(&place, json!({})).await),
        json!({ "cause": cause })
    );
}

#[tokio::test(start_paused = true)]
async fn arguments_of_services_that_cannot_be_are_told() {
    let nested = |resource: &str, parameters: Value| json!({ "Start": { "Type": "Task", "Resource": resource, "Parameters": parameters, "End": true } });
    let cases = [
        (
            "arn:aws:states:::lambda:invoke",
            json!({}),
            "Lambda.ValidationException",
        ),
        (
            "arn:aws:states:::lambda:invoke",
            json!({ "FunctionName": "a b" }),
            "Lambda.ValidationException",
        ),
        (
            "arn:aws:states:::states:startExecution",
            json!({}),
            "StepFunctions.ValidationException",
        ),
        (
            "arn:aws:states:::states:startExecution",
            json!({ "StateMachineArn": "no:colon:is:allowed" }),
            "StepFunctions.InvalidArn",
        ),
        (
            "arn:aws:states:::states:startExecution",
            json!({ "StateMachineArn": "nobody" }),
            "StepFunctions.StateMachineDoesNotExistException",
        ),
        (
            "arn:aws:states:::aws-sdk:s3:getObject",
            json!({ "Bucket": "b", "Key": "k" }),
            "S3.NoSuchKeyException",
        ),
        (
            "arn:aws:states:::sqs:sendMessage",
            json!({}),
            "States.TaskFailed",
        ),
    ];
    for (resource, parameters, kind) in cases {
        let place = place(&nested(resource, parameters)).await;
        let error = failed(&run(&place, json!({})).await);
        assert_eq!(error.kind, kind, "{resource}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_execution_answers_as_step_functions_describes_it() {
    let child = |pattern: &str| {
        json!({ "Start": {
            "Type": "Task", "Resource": format!("arn:aws:states:::states:startExecution{pattern}"),
            "Parameters": {
                "StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:inner",
                "Name": "child", "Input": { "n.$": "$.n" }
            },
            "End": true
        } })
    };
    for (pattern, shown) in [
        (".sync", json!("{\"n\":7}")),
        (".sync:2", json!({ "n": 7 })),
    ] {
        let place = place(&child(pattern)).await;
        let pass = json!({ "Start": { "Type": "Pass", "End": true } });
        place.register("inner", states(&pass)).await;
        let answer = output(&run(&place, json!({ "n": 7 })).await);
        assert_eq!(answer["Output"], shown);
        assert_eq!(answer["Input"], shown);
        assert_eq!(answer["Status"], "SUCCEEDED");
        let arn = "arn:aws:states:us-east-1:123456789012:execution:inner:child";
        assert_eq!(answer["ExecutionArn"], arn);
        assert!(answer["StopDate"].is_i64());
    }
    let place = place(&child(".sync")).await;
    let fail = json!({ "Start": { "Type": "Fail", "Error": "Boom", "Cause": "why" } });
    place.register("inner", states(&fail)).await;
    let error = failed(&run(&place, json!({ "n": 7 })).await);
    assert_eq!(error.kind, "States.TaskFailed");
    let cause: Value = serde_json::from_str(&error.message).unwrap();
    assert_eq!(
        (&cause["Error"], &cause["Cause"]),
        (&json!("Boom"), &json!("why"))
    );
    assert_eq!(cause["Status"], "FAILED");
}

#[tokio::test(start_paused = true)]
async fn a_worker_pulls_an_activity_and_ends_it() {
    let activity = "arn:aws:states:us-east-1:123456789012:activity:paint";
    let place = place(&json!({
        "Start": { "Type": "Task", "Resource": activity, "HeartbeatSeconds": 30, "TimeoutSeconds": 90, "End": true }
    }))
    .await;
    let engine = place.open(echo()).await;
    let id = engine
        .start(start_of("machine", "one", json!("wall")))
        .await
        .unwrap()
        .id;
    let tasks = engine.external_tasks().unwrap();
    let resource = activity.to_owned().try_into().unwrap();
    let poll = PollTask::new("default".parse().unwrap(), resource).worker("ada");
    let work = within(tasks.poll(poll)).await.unwrap();
    assert_eq!(*work.input, json!("wall"));
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    tasks.heartbeat(&work.token).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    let painted: Data = json!("painted").into();
    tasks.complete(&work.token, Ok(painted)).await.unwrap();
    assert_eq!(
        output(&within(engine.wait(id)).await.unwrap()),
        json!("painted")
    );
}

#[tokio::test(start_paused = true)]
async fn a_distributed_map_reads_and_writes_objects() {
    let place = place(&json!({
        "Start": {
            "Type": "Map",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": { "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" },
                "Parameters": { "Bucket": "shop", "Key": "orders/today.csv" }
            },
            "ItemProcessor": {
                "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
                "StartAt": "Each",
                "States": { "Each": { "Type": "Task", "Resource": lambda("each"), "End": true } }
            },
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "Parameters": { "Bucket": "shop", "Prefix": "done" }
            },
            "ResultPath": "$.run", "Next": "List"
        },
        "List": {
            "Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
            "Parameters": { "Bucket": "shop", "Prefix": "orders/to" },
            "ResultSelector": { "keys.$": "$.Contents[*].Key" }, "ResultPath": "$.listed", "End": true
        }
    }))
    .await;
    for other in [
        "shop/orders/yesterday.csv",
        "shop/other/to",
        "market/orders/today.csv",
    ] {
        place
            .objects
            .put(&Path::from(other), "".into())
            .await
            .unwrap();
    }
    let csv = "id,price\n1,10\n2,20\n";
    let today = Path::from("shop/orders/today.csv");
    place.objects.put(&today, csv.into()).await.unwrap();
    let answer = output(&run(&place, json!({})).await);
    assert_eq!(answer["listed"]["keys"], json!(["orders/today.csv"]));
    let details = &answer["run"]["ResultWriterDetails"];
    assert_eq!(details["Bucket"], "shop");
    let read = async |key: &str| -> Value {
        let path = Path::from(format!("shop/{key}"));
        let bytes = place
            .objects
            .get(&path)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let manifest = read(details["Key"].as_str().unwrap()).await;
    let results = read(
        manifest["ResultFiles"]["SUCCEEDED"][0]["Key"]
            .as_str()
            .unwrap(),
    )
    .await;
    let outputs: Vec<_> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["Output"].clone())
        .collect();
    let wanted = [
        "{\"id\":\"1\",\"price\":\"10\"}",
        "{\"id\":\"2\",\"price\":\"20\"}",
    ];
    assert_eq!(outputs, wanted);
}
