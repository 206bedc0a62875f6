//! Dates and times.

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::picture::date;
use crate::value::Value;

use super::Native;

pub(super) static FUNCTIONS: [Native; 4] = [
    Native::new("now", "<s?s?:s>", 2, now),
    Native::new("millis", "<:n>", 0, millis),
    Native::new("toMillis", "<s-s?:n>", 2, to_millis),
    Native::new("fromMillis", "<n-s?s?:s>", 3, from_millis),
];

fn now<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    format(call, call.evaluator.now as f64, 0)
}

/// The time of the evaluation, in milliseconds since 1970.
fn millis<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    Ok(Value::Number(call.evaluator.now as f64))
}

fn from_millis<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match call.argument(0) {
        Value::Number(millis) => format(call, millis, 1),
        _ => Ok(Value::Undefined),
    }
}

/// A time by the picture and the time zone that are arguments from `first` on.
fn format<'a>(call: &mut Call<'_, 'a>, millis: f64, first: usize) -> Result<Value<'a>> {
    let (picture, zone) = (call.argument(first), call.argument(first + 1));
    call.charge(picture.as_str().map_or(0, str::len))?;
    let text = date::format(millis, picture.as_str(), zone.as_str())?;
    call.text(text)
}

fn to_millis<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, picture) = (call.argument(0), call.argument(1));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(text.len() + picture.as_str().map_or(0, str::len))?;
    let millis = match picture.as_str() {
        Some(picture) => {
            let now = call.evaluator.now;
            call.evaluator.date_parser(picture)?.parse(text, now)?
        }
        None => match date::parse_iso(text) {
            Some(millis) => Some(millis),
            None => return Err(Error::new("D3110").with("value", argument.shown())),
        },
    };
    Ok(millis.map_or(Value::Undefined, Value::Number))
}
