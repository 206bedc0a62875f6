//! What went wrong with an expression: the reference implementation's code, and the values it names.

mod catalog;

use std::fmt;

use serde_json::Value as Json;

/// Which part of an expression's life an [`Error`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not an expression of the language (codes `S….`), or uses what this crate refuses.
    Syntax,
    /// A value has a type that the operation does not take (codes `T….`).
    Type,
    /// The evaluation failed on its values (codes `D….`), or asked to fail (`$error`, `$assert`).
    Dynamic,
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limit,
}

/// A failure to parse or to evaluate an expression.
///
/// Word-sized. The code is the one that the reference implementation gives in the same case;
/// `S0218`, `S0303`, `D1014`, `D1015` and `D4…` are this crate's own.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    code: &'static str,
    position: Option<usize>,
    token: Option<String>,
    inserts: Vec<(&'static str, Json)>,
}

impl Error {
    pub(crate) fn new(code: &'static str) -> Self {
        Self(Box::new(Inner {
            code,
            position: None,
            token: None,
            inserts: Vec::new(),
        }))
    }

    pub(crate) fn at(mut self, position: usize) -> Self {
        self.0.position.get_or_insert(position);
        self
    }

    pub(crate) fn token(mut self, token: impl Into<String>) -> Self {
        if self.0.token.is_none() {
            self.0.token = Some(token.into());
        }
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.inserts.push((name, value.into()));
        self
    }

    /// Turns the position, so far in bytes of `source`, into UTF-16 units, as the reference counts.
    pub(crate) fn located_in(mut self, source: &str) -> Self {
        if let Some(position) = &mut self.0.position {
            let before = source.get(..*position).unwrap_or(source);
            *position = before.encode_utf16().count();
        }
        self
    }

    /// The code, as the reference implementation has it, `T2001` say.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// Which part of the expression's life failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.0.code {
            "D1011" | "D1012" | "D1014" | "D1015" | "D2014" | "D2015" => ErrorKind::Limit,
            code if code.starts_with('S') => ErrorKind::Syntax,
            code if code.starts_with('T') => ErrorKind::Type,
            _ => ErrorKind::Dynamic,
        }
    }

    /// Where in the text, as far as it is known: behind the token that the error is about, counted
    /// in UTF-16 units, as the reference implementation does.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// The token, operator or function that the error names.
    #[must_use]
    pub fn offending_token(&self) -> Option<&str> {
        self.0.token.as_deref()
    }

    /// A further value that the error names: `value`, `value2`, `index`, `type`, `functionName`, …
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&Json> {
        self.0
            .inserts
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The text of the error, as the reference implementation words it.
    #[must_use]
    pub fn message(&self) -> String {
        catalog::message(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())?;
        match self.position() {
            Some(position) => write!(f, " (at {position})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// What parsing and evaluating give.
pub(crate) type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_values() {
        let error = Error::new("S0202").token("}").with("value", ":").at(3);
        assert_eq!(error.to_string(), "S0202: Expected \":\", got \"}\" (at 3)");
        assert_eq!(error.kind(), ErrorKind::Syntax);
    }

    #[test]
    fn a_message_of_the_user_is_bare() {
        assert_eq!(
            Error::new("D3137").with("message", "no stock").message(),
            "no stock"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let error = Error::new("D3030").with("value", "x".repeat(10_000));
        assert!(error.message().len() < 400, "{}", error.message().len());
    }

    #[test]
    fn positions_count_utf16_units() {
        assert_eq!(
            Error::new("S0201").at(4).located_in("𝄞1").position(),
            Some(2)
        );
    }
}
