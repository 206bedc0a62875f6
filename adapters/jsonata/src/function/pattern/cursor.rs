//! One match after the other.

use crate::error::{Error, Result};
use crate::eval::Call;
use crate::regex::Matcher;
use crate::signature::Arguments;
use crate::value::{Function, Value};

use super::piece;

/// A match.
pub(super) struct Found<'a> {
    /// In bytes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// In UTF-16 units, as results count.
    pub(super) index: f64,
    pub(super) text: Value<'a>,
    pub(super) groups: Value<'a>,
    source: Source<'a>,
}

enum Source<'a> {
    Regex(&'a Matcher),
    /// What a matching function gave.
    Object(Value<'a>),
}

pub(super) struct Cursor<'v, 'a> {
    subject: &'v Value<'a>,
    state: State<'a>,
}

enum State<'a> {
    Regex {
        matcher: &'a Matcher,
        from: usize,
        /// How many UTF-16 units stand before `from`.
        units: usize,
        started: bool,
    },
    /// The next to be called: with the text, the first time.
    Function { function: Value<'a>, started: bool },
}

impl<'v, 'a> Cursor<'v, 'a> {
    /// The matches of `matcher` in the text `subject`.
    pub(super) fn new(subject: &'v Value<'a>, matcher: &Value<'a>) -> Self {
        let state = match matcher {
            Value::Function(function) => match &**function {
                Function::Regex(matcher) => State::Regex {
                    matcher,
                    from: 0,
                    units: 0,
                    started: false,
                },
                _ => State::Function {
                    function: matcher.clone(),
                    started: false,
                },
            },
            _ => State::Function {
                function: matcher.clone(),
                started: false,
            },
        };
        Self { subject, state }
    }

    /// The next match, if there is one.
    pub(super) fn next(&mut self, call: &mut Call<'_, 'a>) -> Result<Option<Found<'a>>> {
        match &mut self.state {
            State::Regex {
                matcher,
                from,
                units,
                started,
            } => {
                let text = self.subject.as_str().unwrap_or("");
                if *started && *from >= text.len() {
                    return Ok(None);
                }
                call.charge(1)?;
                let Some(found) = matcher.find(text, *from) else {
                    return Ok(None);
                };
                call.charge((found.end - *from) / 16)?;
                if *started && found.text.is_empty() {
                    return Err(Error::new("D1004").with("value", matcher.pattern()));
                }
                *started = true;
                let index = *units + text[*from..found.start].encode_utf16().count();
                *units = index + found.text.encode_utf16().count();
                *from = found.end;
                let groups = found.groups.iter().map(|group| match group {
                    Some(group) => Value::string(*group),
                    None => Value::Undefined,
                });
                Ok(Some(Found {
                    start: found.start,
                    end: found.end,
                    index: index as f64,
                    text: piece(self.subject, found.start, found.end),
                    groups: Value::array(groups.collect())?,
                    source: Source::Regex(matcher),
                }))
            }
            State::Function { function, started } => {
                let arguments = if std::mem::replace(started, true) {
                    Arguments::new()
                } else {
                    Arguments::from_iter([self.subject.clone()])
                };
                let object = call.invoke(&function.clone(), arguments)?;
                if object.is_undefined() {
                    return Ok(None);
                }
                let found = self.of_object(object)?;
                if let State::Function { function, .. } = &mut self.state {
                    *function = found.field("next");
                }
                Ok(Some(found))
            }
        }
    }

    /// A match as a function tells it.
    fn of_object(&self, object: Value<'a>) -> Result<Found<'a>> {
        let field = |name: &str| {
            object
                .as_object()
                .and_then(|o| o.get(name))
                .unwrap_or(Value::Undefined)
        };
        let (start, end, groups) = (field("start"), field("end"), field("groups"));
        let is_match = matches!(start, Value::Number(_))
            || end.as_str() == Some("number")
            || groups.as_array().is_some()
            || field("next").is_function();
        if !is_match {
            return Err(Error::new("T1010"));
        }
        let text = self.subject.as_str().unwrap_or("");
        let number = |value: &Value<'a>| match value {
            Value::Number(number) => *number,
            _ => 0.0,
        };
        Ok(Found {
            start: byte_of(text, number(&start)),
            end: byte_of(text, number(&end)),
            index: number(&start),
            text: field("match"),
            groups,
            source: Source::Object(object),
        })
    }
}

impl<'a> Found<'a> {
    fn field(&self, name: &str) -> Value<'a> {
        match &self.source {
            Source::Object(object) => object
                .as_object()
                .and_then(|o| o.get(name))
                .unwrap_or(Value::Undefined),
            Source::Regex(_) => Value::Undefined,
        }
    }

    /// The match as functions get it.
    pub(super) fn object(&self, call: &mut Call<'_, 'a>, subject: &Value<'a>) -> Result<Value<'a>> {
        match &self.source {
            Source::Object(object) => Ok(object.clone()),
            Source::Regex(matcher) => {
                let text = subject.as_str().unwrap_or("");
                let found = matcher.find(text, self.start);
                match found {
                    Some(found) => call.evaluator.match_object(matcher, &text.into(), &found),
                    None => Ok(Value::Undefined),
                }
            }
        }
    }
}

/// Where the UTF-16 unit at `units` is, in bytes.
fn byte_of(text: &str, units: f64) -> usize {
    let mut seen = 0.0;
    for (at, c) in text.char_indices() {
        if seen >= units {
            return at;
        }
        seen += c.len_utf16() as f64;
    }
    text.len()
}
