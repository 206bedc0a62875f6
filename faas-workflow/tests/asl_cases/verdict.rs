//! What is wrong with what our machine does of a case.

use std::time::Duration;

use faas_workflow::asl::{
    Limits, MachineType, Settings, StateMachine, StatesLanguage, execution_input, language,
};
use faas_workflow::program::{Erased, EventKind, TypedProgram};
use faas_workflow::{Definition, Ending, HistoryRecord};
use serde_json::{Map, Value};

use crate::case::{Case, Event, Execution};
use crate::compare::{Comparison, parsed};
use crate::drive::{Drive, Outcome};
use crate::world::World;

/// When AWS let `MapStateExited` follow `MapRunStarted` instead of `MapRunSucceeded`.
const MAP_EXIT_CHANGED: [u32; 3] = [2024, 7, 1];

fn settings(case: &Case) -> Settings {
    let mut settings = Settings::default();
    settings.region = "us-east-1".into();
    settings.account = "111111111111".into();
    if case.machine_type == "EXPRESS" {
        settings.machine_type = MachineType::Express;
    }
    settings
}

pub(crate) fn faults(case: &Case, states: &StatesLanguage) -> Vec<String> {
    let states = states.clone().with_settings(settings(case));
    let mut faults = validation(case, &states);
    for (index, execution) in case.executions.iter().enumerate() {
        if let Some(fault) = start_fault(execution) {
            faults.push(format!("execution {index}: {fault}"));
        }
        if execution.expected.start_error.is_some() {
            continue;
        }
        let definition = execution.definition.as_ref().map(Value::to_string);
        let text = definition.unwrap_or_else(|| case.definition_text());
        match states.machine(&Definition::new(language(), text)) {
            Err(refused) => faults.push(format!("refused: {refused}")),
            Ok(machine) => {
                let found = run(case, execution, machine);
                faults.extend(found.into_iter().map(|f| format!("execution {index}: {f}")));
            }
        }
    }
    faults
}

fn start_fault(execution: &Execution) -> Option<String> {
    let wanted = execution
        .expected
        .start_error
        .as_ref()
        .map(|e| e["error"].clone());
    let text = execution.input_text.clone();
    let text = text.unwrap_or_else(|| execution.input.to_string());
    let read = execution_input(&text, &Limits::default());
    let found = read.err().map(|_| Value::from("InvalidExecutionInput"));
    (found != wanted).then(|| format!("start error {found:?}, not {wanted:?}"))
}

fn validation(case: &Case, states: &StatesLanguage) -> Vec<String> {
    let text = case.definition_text();
    let report = states.validate(&text);
    let mut faults = Vec::new();
    if report.is_ok() != case.create_error.is_none() {
        faults.push(format!(
            "wanted {:?}; the report says: {report}",
            case.create_error
        ));
    }
    let told: Vec<(&str, &str)> = report
        .errors()
        .map(|d| (d.code.as_str(), d.location()))
        .collect();
    for wanted in wanted_diagnostics(case) {
        let code = wanted["code"].as_str().unwrap_or_default();
        let place = wanted["location"]
            .as_str()
            .filter(|place| place.starts_with('/'));
        let fits = |(own, at): &(&str, &str)| *own == code && place.is_none_or(|p| names(p, at));
        if !told.iter().any(fits) {
            faults.push(format!("{wanted} is not among {told:?}"));
        }
    }
    if let Some(wanted) = &case.variable_references {
        let definition = Definition::new(language(), text.as_str());
        let found = states
            .machine(&definition)
            .map(|machine| machine.variable_references());
        let found = serde_json::to_value(found.unwrap_or_default()).unwrap();
        if found != serde_json::to_value(wanted).unwrap() {
            faults.push(format!("variables {found}, not {wanted:?}"));
        }
    }
    faults
}

/// Whether ours is the place that AWS names, or one within it.
fn names(place: &str, ours: &str) -> bool {
    ours == place
        || ours
            .strip_prefix(place)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The diagnostics that AWS gave, of whichever operation.
fn wanted_diagnostics(case: &Case) -> Vec<Value> {
    let listed = case.validation.iter().chain(&case.create_error);
    let listed = listed.filter_map(|v| v["diagnostics"].as_array()).flatten();
    let mut wanted: Vec<Value> = listed.cloned().collect();
    let message = case
        .create_error
        .as_ref()
        .and_then(|e| e["message"].as_str());
    // "…: 'CODE: text at /place'"
    let quoted = message
        .and_then(|m| m.split_once(": '"))
        .map(|(_, m)| m.trim_end_matches('\''));
    if let Some((code, rest)) = quoted.and_then(|m| m.split_once(": ")) {
        let place = rest.rsplit_once(" at ").map(|(_, place)| place);
        wanted.push(serde_json::json!({ "code": code, "location": place }));
    }
    wanted
}

fn run(case: &Case, execution: &Execution, machine: StateMachine) -> Vec<String> {
    let parallel = is_concurrent(execution.definition.as_ref().unwrap_or(&case.definition));
    let program = Erased(machine);
    let (mut faults, guessed) = judge(case, execution, &program, parallel, None);
    if guessed && !faults.is_empty() {
        // What was answered is nowhere recorded: it is a part of what came of it, if anything is.
        let mut parts = Vec::new();
        execution
            .expected
            .output
            .iter()
            .for_each(|output| collect(output, &mut parts));
        let fitting = parts.into_iter().find(|part| {
            judge(case, execution, &program, parallel, Some((*part).clone()))
                .0
                .is_empty()
        });
        if fitting.is_some() {
            faults.clear();
        }
    }
    faults
}

fn collect<'v>(value: &'v Value, parts: &mut Vec<&'v Value>) {
    parts.push(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|field| parts.push(field)),
        Value::Array(elements) => parts.extend(elements),
        _ => {}
    }
}

fn judge<P: TypedProgram>(
    case: &Case,
    execution: &Execution,
    program: &Erased<P>,
    parallel: bool,
    guess: Option<Value>,
) -> (Vec<String>, bool) {
    let mut worlds = [false, true].map(|restored| {
        let mut world = World::new(case, execution);
        world.guess = guess.clone();
        let stop = execution.stop.as_ref().map(stop);
        let drive = Drive {
            program,
            target: &mut world,
            restored,
            stop,
        };
        let outcome = drive.run(execution.input.clone());
        (outcome, world)
    });
    let (restored, _) = &worlds[1];
    let (outcome, _) = &worlds[0];
    let mut faults = ending_faults(case, execution, outcome);
    faults.extend(history_faults(case, execution, &outcome.records, parallel));
    if restored.records != outcome.records || restored.ending != outcome.ending {
        faults.push("a restored execution goes on otherwise".into());
    }
    let world = &mut worlds[0].1;
    faults.append(&mut world.faults);
    (faults, world.guessed)
}

fn stop(arguments: &Value) -> (Duration, EventKind) {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).map(Into::into);
    let kind = EventKind::CancelRequested {
        cause: text("cause").unwrap_or_default(),
        error: text("error"),
    };
    (Duration::from_secs(1), kind)
}

fn ending_faults(case: &Case, execution: &Execution, outcome: &Outcome) -> Vec<String> {
    let expected = &execution.expected;
    let mut comparison = Comparison::new(case);
    let (status, output, error) = match &outcome.ending {
        None => return vec!["it never ends".into()],
        Some(Ending::Succeeded(output)) => ("SUCCEEDED", Some(Value::clone(output)), None),
        Some(Ending::Failed(error)) => ("FAILED", None, Some(error)),
        Some(Ending::TimedOut(_)) => ("TIMED_OUT", None, None),
        Some(Ending::Cancelled(_)) => ("ABORTED", None, None),
        Some(other) => return vec![format!("ended as {other:?}")],
    };
    let mut faults = Vec::new();
    if expected.status.as_deref() != Some(status) {
        faults.push(format!("{status} ({error:?}), not {:?}", expected.status));
    }
    if let (Some(wanted), Some(output)) = (&expected.output, &output)
        && !comparison.fits(wanted, output)
    {
        faults.push(format!("output {output}, not {wanted}"));
    }
    if let Some(error) = error {
        let wanted = expected.error.clone().unwrap_or_else(|| "".into());
        if !comparison.fits(&wanted, &Value::from(error.kind.as_str())) {
            faults.push(format!("error {error}, not {wanted}"));
        }
        let wanted = expected.cause.clone().unwrap_or_else(|| "".into());
        if !comparison.fits(&wanted, &Value::from(error.message.as_str())) {
            faults.push(format!("cause {:?}, not {wanted}", error.message));
        }
    }
    faults
}

/// Whether branches, or iterations, may interleave otherwise than they did on AWS.
fn is_concurrent(value: &Value) -> bool {
    let own = match value["Type"].as_str() {
        Some("Parallel") => true,
        Some("Map") => value["MaxConcurrency"] != 1,
        _ => false,
    };
    own || match value {
        Value::Object(fields) => fields.values().any(is_concurrent),
        Value::Array(elements) => elements.iter().any(is_concurrent),
        _ => false,
    }
}

/// The details of an event of ours as the cases have them: what is JSON text, as the value.
fn details(record: &HistoryRecord) -> Value {
    let mut fields = record.details.as_object().cloned().unwrap_or_default();
    for name in ["input", "output", "parameters"] {
        if let Some(text) = fields.get_mut(name) {
            *text = parsed(text);
        }
    }
    if let Some(Value::Object(assigned)) = fields.get_mut("assignedVariables") {
        assigned.values_mut().for_each(|text| *text = parsed(text));
    }
    Value::Object(fields)
}

fn history_faults(
    case: &Case,
    execution: &Execution,
    records: &[HistoryRecord],
    parallel: bool,
) -> Vec<String> {
    let expected = &execution.expected;
    let actual: Vec<Event> = records
        .iter()
        .map(|record| Event {
            id: record.id,
            previous: record.previous.unwrap_or(0),
            kind: record.kind.clone(),
            details: details(record),
        })
        .collect();
    if let Some(part) = &expected.history_events {
        return missing(case, part, actual);
    }
    let Some(wanted) = &expected.history else {
        return Vec::new();
    };
    let wanted = with_todays_exits(case, wanted);
    if wanted.len() != actual.len() {
        let kinds = |events: &[Event]| {
            let kinds: Vec<_> = events.iter().map(|e| e.kind.as_str()).collect();
            kinds.join(" ")
        };
        return vec![format!(
            "events {}\n    not {}",
            kinds(&actual),
            kinds(&wanted)
        )];
    }
    if parallel {
        return missing(case, &wanted, actual);
    }
    let mut comparison = Comparison::new(case);
    let pairs = wanted.iter().zip(&actual);
    let differ = pairs.filter(|(wanted, actual)| {
        let same = (wanted.id, wanted.previous, &wanted.kind)
            == (actual.id, actual.previous, &actual.kind);
        !same || !comparison.fits(&or_empty(&wanted.details), &actual.details)
    });
    differ
        .map(|(wanted, actual)| format!("event {actual:?}\n    not {wanted:?}"))
        .collect()
}

fn or_empty(details: &Value) -> Value {
    match details {
        Value::Null => Value::Object(Map::new()),
        other => other.clone(),
    }
}

/// Older recordings let the exit of a distributed Map follow the end of its run.
fn with_todays_exits(case: &Case, events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    if case.date() < MAP_EXIT_CHANGED {
        for index in 0..events.len() {
            let previous = events[index].previous;
            let run = events
                .iter()
                .find(|e| e.id == previous && e.kind == "MapRunSucceeded");
            if let Some(started) = run.map(|run| run.previous)
                && events[index].kind == "MapStateExited"
            {
                events[index].previous = started;
            }
        }
    }
    events
}

/// The events that are not to be found, whatever their order.
fn missing(case: &Case, wanted: &[Event], mut actual: Vec<Event>) -> Vec<String> {
    let mut faults = Vec::new();
    for event in wanted {
        let details = or_empty(&event.details);
        let found = actual.iter().position(|candidate| {
            let mut comparison = Comparison::new(case);
            candidate.kind == event.kind && comparison.fits(&details, &candidate.details)
        });
        match found {
            Some(index) => drop(actual.remove(index)),
            None => faults.push(format!("no event {event:?}")),
        }
    }
    faults
}
