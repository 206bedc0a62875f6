//! What an author reads.

use crate::asl::StatesLanguage;

const TEXT: &str = r#"{
  "StartAt": "Pay",
  "States": {
    "Pay": {
      "Type": "Task",
      "Resource": "arn:aws:states:::dynamodb:query",
      "Retry": [{ "ErrorEquals": ["States.ALL"], "IntervalSecond": 3 }],
      "Next": "Shp"
    },
    "Ship": { "Type": "Wait", "Timestamp": "tomorrow", "End": true }
  }
}"#;

#[test]
fn a_report_shows_the_place_and_what_to_do() {
    let report = StatesLanguage::new().validate(TEXT).to_string();
    let wanted = r#"error[SCHEMA_VALIDATION_FAILED]: the resource arn:aws:states:::dynamodb:query is not recognised: dynamodb has no optimised action "query"
   --> 6:7 /States/Pay/Resource
    |
  6 |       "Resource": "arn:aws:states:::dynamodb:query",
    |       ^^^^^^^^^^
   = help: it has getItem, putItem, deleteItem, updateItem; any other is called as aws-sdk:dynamodb:query

error[SCHEMA_VALIDATION_FAILED]: the field "IntervalSecond" is not supported here
   --> 7:50 /States/Pay/Retry/0/IntervalSecond
    |
  7 |       "Retry": [{ "ErrorEquals": ["States.ALL"], "IntervalSecond": 3 }],
    |                                                  ^^^^^^^^^^^^^^^^
   = help: did you mean "IntervalSeconds"?

error[MISSING_TRANSITION_TARGET]: there is no state "Shp" to go to
   --> 8:7 /States/Pay/Next
    |
  8 |       "Next": "Shp"
    |       ^^^^^^
   = help: did you mean "Ship"?

error[MISSING_TRANSITION_TARGET]: the state "Ship" is not reachable
   --> 10:5 /States/Ship
    |
 10 |     "Ship": { "Type": "Wait", "Timestamp": "tomorrow", "End": true }
    |     ^^^^^^
   = help: name it in a "Next", "Default" or "StartAt", or remove it

error[SCHEMA_VALIDATION_FAILED]: "tomorrow" is no RFC 3339 timestamp
   --> 10:31 /States/Ship/Timestamp
    |
 10 |     "Ship": { "Type": "Wait", "Timestamp": "tomorrow", "End": true }
    |                               ^^^^^^^^^^^
   = help: write it like 2016-03-14T01:59:00Z
"#;
    assert_eq!(report, wanted, "\n{report}");
}

#[test]
fn jsonata_is_refused_with_a_clear_error_where_nothing_evaluates_it() {
    let text = r#"{"StartAt":"S","States":{"S":{"Type":"Pass","QueryLanguage":"JSONata",
        "Output":"{% $states.input %}","End":true}}}"#;
    let report = StatesLanguage::new().validate(text);
    let faults: Vec<_> = report
        .errors()
        .map(|fault| fault.message.as_str())
        .collect();
    let wanted = "the query language JSONata is used, and nothing here evaluates it";
    assert_eq!(faults, [wanted]);
}
