//! Values as texts, as `$string` gives them.

use std::fmt::Write;

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::stack::with_stack;

use super::{Str, Value, number};

/// The text of a value: JSON, but a text as it is, and a function as nothing. `None` for no value.
pub(crate) fn stringify<'a>(
    value: &Value<'a>,
    pretty: bool,
    budget: &mut Budget,
) -> Result<Option<Str<'a>>> {
    match value {
        Value::Undefined => Ok(None),
        Value::Text(_) | Value::String(_) => Ok(value.as_key()),
        Value::Native(_) | Value::Function(_) => Ok(Some(Str::Text(""))),
        Value::Number(number) if !number.is_finite() => {
            Err(Error::new("D3001").with("value", number::to_text(*number)))
        }
        Value::Number(number) => Ok(Some(Str::Shared(
            number::to_text(number::to_15_digits(*number)).into(),
        ))),
        Value::Bool(value) => Ok(Some(Str::Text(if *value { "true" } else { "false" }))),
        Value::Null => Ok(Some(Str::Text("null"))),
        _ => {
            let mut writer = Writer {
                text: String::new(),
                pretty,
                budget,
            };
            writer.value(&value.unwrapped(), 0)?;
            Ok(Some(Str::Shared(writer.text.into())))
        }
    }
}

struct Writer<'b> {
    text: String,
    pretty: bool,
    budget: &'b mut Budget,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value<'_>, indent: usize) -> Result<()> {
        self.budget.charge(1)?;
        self.budget.fits(self.text.len())?;
        match value {
            Value::Undefined | Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => {
                value.as_number()?;
                self.text
                    .push_str(&number::to_text(number::to_15_digits(*number)));
            }
            Value::Text(_) | Value::String(_) => self.quoted(value.as_str().unwrap_or_default()),
            Value::Native(_) | Value::Function(_) => self.text.push_str("\"\""),
            Value::JsonArray(_) | Value::Array(..) | Value::Tuples(_) => {
                self.array(value, indent)?;
            }
            Value::JsonObject(_) | Value::Object(_) => self.object(value, indent)?,
        }
        Ok(())
    }

    fn array(&mut self, value: &Value<'_>, indent: usize) -> Result<()> {
        self.text.push('[');
        let mut first = true;
        for item in value.as_array().iter().flat_map(|items| items.iter()) {
            self.separate(&mut first, indent + 1);
            with_stack(|| self.value(&item, indent + 1))?;
        }
        self.close(']', first, indent);
        Ok(())
    }

    fn object(&mut self, value: &Value<'_>, indent: usize) -> Result<()> {
        self.text.push('{');
        let mut first = true;
        for (key, value) in value.as_object().iter().flat_map(|object| object.iter()) {
            if value.is_undefined() {
                continue;
            }
            self.separate(&mut first, indent + 1);
            self.quoted(&key);
            self.text.push_str(if self.pretty { ": " } else { ":" });
            with_stack(|| self.value(&value, indent + 1))?;
        }
        self.close('}', first, indent);
        Ok(())
    }

    fn separate(&mut self, first: &mut bool, indent: usize) {
        if !std::mem::replace(first, false) {
            self.text.push(',');
        }
        self.line(indent);
    }

    fn close(&mut self, bracket: char, empty: bool, indent: usize) {
        if !empty {
            self.line(indent);
        }
        self.text.push(bracket);
    }

    fn line(&mut self, indent: usize) {
        if self.pretty {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("  ", indent));
        }
    }

    /// As JSON, with the escapes that `JSON.stringify` makes.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                c if c < ' ' => {
                    // Writing to a text cannot fail.
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(json: &serde_json::Value, pretty: bool) -> String {
        let text = stringify(&Value::from(json), pretty, &mut Budget::default());
        text.unwrap().unwrap().to_string()
    }

    #[test]
    fn as_json_stringify_has_it() {
        assert_eq!(text(&json!("a\"b"), false), "a\"b");
        assert_eq!(
            text(&json!(["a\"\u{1}\n", 0.1, [], {}]), false),
            r#"["a\"\u0001\n",0.1,[],{}]"#
        );
        let pretty = "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}";
        assert_eq!(text(&json!({"a": [1], "b": {}}), true), pretty);
    }
}
