//! The wording of each code. Braces name what is inserted: two for JSON, three for bare text.

mod functions;
mod language;

use serde_json::Value as Json;

use super::Error;
use crate::value::number;

/// How much of an inserted value a message shows.
const SHOWN: usize = 256;

/// All messages.
fn messages() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    language::MESSAGES.iter().chain(functions::MESSAGES)
}

/// The message of an error, its values inserted.
pub(super) fn message(error: &Error) -> String {
    if let Some(Json::String(message)) = error.detail("message") {
        return message.clone();
    }
    let template = messages()
        .find(|(code, _)| *code == error.code())
        .map_or("", |(_, t)| t);
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        text.push_str(&rest[..start]);
        let bare = rest[start..].starts_with("{{{");
        let name_at = start + if bare { 3 } else { 2 };
        let Some(length) = rest[name_at..].find('}') else {
            break;
        };
        insert(&mut text, error, &rest[name_at..name_at + length], bare);
        rest = rest[name_at + length..].trim_start_matches('}');
    }
    text.push_str(rest);
    text
}

fn insert(text: &mut String, error: &Error, name: &str, bare: bool) {
    let value = match name {
        "token" => error.offending_token().map(Json::from),
        _ => error.detail(name).cloned(),
    };
    let shown = match value {
        None => "undefined".to_owned(),
        Some(Json::String(value)) if bare => value,
        Some(Json::Number(value)) => value
            .as_f64()
            .map_or_else(|| value.to_string(), number::to_text),
        Some(value) => value.to_string(),
    };
    match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            text.push_str(&shown[..end]);
            text.push('…');
        }
        None => text.push_str(&shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once() {
        for (index, (code, _)) in messages().enumerate() {
            assert!(
                messages().take(index).all(|(other, _)| other != code),
                "{code}"
            );
        }
    }
}
