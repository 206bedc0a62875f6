//! Truth, types, and evaluations that fail or go on elsewhere.

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::value::{Flags, Value};

use super::Native;

pub(super) static FUNCTIONS: [Native; 7] = [
    Native::new("boolean", "<x-:b>", 1, boolean),
    Native::new("not", "<x-:b>", 1, not),
    Native::new("exists", "<x:b>", 1, exists),
    Native::new("type", "<x:s>", 1, type_of),
    Native::new("error", "<s?:x>", 1, error),
    Native::new("assert", "<bs?:x>", 2, assert),
    Native::new("eval", "<sx?:x>", 2, eval),
];

fn boolean<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match call.argument(0) {
        Value::Undefined => Ok(Value::Undefined),
        value => Ok(Value::Bool(call.evaluator.truth(&value)?)),
    }
}

fn not<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match call.argument(0) {
        Value::Undefined => Ok(Value::Undefined),
        value => Ok(Value::Bool(!call.evaluator.truth(&value)?)),
    }
}

fn exists<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    Ok(Value::Bool(!call.argument(0).is_undefined()))
}

fn type_of<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let value = call.argument(0);
    value.as_number()?;
    Ok(Value::Text(match value {
        Value::Undefined => return Ok(Value::Undefined),
        Value::Null => "null",
        Value::Number(_) => "number",
        Value::Text(_) | Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::JsonArray(_) | Value::Array(..) | Value::Tuples(_) => "array",
        Value::Native(_) | Value::Function(_) => "function",
        Value::JsonObject(_) | Value::Object(_) => "object",
    }))
}

/// The text of an argument, unless it is empty.
fn message(call: &Call<'_, '_>, index: usize, otherwise: &str) -> String {
    let given = call.argument(index);
    given
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or(otherwise)
        .to_owned()
}

fn error<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let message = message(call, 0, "$error() function evaluated");
    Err(Error::new("D3137").with("message", message))
}

fn assert<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    if matches!(call.argument(0), Value::Bool(true)) {
        return Ok(Value::Undefined);
    }
    let message = message(call, 1, "$assert() statement failed");
    Err(Error::new("D3141").with("message", message))
}

fn eval<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let source = call.argument(0);
    let Some(source) = source.as_str() else {
        return Ok(Value::Undefined);
    };
    let input = match call.argument(1) {
        Value::Undefined => call.context.clone(),
        focus if focus.as_array().is_some() && !focus.is_sequence() => {
            match Value::sequence(vec![focus])? {
                Value::Array(array, flags) => Value::Array(array, flags.and(Flags::OUTER)),
                other => other,
            }
        }
        focus => focus,
    };
    let env = call.env;
    crate::stack::with_stack(|| call.evaluator.eval_text(source, &input, env))
}
