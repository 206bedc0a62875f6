//! [`Fields`]: reads the fields of an object, and tells which of them nobody knows.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::Parser;
use crate::asl::expression::QueryLanguage;
use crate::asl::source::join;

/// An object of a definition. What is asked for is known; what is left at the end is a fault.
pub(super) struct Fields<'v> {
    path: String,
    map: &'v Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// The fields of `value`, which must be an object.
    pub(super) fn of(parser: &mut Parser<'_>, value: &'v Value, path: &str) -> Option<Self> {
        let Some(map) = value.as_object() else {
            let message = format!("expected an object, found {}", kind(value));
            parser.error(path, message, "write it in braces: {…}");
            return None;
        };
        Some(Self {
            path: path.into(),
            map,
            known: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The place of a field.
    pub(super) fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// All that is there.
    pub(super) fn names(&self) -> impl Iterator<Item = &'v String> + use<'v> {
        self.map.keys()
    }

    /// A field of any type.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'v Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.map.get(name)
    }

    /// The same for a name that is not known beforehand.
    pub(super) fn peek(&self, name: &str) -> Option<&'v Value> {
        self.map.get(name)
    }

    fn typed<T>(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
        wanted: &str,
        convert: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(name)?;
        let converted = convert(value);
        if converted.is_none() {
            let message = format!("{name} must be {wanted}, and is {}", kind(value));
            parser.error(self.at(name), message, format!("write {wanted} there"));
        }
        converted
    }

    pub(super) fn text(&mut self, parser: &mut Parser<'_>, name: &'static str) -> Option<&'v str> {
        self.typed(parser, name, "a text", Value::as_str)
    }

    pub(super) fn flag(&mut self, parser: &mut Parser<'_>, name: &'static str) -> Option<bool> {
        self.typed(parser, name, "true or false", Value::as_bool)
    }

    pub(super) fn object(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
    ) -> Option<&'v Map<String, Value>> {
        self.typed(parser, name, "an object", Value::as_object)
    }

    pub(super) fn list(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
    ) -> Option<&'v Vec<Value>> {
        self.typed(parser, name, "a list", Value::as_array)
    }

    /// A whole number within bounds.
    pub(super) fn count(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.get(name)?;
        let (least, most) = (*range.start(), *range.end());
        self.number(parser, name, least as f64..=most as f64)?;
        let whole = value.as_f64().filter(|number| number.fract() == 0.0);
        if whole.is_none() {
            let message = format!("{name} must be a whole number, and is {value}");
            parser.error(
                self.at(name),
                message,
                format!("write a whole number from {least} on"),
            );
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is within the bounds")]
        #[expect(clippy::cast_sign_loss, reason = "it is within the bounds")]
        whole.map(|number| number as u64)
    }

    /// A number within bounds.
    pub(super) fn number(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let number = self.typed(parser, name, "a number", Value::as_f64)?;
        let (least, most) = (range.start(), range.end());
        let bound = if number < *least {
            format!("the allowed minimum is {least}")
        } else if number > *most {
            format!("the allowed maximum is {most}")
        } else {
            return Some(number);
        };
        let message = format!("{name} is {number}; {bound}");
        parser.error(
            self.at(name),
            message,
            format!("write a number from {least} to {most}"),
        );
        None
    }

    /// One of some texts.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        parser: &mut Parser<'_>,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(parser, name)?;
        let found = choices.iter().find(|(choice, _)| *choice == text);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            let message = format!("{name} is {text:?}, not one of the allowed values {names:?}");
            let help = match nearest(text, names.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write one of {}", names.join(", ")),
            };
            parser.error(self.at(name), message, help);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn query_language(&mut self, parser: &mut Parser<'_>) -> Option<QueryLanguage> {
        let choices = [
            ("JSONPath", QueryLanguage::JsonPath),
            ("JSONata", QueryLanguage::Jsonata),
        ];
        self.one_of(parser, "QueryLanguage", &choices)
    }

    /// At most one of these fields may be given.
    pub(super) fn exclusive(&self, parser: &mut Parser<'_>, names: &[&'static str]) {
        let given: Vec<_> = names.iter().filter(|name| self.has(name)).collect();
        if given.len() > 1 {
            let message = format!("the state may have only one of {names:?}");
            let help = format!("remove all but one of {given:?}");
            parser.error(&self.path, message, help);
        }
    }

    /// One of these fields must be given.
    pub(super) fn required(&self, parser: &mut Parser<'_>, names: &[&'static str]) {
        if !names.iter().any(|name| self.has(name)) {
            let one = if names.len() == 1 { "" } else { "one of " };
            let names = names.join(", ");
            let message = format!("these fields are required: {one}{names}");
            parser.error(&self.path, message, format!("add {one}{names}"));
        }
    }

    /// Tells the fields that nobody asked for.
    pub(super) fn finish(self, parser: &mut Parser<'_>) {
        for name in self.map.keys() {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let message = format!("the field {name:?} is not supported here");
            let help = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("remove it; there are {}", self.known.join(", ")),
            };
            parser.error(self.at(name), message, help);
        }
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The name that a misspelt one was likely meant to be.
pub(super) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let scored = names.map(|name| (distance(&text, name), name));
    let best = scored.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= 1.max(text.len() / 4)).then_some(best.1)
}

/// Levenshtein's distance, without regard to case.
fn distance(text: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in text.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in name.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[name.len()]
}
