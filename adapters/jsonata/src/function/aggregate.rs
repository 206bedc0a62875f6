//! Numbers to one number.

use crate::error::Result;
use crate::eval::Call;
use crate::value::Value;

use super::Native;

pub(super) static FUNCTIONS: [Native; 5] = [
    Native::new("sum", "<a<n>:n>", 1, sum),
    Native::new("count", "<a:n>", 1, count),
    Native::new("max", "<a<n>:n>", 1, max),
    Native::new("min", "<a<n>:n>", 1, min),
    Native::new("average", "<a<n>:n>", 1, average),
];

/// How many numbers there are, and what they fold to; `None` if the argument is missing.
fn fold(
    call: &mut Call<'_, '_>,
    start: f64,
    of: fn(f64, f64) -> f64,
) -> Result<Option<(usize, f64)>> {
    let argument = call.argument(0);
    let Some(items) = argument.as_array() else {
        return Ok(None);
    };
    call.charge(items.len())?;
    let folded = items.iter().fold(start, |total, item| match item {
        Value::Number(number) => of(total, number),
        _ => total,
    });
    Ok(Some((items.len(), folded)))
}

fn sum<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let folded = fold(call, 0.0, |total, number| total + number)?;
    Ok(folded.map_or(Value::Undefined, |(_, total)| Value::Number(total)))
}

fn count<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let count = call.argument(0).as_array().map_or(0, |items| items.len());
    Ok(Value::Number(count as f64))
}

fn max<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    extreme(fold(call, f64::NEG_INFINITY, f64::max)?)
}

fn min<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    extreme(fold(call, f64::INFINITY, f64::min)?)
}

fn extreme<'a>(folded: Option<(usize, f64)>) -> Result<Value<'a>> {
    Ok(match folded {
        Some((1.., number)) => Value::Number(number),
        _ => Value::Undefined,
    })
}

fn average<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    Ok(match fold(call, 0.0, |total, number| total + number)? {
        Some((count @ 1.., total)) => Value::Number(total / count as f64),
        _ => Value::Undefined,
    })
}
