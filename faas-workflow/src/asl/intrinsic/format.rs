//! `States.Format`.

use std::fmt::Write as _;

use serde_json::Value;

/// How many `{}` a template has; `\{` and `\}` are no braces.
pub(super) fn placeholders(template: &str) -> usize {
    Pieces(template)
        .filter(|piece| *piece == Piece::Place)
        .count()
}

/// The template with its places filled.
pub(super) fn format(template: &str, arguments: &[Value]) -> Result<Value, String> {
    let (wanted, given) = (placeholders(template), arguments.len());
    if wanted != given {
        return Err(format!(
            "the template has {wanted} of \"{{}}\", and {given} arguments follow it"
        ));
    }
    let mut arguments = arguments.iter();
    let mut text = String::new();
    for piece in Pieces(template) {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Place => show(arguments.next().unwrap_or(&Value::Null), &mut text),
        }
    }
    Ok(text.into())
}

/// A value as Java shows it, which is how AWS does: `{a=1, b=[x, y]}`.
fn show(value: &Value, text: &mut String) {
    match value {
        Value::String(inner) => text.push_str(inner),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                show(element, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                text.push_str(name);
                text.push('=');
                show(field, text);
            }
            text.push('}');
        }
        other => {
            // Writing to a string does not fail.
            let _ = write!(text, "{other}");
        }
    }
}

#[derive(PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Place,
}

/// A template in pieces.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some(rest) = self.0.strip_prefix("{}") {
            self.0 = rest;
            return Some(Piece::Place);
        }
        let escaped = self.0.starts_with('\\');
        let rest = if escaped { &self.0[1..] } else { self.0 };
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let after = rest.get(first..).unwrap_or_default();
        let end = first + after.find(['{', '\\']).unwrap_or(after.len());
        let (text, rest) = rest.split_at(end);
        self.0 = rest;
        Some(Piece::Text(text))
    }
}
