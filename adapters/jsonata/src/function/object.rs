//! Objects.

use std::rc::Rc;

use hashbrown::HashSet;

use crate::error::Result;
use crate::eval::Call;
use crate::stack::with_stack;
use crate::value::{Object, Str, Value};

use super::Native;
use super::higher_order::arguments;

pub(super) static FUNCTIONS: [Native; 7] = [
    Native::new("keys", "<x-:a<s>>", 1, keys),
    Native::new("lookup", "<x-s:x>", 2, lookup),
    Native::new("spread", "<x-:a<o>>", 1, spread),
    Native::new("merge", "<a<o>:o>", 1, merge),
    Native::new("each", "<o-f:a>", 2, each),
    Native::new("sift", "<o-f?:o>", 2, sift),
    Native::new("clone", "<(oa)-:o>", 1, clone),
];

fn keys<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let argument = call.argument(0);
    collect_keys(call, &argument, &mut seen, &mut found)?;
    call.sequence(found)
}

fn collect_keys<'a>(
    call: &mut Call<'_, 'a>,
    value: &Value<'a>,
    seen: &mut HashSet<Str<'a>>,
    found: &mut Vec<Value<'a>>,
) -> Result<()> {
    call.charge(1)?;
    for item in value.as_array().iter().flat_map(|items| items.iter()) {
        with_stack(|| collect_keys(call, &item, seen, found))?;
    }
    if let Some(object) = value.as_object() {
        call.charge(object.len())?;
        for (key, _) in object.iter() {
            if seen.insert(key.clone()) {
                found.push(key.into());
            }
        }
    }
    Ok(())
}

fn lookup<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (input, key) = (call.argument(0), call.argument(1));
    match key.as_str() {
        Some(key) => call.evaluator.lookup(&input, key),
        None => Ok(Value::Undefined),
    }
}

/// Of an object, an object for each of its entries.
fn spread<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let mut found = Vec::new();
    if argument.as_array().is_some() {
        collect_entries(call, &argument, &mut found)?;
        return if found.is_empty() {
            Ok(Value::Undefined)
        } else {
            call.array(found)
        };
    }
    if argument.as_object().is_some() {
        collect_entries(call, &argument, &mut found)?;
        return call.sequence(found);
    }
    Ok(argument)
}

fn collect_entries<'a>(
    call: &mut Call<'_, 'a>,
    value: &Value<'a>,
    found: &mut Vec<Value<'a>>,
) -> Result<()> {
    call.charge(1)?;
    if let Some(items) = value.as_array() {
        for item in items.iter() {
            with_stack(|| collect_entries(call, &item, found))?;
        }
    } else if let Some(object) = value.as_object() {
        call.charge(object.len())?;
        for (key, value) in object.iter() {
            let mut entry = Object::with_capacity(1);
            entry.insert(key, value)?;
            found.push(Value::Object(Rc::new(entry)));
        }
    } else if !value.is_undefined() {
        found.push(value.clone());
    }
    Ok(())
}

fn merge<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let mut merged = Object::default();
    for item in items.iter() {
        for (key, value) in item.as_object().iter().flat_map(|object| object.iter()) {
            call.charge(1)?;
            merged.insert(key, value)?;
        }
    }
    Ok(Value::Object(Rc::new(merged)))
}

fn each<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function) = (call.argument(0), call.argument(1));
    let mut found = Vec::new();
    for (key, value) in argument.as_object().iter().flat_map(|object| object.iter()) {
        let value = call.invoke(
            &function,
            arguments(&function, value, key.into(), &argument),
        )?;
        if !value.is_undefined() {
            found.push(value);
        }
    }
    call.sequence(found)
}

fn sift<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function) = (call.argument(0), call.argument(1));
    let mut kept = Object::default();
    for (key, value) in argument.as_object().iter().flat_map(|object| object.iter()) {
        let name = Value::from(key.clone());
        let answer = call.invoke(
            &function,
            arguments(&function, value.clone(), name, &argument),
        )?;
        if call.evaluator.truth(&answer)? {
            kept.insert(key, value)?;
        }
    }
    Ok(if kept.len() == 0 {
        Value::Undefined
    } else {
        Value::Object(Rc::new(kept))
    })
}

fn clone<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    call.evaluator.copy(&argument, true)
}
