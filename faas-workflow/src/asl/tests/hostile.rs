//! Definitions and data that mean harm.

use serde_json::{Value, json};

use super::drive::{Drive, single};
use crate::asl::{Settings, StatesLanguage};

fn faults(text: &str) -> String {
    let report = StatesLanguage::new().validate(text);
    assert!(!report.is_ok(), "it is accepted");
    report.to_string()
}

#[test]
fn deep_wide_and_long_definitions_are_refused() {
    let deep = "{\"a\":".repeat(5000) + "1" + &"}".repeat(5000);
    assert!(faults(&deep).contains("recursion"));
    let long = json!({ "StartAt": "S", "States": {}, "Comment": "x".repeat(10 << 20) });
    assert!(faults(&long.to_string()).contains("bytes"));
    let mut settings = Settings::default();
    settings.limits.states = 10;
    let states: serde_json::Map<_, _> = (0..11)
        .map(|n| (format!("S{n}"), json!({ "Type": "Succeed" })))
        .collect();
    let wide = json!({ "StartAt": "S0", "States": states }).to_string();
    let report = StatesLanguage::new()
        .with_settings(settings)
        .validate(&wide)
        .to_string();
    assert!(report.contains("more than 10 states"), "{report}");
    let mut nested = json!({ "StartAt": "S", "States": { "S": { "Type": "Pass", "End": true } } });
    for level in 0..5 {
        let state = json!({ "Type": "Parallel", "Branches": [nested], "End": true });
        nested =
            json!({ "StartAt": format!("P{level}"), "States": { format!("P{level}"): state } });
    }
    let mut settings = Settings::default();
    settings.limits.nesting = 4;
    let nested = nested.to_string();
    let report = StatesLanguage::new()
        .with_settings(settings)
        .validate(&nested)
        .to_string();
    assert!(report.contains("nest deeper than 4 levels"), "{report}");
}

#[test]
fn many_faults_are_bounded() {
    let states: serde_json::Map<_, _> = (0..5000)
        .map(|n| (format!("S{n}"), json!({ "Type": "Pass" })))
        .collect();
    let text = json!({ "StartAt": "S0", "States": states }).to_string();
    let report = StatesLanguage::new().validate(&text);
    assert_eq!(report.diagnostics.len(), 1000);
}

#[test]
fn a_machine_that_only_goes_round_ends_by_its_history() {
    let definition = json!({
        "StartAt": "A",
        "States": {
            "A": { "Type": "Choice", "Default": "A",
                   "Choices": [{ "Variable": "$.x", "IsPresent": true, "Next": "B" }] },
            "B": { "Type": "Succeed" },
        },
    });
    let mut drive = Drive::new(&definition, json!({}));
    let error = drive.error();
    assert!(error.message.contains("25000"), "{}", error.message);
    assert!(drive.records.len() <= 25_010);
}

#[test]
fn outputs_that_double_are_stopped() {
    let state = json!({ "Type": "Pass", "Parameters": { "a.$": "$", "b.$": "$" }, "Next": "S" });
    let definition = json!({
        "StartAt": "S",
        "States": { "S": state, "E": { "Type": "Pass", "Next": "S" } },
    });
    let mut definition = definition;
    definition["States"]["S"]["Next"] = json!("E");
    definition["States"]["E"] = json!({ "Type": "Choice", "Default": "S",
        "Choices": [{ "Variable": "$.never", "IsPresent": true, "Next": "X" }] });
    definition["States"]["X"] = json!({ "Type": "Succeed" });
    let mut drive = Drive::new(&definition, json!({ "text": "x".repeat(1000) }));
    assert_eq!(drive.error().kind, "States.DataLimitExceeded");
}

#[test]
fn outputs_that_nest_ever_deeper_are_stopped() {
    let definition = json!({
        "StartAt": "S",
        "States": {
            "S": { "Type": "Pass", "Parameters": { "a.$": "$" }, "Next": "C" },
            "C": { "Type": "Choice", "Default": "S",
                   "Choices": [{ "Variable": "$.never", "IsPresent": true, "Next": "E" }] },
            "E": { "Type": "Succeed" },
        },
    });
    let mut drive = Drive::new(&definition, json!({}));
    let error = drive.error();
    assert!(error.message.contains("deeper"), "{}", error.message);
    drive.restore();
}

#[test]
fn one_state_cannot_make_more_than_some_of_its_limit() {
    let copies: serde_json::Map<_, _> = (0..2000)
        .map(|n| (format!("f{n}.$"), json!("$.text")))
        .collect();
    let definition = single(&json!({ "Type": "Pass", "Parameters": copies, "End": true }));
    let mut drive = Drive::new(&definition, json!({ "text": "x".repeat(200_000) }));
    assert_eq!(drive.error().kind, "States.DataLimitExceeded");
    let paths = single(&json!({ "Type": "Pass", "InputPath": "$..*..*..*..*", "End": true }));
    let wide = Value::Array(vec![json!([[[1, 2], [3, 4]], [[5], [6]]]); 2000]);
    let mut settings = Settings::default();
    settings.limits.path_nodes = 10_000;
    let mut drive = Drive::with(&paths, wide, settings);
    let error = drive.error();
    assert!(error.message.contains("visits"), "{}", error.message);
}

#[test]
fn a_task_that_answers_too_much_fails_and_can_be_caught() {
    let definition = json!({
        "StartAt": "T",
        "States": {
            "T": { "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true,
                   "Catch": [{ "ErrorEquals": ["States.DataLimitExceeded"], "Next": "C" }] },
            "C": { "Type": "Pass", "OutputPath": "$.Cause", "End": true },
        },
    });
    let mut drive = Drive::new(&definition, json!({}));
    drive.answer("T", Ok(json!("x".repeat(300_000))));
    let cause = drive.output();
    assert!(cause.as_str().unwrap().contains("'sqs'"), "{cause}");
}
