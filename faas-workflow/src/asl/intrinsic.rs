//! Intrinsic functions: `States.Format('{}', $.name)`.

mod data;
mod format;
mod function;
mod list;
mod parse;

use serde_json::Value;

use super::path::Path;

pub(super) use data::uuid;
pub(super) use function::Function;
pub(super) use parse::parse;

/// A call of an intrinsic function.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: Function,
    pub(super) arguments: Vec<Argument>,
}

#[derive(Debug, Clone)]
pub(super) enum Argument {
    Literal(Value),
    /// What stands between quotes, with its escapes.
    Text(String),
    Path(Path),
    Call(Call),
}

/// How deep calls may nest, as on AWS.
pub(super) const NESTING: usize = 10;

impl Call {
    /// All paths that it reads.
    pub(super) fn paths<'a>(&'a self, found: &mut Vec<&'a Path>) {
        for argument in &self.arguments {
            match argument {
                Argument::Path(path) => found.push(path),
                Argument::Call(call) => call.paths(found),
                Argument::Literal(_) | Argument::Text(_) => {}
            }
        }
    }
}

/// The text between quotes: `\'`, `\\`, `\{` and `\}` stand for what follows the backslash.
pub(super) fn unescape(raw: &str) -> String {
    let mut characters = raw.chars();
    let mut text = String::with_capacity(raw.len());
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests;
