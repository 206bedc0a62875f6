//! Truth, equality, order and hashes of values.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use crate::budget::Budget;
use crate::error::Result;
use crate::stack::with_stack;

use super::{ObjectRef, Value};

/// What a condition makes of a value; a missing one is false.
pub(crate) fn truth(value: &Value<'_>, budget: &mut Budget) -> Result<bool> {
    Ok(match value {
        Value::Bool(value) => *value,
        Value::Number(number) => value.as_number()?.is_some() && *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::JsonArray(_) | Value::Array(..) => {
            let Some(items) = value.as_array() else {
                return Ok(false);
            };
            budget.charge(items.len())?;
            let mut any = false;
            for item in items.iter() {
                any = with_stack(|| truth(&item, budget))? || any;
            }
            any
        }
        Value::JsonObject(entries) => !entries.is_empty(),
        Value::Object(object) => object.len() > 0,
        Value::Tuples(stream) => !stream.tuples.is_empty(),
        Value::Undefined | Value::Null | Value::Native(_) | Value::Function(_) => false,
    })
}

/// What JavaScript takes for true: the answer of a function that compares.
pub(crate) fn script_truth(value: &Value<'_>) -> bool {
    match value {
        Value::Undefined | Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Text(_) | Value::String(_) => value.as_str() != Some(""),
        _ => true,
    }
}

/// Whether two values are the same, part by part; the order of keys does not count.
pub(crate) fn equal(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool> {
    budget.charge(1)?;
    if identical(left, right) {
        return Ok(true);
    }
    if let (Some(left), Some(right)) = (left.as_array(), right.as_array()) {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right.iter()) {
            if !with_stack(|| equal(&left, &right, budget))? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let (Some(left), Some(right)) = (left.as_object(), right.as_object()) {
        return equal_objects(left, right, budget);
    }
    Ok(false)
}

fn equal_objects(
    left: ObjectRef<'_, '_>,
    right: ObjectRef<'_, '_>,
    budget: &mut Budget,
) -> Result<bool> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left.iter() {
        match right.get(&key) {
            Some(other) if with_stack(|| equal(&value, &other, budget))? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Whether two values are the same without looking inside.
pub(crate) fn identical(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Undefined, Value::Undefined) | (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => left == right,
        (Value::JsonArray(left), Value::JsonArray(right)) => std::ptr::eq(*left, *right),
        (Value::Array(left, _), Value::Array(right, _)) => Rc::ptr_eq(left, right),
        (Value::JsonObject(left), Value::JsonObject(right)) => std::ptr::eq(*left, *right),
        (Value::Object(left), Value::Object(right)) => Rc::ptr_eq(left, right),
        (Value::Native(left), Value::Native(right)) => std::ptr::eq(*left, *right),
        (Value::Function(left), Value::Function(right)) => Rc::ptr_eq(left, right),
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        },
    }
}

/// The order of texts in UTF-16, as JavaScript compares them: astral characters come before
/// U+E000, where their order in UTF-8 differs.
pub(crate) fn order_texts(left: &str, right: &str) -> Ordering {
    let at = left.bytes().zip(right.bytes()).position(|(l, r)| l != r);
    match at.map(|at| (left.as_bytes()[at], right.as_bytes()[at])) {
        None => left.len().cmp(&right.len()),
        Some((l, r)) if l < 0xEE || r < 0xEE => l.cmp(&r),
        Some(_) => left.encode_utf16().cmp(right.encode_utf16()),
    }
}

/// The same for equal values.
pub(crate) fn hash(value: &Value<'_>, budget: &mut Budget) -> Result<u64> {
    budget.charge(1)?;
    let mut state = DefaultHasher::new();
    match value {
        Value::Bool(value) => (1, value).hash(&mut state),
        Value::Number(number) => (2, (*number + 0.0).to_bits()).hash(&mut state),
        Value::Text(_) | Value::String(_) => (3, value.as_str()).hash(&mut state),
        Value::JsonArray(_) | Value::Array(..) => {
            4.hash(&mut state);
            for item in value.as_array().iter().flat_map(|items| items.iter()) {
                with_stack(|| hash(&item, budget))?.hash(&mut state);
            }
        }
        Value::JsonObject(_) | Value::Object(_) => {
            let mut sum = 0_u64;
            for (key, value) in value.as_object().iter().flat_map(|object| object.iter()) {
                let mut entry = DefaultHasher::new();
                (&*key, with_stack(|| hash(&value, budget))?).hash(&mut entry);
                sum = sum.wrapping_add(entry.finish());
            }
            (5, sum).hash(&mut state);
        }
        _ => 6.hash(&mut state),
    }
    Ok(state.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_ordered_as_utf16() {
        assert_eq!(order_texts("a", "b"), Ordering::Less);
        assert_eq!(order_texts("ab", "a"), Ordering::Greater);
        assert_eq!(order_texts("\u{1D11E}", "\u{FF10}"), Ordering::Less);
        assert_eq!(order_texts("\u{1D11E}", "\u{D7FF}"), Ordering::Greater);
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        let mut budget = Budget::default();
        let (left, right) = (
            json!({"a": [1, {"b": null}], "c": 0}),
            json!({"c": -0.0, "a": [1.0, {"b": null}]}),
        );
        let (left, right) = (Value::from(&left), Value::from(&right));
        assert!(equal(&left, &right, &mut budget).unwrap());
        assert_eq!(
            hash(&left, &mut budget).unwrap(),
            hash(&right, &mut budget).unwrap()
        );
    }
}
