//! Whether what came is what was expected, wildcards and all.

use std::collections::HashMap;

use regex_lite::Regex;
use serde_json::Value;

use crate::case::Case;

/// Since when AWS's context object tells how often an execution was redriven.
const REDRIVES: [u32; 3] = [2023, 11, 1];

/// Knows the wildcards of a case, and what the numbered ones stood for so far.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    wildcards: Vec<String>,
    bound: HashMap<String, Value>,
    without_redrives: bool,
}

impl Comparison {
    pub(crate) fn new(case: &Case) -> Self {
        let mut wildcards = case.wildcards.clone();
        // A longer one may begin like a shorter one.
        wildcards.sort_by_key(|w| std::cmp::Reverse(w.len()));
        Self {
            wildcards,
            bound: HashMap::new(),
            without_redrives: case.date() < REDRIVES,
        }
    }

    /// Whether `actual` is what `expected` says.
    pub(crate) fn fits(&mut self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::String(expected), actual) if self.wildcards.contains(expected) => {
                // What came in as a placeholder goes out as one.
                actual == expected || actual != "" && self.bind(expected, actual)
            }
            (Value::String(expected), Value::String(actual)) => self.texts(expected, actual),
            (Value::Object(_), Value::String(text)) => {
                let parsed: Result<Value, _> = serde_json::from_str(text);
                parsed.is_ok_and(|parsed| self.fits(expected, &parsed))
            }
            (Value::Number(expected), Value::Number(actual)) => {
                expected.as_f64() == actual.as_f64()
            }
            (Value::Array(expected), Value::Array(actual)) => {
                let mut pairs = expected.iter().zip(actual);
                expected.len() == actual.len() && pairs.all(|(e, a)| self.fits(e, a))
            }
            (Value::Object(expected), Value::Object(actual)) => {
                let newer = self.without_redrives && actual.contains_key("RedriveCount");
                expected.len() + usize::from(newer) == actual.len()
                    && expected.iter().all(|(name, value)| {
                        actual
                            .get(name)
                            .is_some_and(|actual| self.fits(value, actual))
                    })
            }
            _ => expected == actual,
        }
    }

    fn bind(&mut self, wildcard: &str, actual: &Value) -> bool {
        // Numbered ones stand for the same value each time.
        if !wildcard.contains(|c: char| c.is_ascii_digit()) || wildcard.contains("iso8601") {
            return true;
        }
        let bound = self
            .bound
            .entry(wildcard.into())
            .or_insert_with(|| actual.clone());
        bound == actual
    }

    fn texts(&mut self, expected: &str, actual: &str) -> bool {
        if expected == actual {
            return true;
        }
        if expected.starts_with('{')
            && let (Ok(expected), Ok(actual)) = (
                serde_json::from_str::<Value>(expected),
                serde_json::from_str::<Value>(actual),
            )
        {
            return self.fits(&expected, &actual);
        }
        let mut pattern = String::from("(?s)^");
        let mut names = Vec::new();
        let mut rest = expected;
        while !rest.is_empty() {
            let wildcard = self.wildcards.iter().find(|w| rest.starts_with(w.as_str()));
            if let Some(wildcard) = wildcard {
                pattern.push_str("(.+?)");
                names.push(wildcard.clone());
                rest = &rest[wildcard.len()..];
            } else {
                let character = rest.chars().next().unwrap();
                pattern.push_str(&regex_lite::escape(&character.to_string()));
                rest = &rest[character.len_utf8()..];
            }
        }
        if names.is_empty() {
            return false;
        }
        let regex = Regex::new(&(pattern + "$")).unwrap();
        let Some(found) = regex.captures(actual) else {
            return false;
        };
        let parts = names.iter().zip(found.iter().skip(1));
        let mut parts = parts.map(|(name, part)| (name, part.unwrap().as_str()));
        parts.all(|(name, part)| self.bind(name, &part.into()))
    }
}

/// Text that may be JSON, as the value that it holds.
pub(crate) fn parsed(text: &Value) -> Value {
    let parsed = text.as_str().map(serde_json::from_str);
    parsed.and_then(Result::ok).unwrap_or_else(|| text.clone())
}
