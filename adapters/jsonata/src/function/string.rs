//! Texts.

use crate::error::Result;
use crate::eval::Call;
use crate::value::{Value, text};

use super::Native;

pub(super) static FUNCTIONS: [Native; 10] = [
    Native::new("string", "<x-b?:s>", 1, string),
    Native::new("substring", "<s-nn?:s>", 3, substring),
    Native::new("substringBefore", "<s-s:s>", 2, substring_before),
    Native::new("substringAfter", "<s-s:s>", 2, substring_after),
    Native::new("lowercase", "<s-:s>", 1, lowercase),
    Native::new("uppercase", "<s-:s>", 1, uppercase),
    Native::new("length", "<s-:n>", 1, length),
    Native::new("trim", "<s-:s>", 1, trim),
    Native::new("pad", "<s-ns?:s>", 3, pad),
    Native::new("join", "<a<s>s?:s>", 2, join),
];

fn string<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let pretty = matches!(call.argument(1), Value::Bool(true));
    let value = call.argument(0);
    let text = text::stringify(&value, pretty, &mut call.evaluator.budget)?;
    Ok(text.map_or(Value::Undefined, Value::from))
}

/// A piece of a text, borrowed where the text is.
pub(super) fn piece<'a>(text: &Value<'a>, start: usize, end: usize) -> Value<'a> {
    match text {
        Value::Text(text) => Value::Text(&text[start..end]),
        Value::String(text) => Value::string(&text[start..end]),
        _ => Value::Undefined,
    }
}

/// Counts in characters, as JavaScript's `slice` does: from the end where a place is negative.
fn substring<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(1 + text.len() / 16)?;
    let count = text.chars().count() as f64;
    let number = |value: Value<'a>| match value {
        Value::Number(number) => Some(number),
        _ => None,
    };
    let length = number(call.argument(2));
    let Some(mut start) = number(call.argument(1)) else {
        // Without a place to start at there is none to end at, unless that is the end.
        return Ok(if length.is_some() {
            Value::Text("")
        } else {
            argument
        });
    };
    if count + start < 0.0 {
        start = 0.0;
    }
    let end = match length {
        Some(length) if length <= 0.0 => return Ok(Value::Text("")),
        Some(length) if start >= 0.0 => start + length,
        Some(length) => count + start + length,
        None => count,
    };
    let place = |at: f64| {
        let at = at.trunc();
        if at < 0.0 {
            (count + at).max(0.0)
        } else {
            at.min(count)
        }
    };
    let (start, end) = (place(start), place(end));
    if start >= end {
        return Ok(Value::Text(""));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range"
    )]
    let byte = |at: f64| {
        text.char_indices()
            .nth(at as usize)
            .map_or(text.len(), |(at, _)| at)
    };
    Ok(piece(&argument, byte(start), byte(end)))
}

fn substring_before<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, mark) = (call.argument(0), call.argument(1));
    let (Some(text), Some(mark)) = (argument.as_str(), mark.as_str()) else {
        return Ok(argument);
    };
    call.charge(1 + text.len() / 16)?;
    Ok(match text.find(mark) {
        Some(at) => piece(&argument, 0, at),
        None => argument,
    })
}

fn substring_after<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, mark) = (call.argument(0), call.argument(1));
    let (Some(text), Some(mark)) = (argument.as_str(), mark.as_str()) else {
        return Ok(argument);
    };
    call.charge(1 + text.len() / 16)?;
    Ok(match text.find(mark) {
        Some(at) => piece(&argument, at + mark.len(), text.len()),
        None => argument,
    })
}

fn lowercase<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match call.argument(0).as_str() {
        Some(text) => call.text(text.to_lowercase()),
        None => Ok(Value::Undefined),
    }
}

fn uppercase<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    match call.argument(0).as_str() {
        Some(text) => call.text(text.to_uppercase()),
        None => Ok(Value::Undefined),
    }
}

/// In characters.
fn length<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(1 + text.len() / 16)?;
    Ok(Value::Number(text.chars().count() as f64))
}

/// Without space at the ends, and with single spaces inside.
fn trim<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let words = text
        .split([' ', '\t', '\n', '\r'])
        .filter(|word| !word.is_empty());
    let mut trimmed = String::with_capacity(text.len());
    for word in words {
        if !trimmed.is_empty() {
            trimmed.push(' ');
        }
        trimmed.push_str(word);
    }
    call.text(trimmed)
}

/// To a width in characters: on the right, or on the left where the width is negative.
fn pad<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let argument = call.argument(0);
    let (Some(text), Value::Number(width)) = (argument.as_str(), call.argument(1)) else {
        return Ok(argument);
    };
    let missing = width.abs().trunc() - text.chars().count() as f64;
    if missing <= 0.0 || missing.is_nan() {
        return Ok(argument);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    let missing = missing as usize;
    call.evaluator
        .budget
        .text(text.len().saturating_add(missing))?;
    let filling = call.argument(2);
    let filling = filling
        .as_str()
        .filter(|filling| !filling.is_empty())
        .unwrap_or(" ");
    let padding: String = filling.chars().cycle().take(missing).collect();
    call.text(if width > 0.0 {
        format!("{text}{padding}")
    } else {
        format!("{padding}{text}")
    })
}

fn join<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, separator) = (call.argument(0), call.argument(1));
    let Some(items) = argument.as_array() else {
        return Ok(Value::Undefined);
    };
    let separator = separator.as_str().unwrap_or("");
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(item.as_str().unwrap_or(""));
        call.evaluator.budget.fits(joined.len())?;
    }
    call.charge(items.len())?;
    call.text(joined)
}
