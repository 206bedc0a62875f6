//! The parser of calls.

use serde_json::Value;

use super::{Argument, Call, Function, NESTING};
use crate::asl::path::{Path, PathFault};

/// How many arguments a call may have.
const ARGUMENTS: usize = 256;

/// The call that is all of `text`.
pub(in crate::asl) fn parse(text: &str) -> Result<Call, PathFault> {
    match call(text, 0)? {
        (call, "") => Ok(call),
        (_, rest) => Err(PathFault(format!("{rest:?} cannot follow the call"))),
    }
}

fn call(text: &str, depth: usize) -> Result<(Call, &str), PathFault> {
    if depth >= NESTING {
        return Err(PathFault(format!("calls nest at most {NESTING} levels")));
    }
    let name_end = text.find(|c: char| !c.is_alphanumeric() && c != '.');
    let (name, rest) = text.split_at(name_end.unwrap_or(text.len()));
    let Some(mut rest) = rest.trim_start().strip_prefix('(') else {
        return Err(PathFault(format!("{name:?} is not followed by \"(\"")));
    };
    let function = Function::named(name).ok_or_else(|| {
        PathFault(format!(
            "{name:?} is not a JSONPath or intrinsic function expression; there are {}",
            Function::names()
        ))
    })?;
    let mut arguments = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(end) = rest.strip_prefix(')') {
            rest = end;
            break;
        }
        if !arguments.is_empty() {
            let next = rest.strip_prefix(',');
            rest = next
                .ok_or_else(|| {
                    PathFault("arguments are separated by \",\", and end with \")\"".into())
                })?
                .trim_start();
        }
        if arguments.len() >= ARGUMENTS {
            return Err(PathFault(format!(
                "a call has at most {ARGUMENTS} arguments"
            )));
        }
        let (argument, after) = argument(rest, depth)?;
        arguments.push(argument);
        rest = after;
    }
    function.check(&arguments).map_err(PathFault)?;
    let call = Call {
        function,
        arguments,
    };
    Ok((call, rest))
}

fn argument(text: &str, depth: usize) -> Result<(Argument, &str), PathFault> {
    if text.starts_with('$') {
        let (path, rest) = Path::parse_prefix(text)?;
        return Ok((Argument::Path(path), rest));
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let end = end_of_text(quoted)?;
        let (raw, rest) = quoted.split_at(end);
        return Ok((
            Argument::Text(raw.into()),
            rest.get(1..).unwrap_or_default(),
        ));
    }
    if text.starts_with("States.") {
        let (call, rest) = call(text, depth + 1)?;
        return Ok((Argument::Call(call), rest));
    }
    let end = text.find([',', ')']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match serde_json::from_str::<Value>(word.trim()) {
        Ok(value) if !value.is_string() && !value.is_array() && !value.is_object() => {
            Ok((Argument::Literal(value), rest))
        }
        _ => Err(PathFault(format!(
            "{:?} is no argument: it is a path, a number, a text in single quotes, true, false, \
             null or another call",
            word.trim()
        ))),
    }
}

/// Where the closing quote is.
fn end_of_text(text: &str) -> Result<usize, PathFault> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Ok(at),
            '\\' => match characters.next() {
                Some((_, '\'' | '\\' | '{' | '}')) => {}
                _ => {
                    let message = "a backslash is followed by \"'\", \"{\", \"}\" or \"\\\"";
                    return Err(PathFault(message.into()));
                }
            },
            _ => {}
        }
    }
    Err(PathFault("the quote ' is not closed".into()))
}
