//! Functions that take functions.

use crate::error::{Error, Result};
use crate::eval::{Call, Evaluator};
use crate::signature::Arguments;
use crate::value::Value;

use super::Native;

pub(super) static FUNCTIONS: [Native; 4] = [
    Native::new("map", "<af>", 2, map),
    Native::new("filter", "<af>", 2, filter),
    Native::new("single", "<af?>", 2, single),
    Native::new("reduce", "<afj?:j>", 3, reduce),
];

/// The arguments for one element: as many of value, place and whole as the function takes.
pub(super) fn arguments<'a>(
    function: &Value<'a>,
    value: Value<'a>,
    place: Value<'a>,
    whole: &Value<'a>,
) -> Arguments<'a> {
    let mut arguments = Arguments::from_iter([value]);
    let arity = Evaluator::arity(function);
    if arity >= 2 {
        arguments.push(place);
    }
    if arity >= 3 {
        arguments.push(whole.clone());
    }
    arguments
}

fn map<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let mut mapped = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = Value::Number(index as f64);
        let value = call.invoke(&function, arguments(&function, item, place, &argument))?;
        if !value.is_undefined() {
            mapped.push(value);
        }
    }
    call.sequence(mapped)
}

fn filter<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let mut kept = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = Value::Number(index as f64);
        let answer = call.invoke(
            &function,
            arguments(&function, item.clone(), place, &argument),
        )?;
        if call.evaluator.truth(&answer)? {
            kept.push(item);
        }
    }
    call.sequence(kept)
}

fn single<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let mut found = None;
    for (index, item) in items.iter().enumerate() {
        let place = Value::Number(index as f64);
        let fits = function.is_undefined() || {
            let answer = call.invoke(
                &function,
                arguments(&function, item.clone(), place, &argument),
            )?;
            call.evaluator.truth(&answer)?
        };
        if fits && found.replace(item).is_some() {
            return Err(Error::new("D3138").with("index", index));
        }
    }
    found.ok_or_else(|| Error::new("D3139"))
}

fn reduce<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, function, start) = (call.argument(0), call.argument(1), call.argument(2));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let arity = Evaluator::arity(&function);
    if arity < 2 {
        return Err(Error::new("D3050").with("index", 1));
    }
    let (mut result, first) = match (start, items.get(0)) {
        (Value::Undefined, Some(item)) => (item, 1),
        (start, _) => (start, 0),
    };
    for index in first..items.len() {
        let Some(item) = items.get(index) else { break };
        let mut arguments = Arguments::from_iter([result, item]);
        if arity >= 3 {
            arguments.push(Value::Number(index as f64));
        }
        if arity >= 4 {
            arguments.push(argument.clone());
        }
        result = call.invoke(&function, arguments)?;
    }
    Ok(result)
}
