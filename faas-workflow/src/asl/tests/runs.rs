//! What the recorded cases do not show, or not clearly.

use serde_json::{Value, json};

use super::drive::{Drive, single};
use crate::asl::Settings;
use crate::program::{Ending, EventKind, TaskError, TaskRetry};

const ECHO: &str = "arn:aws:lambda:eu-central-1:000000000000:function:echo";

fn task(next: &Value) -> Value {
    let mut task = json!({ "Type": "Task", "Resource": ECHO });
    task.as_object_mut()
        .unwrap()
        .extend(next.as_object().unwrap().clone());
    task
}

fn boom() -> TaskError {
    TaskError::new("Boom", "it broke")
}

#[test]
fn retries_wait_longer_each_time_up_to_their_bound() {
    let retry = json!([{ "ErrorEquals": ["Boom"], "IntervalSeconds": 2, "MaxAttempts": 4,
                         "BackoffRate": 3, "MaxDelaySeconds": 20 }]);
    let mut drive = Drive::new(
        &single(&task(&json!({ "Retry": retry, "End": true }))),
        json!({}),
    );
    let mut delays = Vec::new();
    for _ in 0..4 {
        let before = drive.now;
        drive.answer("S", Err(boom()));
        assert!(drive.wait());
        delays.push((drive.now - before).as_secs());
    }
    assert_eq!(delays, [2, 6, 18, 20]);
    drive.answer("S", Err(boom()));
    let error = drive.error();
    assert_eq!(error.kind, "Boom");
    let cause: Value = serde_json::from_str(&error.message).unwrap();
    assert_eq!(
        cause,
        json!({ "errorMessage": "it broke", "errorType": "Boom" })
    );
}

#[test]
fn attempts_that_may_have_happened_share_a_key() {
    let retry = json!([{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 9 }]);
    let mut drive = Drive::new(
        &single(&task(&json!({ "Retry": retry, "End": true }))),
        json!({}),
    );
    let lost = TaskError::new("Platform.Unavailable", "gone").with_retry(TaskRetry::Ambiguous);
    for error in [lost.clone(), boom(), lost] {
        drive.answer("S", Err(error));
        assert!(drive.wait());
    }
    assert_eq!(drive.keys, ["1", "1", "1~1", "1~1"]);
}

#[test]
fn keys_follow_from_places_not_from_the_order_of_events() {
    let branch =
        |name: &str| json!({ "StartAt": name, "States": { name: task(&json!({ "End": true })) } });
    let loop_of = json!({
        "StartAt": "P",
        "States": {
            "P": { "Type": "Parallel", "Branches": [branch("A"), branch("B")], "Next": "C" },
            "C": { "Type": "Choice", "Default": "P",
                   "Choices": [{ "Variable": "$[0]", "NumericEquals": 1, "Next": "E" }] },
            "E": { "Type": "Succeed" },
        },
    });
    let run = |first: &str, second: &str| {
        let mut drive = Drive::new(&loop_of, json!(0));
        drive.answer(first, Ok(json!(0)));
        drive.answer(second, Ok(json!(0)));
        drive.answer(second, Ok(json!(1)));
        drive.answer(first, Ok(json!(1)));
        let mut keys = drive.keys.clone();
        keys.sort();
        assert_eq!(drive.output(), json!([1, 1]));
        keys
    };
    assert_eq!(run("A", "B"), run("B", "A"));
    assert_eq!(run("A", "B"), ["1[0]/1", "1[1]/1", "3[0]/1", "3[1]/1"]);
}

#[test]
fn a_branch_that_fails_cancels_the_others_and_can_be_caught() {
    let definition = json!({
        "StartAt": "P",
        "States": {
            "P": {
                "Type": "Parallel", "End": true,
                "Catch": [{ "ErrorEquals": ["Boom"], "ResultPath": "$.e", "Next": "C" }],
                "Branches": [
                    { "StartAt": "A", "States": { "A": task(&json!({ "End": true })) } },
                    { "StartAt": "B", "States": { "B": { "Type": "Wait", "Seconds": 5, "End": true } } },
                ],
            },
            "C": { "Type": "Pass", "OutputPath": "$.e.Error", "End": true },
        },
    });
    let mut drive = Drive::new(&definition, json!({}));
    assert_eq!(drive.timers.len(), 1);
    drive.answer("A", Err(boom()));
    assert_eq!(drive.timers.len(), 0, "the other branch's timer is cleared");
    assert_eq!(drive.output(), json!("Boom"));
    let kinds = drive.kinds();
    let after = kinds
        .iter()
        .position(|kind| kind.ends_with("Failed"))
        .unwrap()
        + 1;
    let wanted = [
        "WaitStateAborted",
        "TaskStateAborted",
        "ParallelStateExited",
    ];
    assert_eq!(kinds[after..after + 3], wanted);
}

#[test]
fn heartbeats_keep_a_callback_alive() {
    let state = json!({
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "TimeoutSeconds": 100, "HeartbeatSeconds": 10, "End": true,
        "Parameters": { "token.$": "$$.Task.Token" },
        "Catch": [{ "ErrorEquals": ["States.HeartbeatTimeout"], "Next": "S2" }],
    });
    let definition = json!({
        "StartAt": "S", "States": { "S": state, "S2": { "Type": "Succeed" } },
    });
    let mut drive = Drive::new(&definition, json!({}));
    let request = drive.task("S");
    let token = request.token.unwrap().to_string();
    assert_eq!(request.input["token"], json!(token));
    for _ in 0..5 {
        drive.now = drive
            .now
            .checked_add(std::time::Duration::from_secs(9))
            .unwrap();
        drive.event(EventKind::TaskHeartbeat { task: request.task });
    }
    assert!(drive.wait());
    assert_eq!(drive.now.as_second(), 55);
    assert_eq!(
        drive.output(),
        json!({ "Error": "States.Timeout", "Cause": "" })
    );
}

#[test]
fn a_distributed_map_tolerates_what_it_says() {
    let definition = |tolerated: Value| {
        let mut map = json!({
            "Type": "Map", "End": true,
            "ItemProcessor": {
                "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
                "StartAt": "T", "States": { "T": task(&json!({ "End": true })) },
            },
        });
        map.as_object_mut()
            .unwrap()
            .extend(tolerated.as_object().unwrap().clone());
        single(&map)
    };
    let run = |tolerated: Value| {
        let mut drive = Drive::new(&definition(tolerated), json!([1, 2, 3, 4]));
        drive.answer("T", Err(boom()));
        drive.finish().clone()
    };
    let succeeded =
        |ending: Ending| matches!(ending, Ending::Succeeded(out) if *out == json!([2, 3, 4]));
    assert!(succeeded(run(json!({ "ToleratedFailureCount": 1 }))));
    assert!(succeeded(run(json!({ "ToleratedFailurePercentage": 25 }))));
    for tolerated in [json!({}), json!({ "ToleratedFailurePercentage": 24.9 })] {
        let Ending::Failed(error) = run(tolerated) else {
            panic!("it goes on");
        };
        assert_eq!(error.kind, "States.ExceedToleratedFailureThreshold");
    }
}

#[test]
fn results_are_written_with_a_manifest() {
    let definition = single(&json!({
        "Type": "Map", "End": true,
        "ItemProcessor": {
            "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
            "StartAt": "T", "States": { "T": { "Type": "Pass", "End": true } },
        },
        "ResultWriter": {
            "Resource": "arn:aws:states:::s3:putObject",
            "Parameters": { "Bucket": "b", "Prefix": "p" },
        },
    }));
    let mut drive = Drive::new(&definition, json!([1, 2]));
    let written = drive.task("S").input;
    assert_eq!(written["Bucket"], json!("b"));
    drive.answer("S", Ok(json!({})));
    let manifest = drive.task("S").input;
    let key = manifest["Key"].as_str().unwrap().to_owned();
    assert!(
        key.starts_with("p/") && key.ends_with("/manifest.json"),
        "{key}"
    );
    drive.answer("S", Ok(json!({})));
    let output = drive.output();
    assert_eq!(
        output["ResultWriterDetails"],
        json!({ "Bucket": "b", "Key": key })
    );
    assert_eq!(drive.kinds().last(), Some(&"ExecutionSucceeded"));
}

#[test]
fn a_redriven_execution_runs_only_what_has_no_result() {
    let definition = json!({
        "StartAt": "First",
        "States": {
            "First": task(&json!({ "Next": "M" })),
            "M": {
                "Type": "Map", "ItemsPath": "$", "Next": "Last",
                "ItemProcessor": { "StartAt": "T", "States": { "T": task(&json!({ "End": true })) } },
            },
            "Last": task(&json!({ "End": true })),
        },
    });
    let mut drive = Drive::new(&definition, json!([1, 2, 3]));
    drive.answer("First", Ok(json!([1, 2, 3])));
    drive.answer("T", Ok(json!("one")));
    drive.answer("T", Err(boom()));
    assert!(matches!(drive.ending, Some(Ending::Failed(_))));
    assert!(drive.tasks.is_empty(), "the third is cancelled");
    drive.restore();
    drive.redrive();
    assert_eq!(drive.tasks.len(), 2, "the second and the third");
    drive.answer("T", Ok(json!("two")));
    drive.answer("T", Ok(json!("three")));
    drive.answer("Last", Err(boom()));
    drive.redrive();
    drive.answer("Last", Ok(json!("end")));
    assert_eq!(drive.output(), json!("end"));
    assert_eq!(
        drive
            .kinds()
            .iter()
            .filter(|k| **k == "ExecutionRedriven")
            .count(),
        2
    );
    let distinct: std::collections::BTreeSet<_> = drive.keys.iter().collect();
    assert_eq!(
        distinct.len(),
        drive.keys.len(),
        "each call has a key of its own"
    );
    drive.redrive();
    assert_eq!(drive.ending, None, "what succeeded is not redriven");
}

#[test]
fn an_execution_that_takes_too_long_is_timed_out_and_a_cancelled_one_aborted() {
    let mut definition = single(&json!({ "Type": "Wait", "Seconds": 10, "End": true }));
    definition["TimeoutSeconds"] = json!(5);
    let mut drive = Drive::new(&definition, json!({}));
    assert!(matches!(drive.finish(), Ending::TimedOut(_)));
    assert_eq!(drive.timers.len(), 0);
    let mut drive = Drive::new(&definition, json!({}));
    drive.event(EventKind::CancelRequested {
        cause: "enough".into(),
        error: Some("Mine".into()),
    });
    assert_eq!(drive.ending, Some(Ending::Cancelled("enough".into())));
    let last = drive.records.last().unwrap();
    assert_eq!(last.kind, "ExecutionAborted");
    assert_eq!(last.details, json!({ "cause": "enough", "error": "Mine" }));
}

#[test]
fn variables_of_outer_scopes_are_read_and_inner_ones_end_with_their_scope() {
    let definition = json!({
        "StartAt": "A",
        "States": {
            "A": { "Type": "Pass", "Assign": { "x": 1 }, "Next": "P" },
            "P": {
                "Type": "Parallel", "Next": "B",
                "Branches": [{ "StartAt": "I", "States": {
                    "I": { "Type": "Pass", "Assign": { "y.$": "$x" }, "Next": "J" },
                    "J": { "Type": "Pass", "Parameters": { "y.$": "$y" }, "End": true },
                } }],
            },
            "B": { "Type": "Pass", "Parameters": { "y.$": "$y" }, "End": true },
        },
    });
    let mut drive = Drive::new(&definition, json!({}));
    let error = drive.error();
    assert_eq!(error.kind, "States.Runtime");
    assert!(error.message.contains("$y"), "{}", error.message);
    let exited = drive
        .records
        .iter()
        .find(|r| r.kind == "ParallelStateExited")
        .unwrap();
    assert_eq!(exited.details["output"], json!("[{\"y\":1}]"));
}

#[test]
fn a_map_of_ten_thousand_items_is_linear() {
    let mut settings = Settings::default();
    settings.limits.history_events = 1_000_000;
    settings.limits.data_bytes = 1 << 20;
    let definition = single(&json!({
        "Type": "Map", "MaxConcurrency": 10, "End": true,
        "ItemProcessor": { "StartAt": "T", "States": { "T": { "Type": "Pass", "End": true } } },
    }));
    let items: Vec<u32> = (0..10_000).collect();
    let mut drive = Drive::with(&definition, json!(items), settings);
    assert_eq!(drive.output(), json!(items));
    assert_eq!(drive.records.len(), 6 + 4 * 10_000);
    assert!(drive.steps > 10, "no turn does all of it: {}", drive.steps);
}
