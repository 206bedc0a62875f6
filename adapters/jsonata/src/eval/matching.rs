//! Regular expressions as functions.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::regex::{Match, Matcher};
use crate::signature::Arguments;
use crate::value::{Function, Object, Str, Value, number};

use super::Evaluator;

impl<'a> Evaluator<'a> {
    /// A regular expression as a function: of a text, and of where to start in UTF-16 units.
    pub(super) fn first_match(
        &mut self,
        matcher: &'a Matcher,
        arguments: &Arguments<'a>,
    ) -> Result<Value<'a>> {
        // Numbers and the like are matched as their text, as ECMAScript has it.
        let written = match arguments.first() {
            Some(Value::Number(number)) => Some(number::to_text(*number)),
            Some(Value::Bool(value)) => Some(value.to_string()),
            Some(Value::Null) => Some("null".to_owned()),
            _ => None,
        };
        let given = arguments.first().and_then(Value::as_str);
        let Some(text) = written.as_deref().or(given) else {
            return Ok(Value::Undefined);
        };
        let units = match arguments.get(1) {
            Some(&Value::Number(from)) => from,
            _ => 0.0,
        };
        let mut from = 0;
        let mut skipped = 0.0;
        for c in text.chars().take_while(|_| units > 0.0) {
            if skipped >= units {
                break;
            }
            skipped += c.len_utf16() as f64;
            from += c.len_utf8();
        }
        self.budget.text(text.len())?;
        if skipped < units {
            return Ok(Value::Undefined);
        }
        match matcher.find(text, from) {
            Some(found) => self.match_object(matcher, &text.into(), &found),
            None => Ok(Value::Undefined),
        }
    }

    /// The match after one that ended at `from`.
    pub(super) fn next_match(
        &mut self,
        matcher: &'a Matcher,
        text: &Rc<str>,
        from: usize,
    ) -> Result<Value<'a>> {
        if from >= text.len() {
            return Ok(Value::Undefined);
        }
        self.budget.text(text.len() - from)?;
        match matcher.find(text, from) {
            Some(found) if found.text.is_empty() => {
                Err(Error::new("D1004").with("value", matcher.pattern()))
            }
            Some(found) => self.match_object(matcher, text, &found),
            None => Ok(Value::Undefined),
        }
    }

    /// A match as functions get it.
    pub(crate) fn match_object(
        &mut self,
        matcher: &'a Matcher,
        text: &Rc<str>,
        found: &Match<'_>,
    ) -> Result<Value<'a>> {
        let start = text[..found.start].encode_utf16().count() as f64;
        let length = found.text.encode_utf16().count() as f64;
        let next = Function::NextMatch {
            matcher,
            text: Rc::clone(text),
            from: found.end,
        };
        let groups = found.groups.iter().map(|group| match group {
            Some(group) => Value::string(*group),
            None => Value::Undefined,
        });
        let groups = Value::array(groups.collect())?;
        let mut object = Object::with_capacity(5);
        object.insert(Str::Text("match"), Value::string(found.text))?;
        object.insert(Str::Text("start"), Value::Number(start))?;
        object.insert(Str::Text("end"), Value::Number(start + length))?;
        object.insert(Str::Text("groups"), groups)?;
        object.insert(Str::Text("next"), self.function(next)?)?;
        Ok(Value::Object(Rc::new(object)))
    }
}
