//! The functions of lists.

use serde_json::Value;

use super::function::kind;
use crate::asl::value::{equal, round};

/// How many elements `States.ArrayRange` may make, as on AWS.
const RANGE: usize = 1000;

fn list(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(elements) => Ok(elements),
        other => Err(format!("expected a list, was given {}", kind(&other))),
    }
}

fn elements(value: &Value) -> Result<&Vec<Value>, String> {
    let elements = value.as_array();
    elements.ok_or_else(|| format!("expected a list, was given {}", kind(value)))
}

fn whole(value: &Value) -> Result<i64, String> {
    round(value).ok_or_else(|| format!("expected a number, was given {}", kind(value)))
}

pub(super) fn partition(value: Value, size: &Value) -> Result<Value, String> {
    let size = usize::try_from(whole(size)?).unwrap_or(0);
    if size == 0 {
        return Err("the size of a part is at least 1".into());
    }
    let mut left = list(value)?.into_iter();
    let mut parts = Vec::new();
    loop {
        let part: Vec<_> = left.by_ref().take(size).collect();
        if part.is_empty() {
            return Ok(Value::Array(parts));
        }
        parts.push(Value::Array(part));
    }
}

pub(super) fn contains(value: &Value, wanted: &Value) -> Result<Value, String> {
    Ok(elements(value)?.iter().any(|e| equal(e, wanted)).into())
}

/// From the first to the last number, both included.
pub(super) fn range(first: &Value, last: &Value, step: &Value) -> Result<Value, String> {
    let (first, last, step) = (whole(first)?, whole(last)?, whole(step)?);
    if step == 0 {
        return Err("the step is not 0".into());
    }
    let mut numbers = Vec::new();
    let mut next = Some(first);
    let within = |number: &i64| {
        if step > 0 {
            *number <= last
        } else {
            *number >= last
        }
    };
    while let Some(number) = next.filter(within) {
        if numbers.len() == RANGE {
            return Err(format!("a range has at most {RANGE} elements"));
        }
        numbers.push(number.into());
        next = number.checked_add(step);
    }
    Ok(Value::Array(numbers))
}

pub(super) fn get_item(value: Value, index: &Value) -> Result<Value, String> {
    let (mut elements, index) = (list(value)?, whole(index)?);
    let length = elements.len();
    match usize::try_from(index) {
        Ok(index) if index < length => Ok(elements.swap_remove(index)),
        _ => Err(format!(
            "the list has {length} elements, and none at {index}"
        )),
    }
}

pub(super) fn length(value: &Value) -> Result<Value, String> {
    elements(value).map(|elements| elements.len().into())
}

/// The first of each kind, in their order.
pub(super) fn unique(value: Value) -> Result<Value, String> {
    let mut found: Vec<Value> = Vec::new();
    let mut seen: std::collections::HashMap<String, Vec<usize>> = std::collections::HashMap::new();
    for element in list(value)? {
        // 1 and 1.0 are the same value but not the same text.
        let key = element
            .as_f64()
            .map_or_else(|| element.to_string(), |n| n.to_string());
        let places = seen.entry(key).or_default();
        if !places.iter().any(|&place| equal(&found[place], &element)) {
            places.push(found.len());
            found.push(element);
        }
    }
    Ok(Value::Array(found))
}

/// The parts between any of the delimiter's characters; empty ones are left out.
pub(super) fn string_split(text: &str, delimiters: &str) -> Result<Value, String> {
    let parts = text.split(|c| delimiters.contains(c));
    Ok(parts.filter(|part| !part.is_empty()).collect())
}
