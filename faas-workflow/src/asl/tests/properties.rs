//! Properties over random machines, answers and orders.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::drive::Drive;
use crate::asl::path::Path;
use crate::asl::{StatesLanguage, intrinsic, timestamp};
use crate::program::{EventKind, TaskError};

/// A chain of states; each is one of a few kinds, inner machines included.
fn chain(kinds: &[u8], depth: usize, prefix: &str) -> Value {
    let name = |index: usize| format!("{prefix}{index}");
    let last = kinds.len() - 1;
    let states = kinds.iter().enumerate().map(|(index, kind)| {
        let inner = |part: &str| {
            let prefix = format!("{prefix}{index}{part}");
            chain(&kinds[..kinds.len().min(2)], depth - 1, &prefix)
        };
        let mut state = match kind % 6 {
            0 => json!({ "Type": "Pass", "Parameters": { "v.$": "$" }, "OutputPath": "$.v" }),
            1 => json!({ "Type": "Wait", "Seconds": 3 }),
            4 if depth > 0 => json!({
                "Type": "Map", "ItemsPath": "$$.Execution.Input", "MaxConcurrency": kind / 6 % 3,
                "Retry": [{ "ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 1 }],
                "ItemProcessor": inner("m"),
            }),
            5 if depth > 0 => json!({ "Type": "Parallel", "Branches": [inner("a"), inner("b")] }),
            _ => json!({
                "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "TimeoutSeconds": 9,
                "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "JitterStrategy": "FULL" }],
            }),
        };
        match index == last {
            true => state["End"] = json!(true),
            false => state["Next"] = json!(name(index + 1)),
        }
        (name(index), state)
    });
    json!({ "StartAt": name(0), "States": states.collect::<serde_json::Map<_, _>>() })
}

/// Drives an execution as `choices` say; `check` looks at it after each event.
fn drive(kinds: &[u8], choices: &[u8], mut check: impl FnMut(&mut Drive)) -> Drive {
    let mut drive = Drive::new(&chain(kinds, 2, "s"), json!([1, 2, 3]));
    for choice in choices {
        check(&mut drive);
        if drive.ending.is_some() {
            if choice % 4 == 0 && !matches!(drive.ending, Some(crate::Ending::Succeeded(_))) {
                drive.redrive();
                continue;
            }
            break;
        }
        let tasks = drive.tasks.len();
        if tasks == 0 || choice % 7 == 0 {
            drive.wait();
            continue;
        }
        let (task, request) = drive
            .tasks
            .iter()
            .nth(usize::from(*choice) % tasks)
            .unwrap();
        let (task, input) = (*task, request.input.clone());
        drive.tasks.remove(&task);
        let result = match choice % 5 {
            0 => Err(TaskError::new("Boom", "it broke")),
            _ => Ok(input),
        };
        drive.event(EventKind::TaskEnded { task, result });
    }
    check(&mut drive);
    drive
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restored_execution_goes_on_as_it_would_have(
        kinds in prop::collection::vec(any::<u8>(), 1..5),
        choices in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let plain = drive(&kinds, &choices, |_| {});
        let restored = drive(&kinds, &choices, Drive::restore);
        prop_assert_eq!(&plain.records, &restored.records);
        prop_assert_eq!(plain.saved(), restored.saved());
    }

    #[test]
    fn histories_are_numbered_and_lead_backwards(
        kinds in prop::collection::vec(any::<u8>(), 1..5),
        choices in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let drive = drive(&kinds, &choices, |_| {});
        for (index, record) in drive.records.iter().enumerate() {
            prop_assert_eq!(record.id, index as u64 + 1);
            prop_assert!(record.previous.is_some_and(|previous| previous < record.id));
        }
    }

    #[test]
    fn an_execution_waits_for_something_or_has_ended(
        kinds in prop::collection::vec(any::<u8>(), 1..5),
        choices in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let waits = |drive: &mut Drive| {
            let waits = !drive.tasks.is_empty() || !drive.timers.is_empty();
            assert_ne!(waits, drive.ending.is_some(), "{:?}", drive.kinds());
        };
        drive(&kinds, &choices, waits);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[ -~\\n$@?'\\[\\](){}.*:0-9a-zé]{0,60}") {
        let _ = Path::parse(&text);
        let _ = Path::parse(&format!("${text}"));
        let _ = Path::parse(&format!("$[?({text})]"));
        let _ = intrinsic::parse(&text);
        let _ = intrinsic::parse(&format!("States.Format('{text}', {text})"));
        let _ = timestamp::parse(&text);
        let _ = StatesLanguage::new().validate(&text).to_string();
        let definition = json!({ "StartAt": text, "States": { text.as_str(): {
            "Type": "Pass", "InputPath": text, "Parameters": { "x.$": text }, "End": true,
        } } });
        let _ = StatesLanguage::new().validate(&definition.to_string()).to_string();
    }

    #[test]
    fn a_path_that_is_written_down_is_read_as_it_was(
        names in prop::collection::vec("[a-z_-]{1,8}", 0..5), index in 0usize..9,
    ) {
        let dotted: String = names.iter().map(|name| format!(".{name}")).collect();
        let bracketed: String = names.iter().map(|name| format!("['{name}']")).collect();
        let value = names.iter().rev().fold(json!([index]), |inner, name| json!({ name: inner }));
        let find = |text: String| Path::parse(&text).unwrap().find(0, &value, 1000).map(
            crate::asl::path::Found::into_value,
        );
        prop_assert_eq!(find(format!("${dotted}[0]")), Ok(json!(index)));
        prop_assert_eq!(find(format!("${bracketed}[-1]")), Ok(json!(index)));
    }
}
