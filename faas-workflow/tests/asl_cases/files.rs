//! The files that `ItemReader` reads. What they held was not recorded; it is made from what the Map
//! gave, whose iterations hand their items on.

use std::collections::BTreeSet;

use faas_workflow::TaskError;
use serde_json::{Map, Value, json};

use crate::case::{Case, Event, Execution};

/// The file that the Map state `label` reads.
pub(crate) fn read(case: &Case, execution: &Execution, label: &str) -> Result<Value, TaskError> {
    let definition = execution.definition.as_ref().unwrap_or(&case.definition);
    let state = find_state(definition, label).cloned().unwrap_or_default();
    let config = &state["ItemReader"]["ReaderConfig"];
    let failed = event(execution, "MapRunFailed");
    if let Some(failed) = failed {
        let cause = failed.details["cause"].as_str().unwrap_or_default();
        // Only what was read can be at fault here, or how much of it was wanted.
        return match cause {
            _ if cause.contains("non-iterable") => Ok(json!({ "Body": "{}" })),
            _ if cause.contains("MaxItems") => Ok(json!({ "Body": "a\n1\n" })),
            _ => Err(TaskError::new("S3.Exception", cause)),
        };
    }
    let mut items = items(execution, label, &state);
    let bounded = config
        .get("MaxItems")
        .or(config.get("MaxItemsPath"))
        .is_some();
    match config["InputType"].as_str() {
        Some("CSV") => Ok(json!({ "Body": csv(config, &items) })),
        Some("JSONL") => {
            let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
            Ok(json!({ "Body": lines }))
        }
        Some("JSON") => {
            if bounded && config["MaxItems"].as_u64() == Some(items.len() as u64) {
                // One that must not be read.
                items.push(json!("beyond MaxItems"));
            }
            Ok(json!({ "Body": Value::from(items).to_string() }))
        }
        _ => Ok(json!({ "Contents": items })),
    }
}

fn event<'e>(execution: &'e Execution, kind: &str) -> Option<&'e Event> {
    let events = execution.expected.history.iter().flatten();
    events.into_iter().find(|event| event.kind == kind)
}

fn find_state<'d>(value: &'d Value, name: &str) -> Option<&'d Value> {
    let own = value.get("States").and_then(|states| states.get(name));
    own.or_else(|| match value {
        Value::Object(fields) => fields.values().find_map(|field| find_state(field, name)),
        Value::Array(elements) => elements
            .iter()
            .find_map(|element| find_state(element, name)),
        _ => None,
    })
}

/// What the Map gave, without what it was wrapped in.
fn items(execution: &Execution, label: &str, state: &Value) -> Vec<Value> {
    let events = execution.expected.history.iter().flatten();
    let mut exited = events
        .filter(|e| e.kind == "MapStateExited" && e.details["name"] == label)
        .filter_map(|e| e.details["output"].as_array().cloned());
    let mut given = exited.next().unwrap_or_default();
    if state.get("ItemBatcher").is_some() {
        let batches = given.iter().filter_map(|batch| batch["Items"].as_array());
        given = batches.flatten().cloned().collect();
    }
    let Some(selector) = state.get("ItemSelector").and_then(Value::as_object) else {
        return given;
    };
    let unselect = |output: &Value| {
        let mut item = Value::Null;
        for (name, path) in selector {
            let value = &output[name.trim_end_matches(".$")];
            let path = path.as_str().unwrap_or_default();
            match path.strip_prefix("$$.Map.Item.Value") {
                Some("") => item = value.clone(),
                Some(rest) if rest.starts_with('.') => {
                    let fields = item.as_object_mut();
                    let mut fields = fields.map(std::mem::take).unwrap_or_default();
                    fields.insert(rest[1..].into(), value.clone());
                    item = Value::Object(fields);
                }
                _ => {}
            }
        }
        item
    };
    given.iter().map(unselect).collect()
}

fn csv(config: &Value, items: &[Value]) -> String {
    let given = config["CSVHeaders"].as_array();
    let names: Vec<String> = match given {
        Some(names) => names
            .iter()
            .filter_map(|n| n.as_str().map(Into::into))
            .collect(),
        None => {
            let names = items
                .iter()
                .filter_map(Value::as_object)
                .flat_map(Map::keys);
            names
                .cloned()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        }
    };
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    if given.is_none() {
        writer.write_record(&names).unwrap();
    }
    for item in items {
        let cells = names
            .iter()
            .map(|name| item[name].as_str().unwrap_or_default().to_owned());
        // A column too much, which must be dropped.
        writer
            .write_record(cells.chain(["too much".into()]))
            .unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}
