//! Texts against texts, regular expressions, and functions that match.

mod cursor;

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::signature::Arguments;
use crate::value::{Function, Object, Str, Value};

use super::Native;
use super::string::piece;
use cursor::{Cursor, Found};

pub(super) static FUNCTIONS: [Native; 4] = [
    Native::new("contains", "<s-(sf):b>", 2, contains),
    Native::new("split", "<s-(sf)n?:a<s>>", 3, split),
    Native::new("match", "<s-f<s:o>n?:a<o>>", 3, matches),
    Native::new("replace", "<s-(sf)(sf)n?:s>", 4, replace),
];

/// How often something is to be done at most.
fn limit(call: &Call<'_, '_>, index: usize, code: &'static str) -> Result<f64> {
    match call.argument(index) {
        Value::Number(limit) if limit < 0.0 => {
            let value = Value::Number(limit).shown();
            Err(Error::new(code)
                .with("value", value)
                .with("index", index + 1))
        }
        Value::Number(limit) => Ok(limit),
        _ => Ok(f64::INFINITY),
    }
}

fn contains<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, token) = (call.argument(0), call.argument(1));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    call.charge(1 + text.len() / 16)?;
    if let Some(token) = token.as_str() {
        return Ok(Value::Bool(text.contains(token)));
    }
    if token.is_undefined() {
        return Ok(Value::Undefined);
    }
    if let Value::Function(function) = &token
        && let Function::Regex(matcher) = &**function
    {
        return Ok(Value::Bool(matcher.is_match(text)));
    }
    let found = Cursor::new(&argument, &token).next(call)?;
    Ok(Value::Bool(found.is_some()))
}

fn split<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, separator) = (call.argument(0), call.argument(1));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    let limit = limit(call, 2, "D3020")?;
    call.charge(1 + text.len() / 16)?;
    let mut pieces = Vec::new();
    let is_full = |pieces: &Vec<Value<'a>>| pieces.len() as f64 >= limit;
    if let Some(separator) = separator.as_str() {
        let limit = limit.trunc();
        let mut start = 0;
        if separator.is_empty() {
            for c in text.chars() {
                if pieces.len() as f64 >= limit {
                    break;
                }
                pieces.push(piece(&argument, start, start + c.len_utf8()));
                start += c.len_utf8();
            }
            return call.array(pieces);
        }
        for part in text.split(separator) {
            if pieces.len() as f64 >= limit {
                break;
            }
            pieces.push(piece(&argument, start, start + part.len()));
            start += part.len() + separator.len();
        }
        return call.array(pieces);
    }
    let mut cursor = Cursor::new(&argument, &separator);
    let mut start = 0;
    // The match behind the last one that counts is looked for, too: it may be a fault.
    let mut found = cursor.next(call)?;
    let any = found.is_some();
    while let Some(here) = found.take_if(|_| !is_full(&pieces)) {
        pieces.push(piece(&argument, start.min(here.start), here.start));
        start = here.end;
        found = cursor.next(call)?;
    }
    if !any || !is_full(&pieces) {
        pieces.push(piece(&argument, start.min(text.len()), text.len()));
    }
    call.array(pieces)
}

fn matches<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, matcher) = (call.argument(0), call.argument(1));
    if argument.as_str().is_none() {
        return Ok(Value::Undefined);
    }
    let limit = limit(call, 2, "D3040")?;
    let mut cursor = Cursor::new(&argument, &matcher);
    let mut all = Vec::new();
    let mut next = cursor.next(call)?;
    while let Some(found) = next.take_if(|_| (all.len() as f64) < limit) {
        next = cursor.next(call)?;
        let mut object = Object::with_capacity(3);
        object.insert(Str::Text("match"), found.text)?;
        object.insert(Str::Text("index"), Value::Number(found.index))?;
        object.insert(Str::Text("groups"), found.groups)?;
        all.push(Value::Object(Rc::new(object)));
    }
    call.sequence(all)
}

fn replace<'a>(call: &mut Call<'_, 'a>) -> Result<Value<'a>> {
    let (argument, pattern, replacement) = (call.argument(0), call.argument(1), call.argument(2));
    let Some(text) = argument.as_str() else {
        return Ok(Value::Undefined);
    };
    if pattern.as_str() == Some("") {
        return Err(Error::new("D3010").with("value", "").with("index", 2));
    }
    let limit = limit(call, 3, "D3011")?;
    call.charge(1 + text.len() / 16)?;
    let mut replaced = String::with_capacity(text.len());
    let mut position = 0;
    let mut count = 0.0;
    if let Some(pattern) = pattern.as_str() {
        // The reference puts a function here as its text, which is empty.
        let replacement = replacement.as_str().unwrap_or("");
        for (at, _) in text.match_indices(pattern) {
            if count >= limit {
                break;
            }
            replaced.push_str(&text[position..at]);
            replaced.push_str(replacement);
            call.evaluator.budget.fits(replaced.len())?;
            position = at + pattern.len();
            count += 1.0;
        }
    } else {
        let mut cursor = Cursor::new(&argument, &pattern);
        let mut next = if limit > 0.0 {
            cursor.next(call)?
        } else {
            None
        };
        while let Some(found) = next.take_if(|_| count < limit) {
            replaced.push_str(&text[position.min(found.start)..found.start]);
            substitute(call, &argument, &found, &replacement, &mut replaced)?;
            call.evaluator.budget.fits(replaced.len())?;
            let length = found.text.as_str().map_or(0, str::len);
            position = text.len().min(found.start + length);
            while !text.is_char_boundary(position) {
                position += 1;
            }
            count += 1.0;
            next = cursor.next(call)?;
        }
    }
    replaced.push_str(&text[position..]);
    call.text(replaced)
}

/// Adds what stands in the place of a match.
fn substitute<'a>(
    call: &mut Call<'_, 'a>,
    subject: &Value<'a>,
    found: &Found<'a>,
    replacement: &Value<'a>,
    replaced: &mut String,
) -> Result<()> {
    if let Some(template) = replacement.as_str() {
        let Some(groups) = found.groups.as_array() else {
            replaced.push_str(template);
            return Ok(());
        };
        let groups: Vec<Value<'a>> = groups.iter().collect();
        expand(
            template,
            found.text.as_str().unwrap_or(""),
            &groups,
            replaced,
        );
        return Ok(());
    }
    let object = found.object(call, subject)?;
    let text = call.invoke(replacement, Arguments::from_iter([object]))?;
    match text.as_str() {
        Some(text) => {
            replaced.push_str(text);
            Ok(())
        }
        None => Err(Error::new("D3012").with("value", text.shown())),
    }
}

/// Writes a template, with `$$`, `$0` and `$1`, `$2`, … replaced. A number has no more digits than
/// the count of groups has, and one less where it would name no group.
fn expand(template: &str, whole: &str, groups: &[Value<'_>], out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix('0') {
            out.push_str(whole);
            rest = after;
            continue;
        }
        let most = groups.len().max(1).to_string().len();
        let number = |most: usize| {
            let digits = rest
                .bytes()
                .take(most)
                .take_while(u8::is_ascii_digit)
                .count();
            rest[..digits].parse::<usize>().ok()
        };
        let index = match number(most) {
            Some(index) if most > 1 && index > groups.len() => number(most - 1),
            index => index,
        };
        match index {
            Some(index) => {
                let group = index.checked_sub(1).and_then(|at| groups.get(at));
                out.push_str(group.and_then(Value::as_str).unwrap_or(""));
                rest = &rest[index.to_string().len()..];
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let groups: Vec<Value<'_>> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]
            .map(Value::Text)
            .to_vec();
        for (template, groups, expanded) in [
            ("$0-$1$$", &groups[..2], "w-a$"),
            ("$12$11$3x", &groups[..], "a2kcx"),
            ("$9", &groups[..2], ""),
            ("$", &groups[..2], "$"),
            ("$x", &groups[..0], "$x"),
            ("$1", &groups[..0], ""),
        ] {
            let mut out = String::new();
            expand(template, "w", groups, &mut out);
            assert_eq!(out, expanded, "{template}");
        }
    }
}
