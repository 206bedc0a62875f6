//! Text to tokens, one at a time: what a `/` is depends on what the parser has just read.

mod literal;

use crate::error::{Error, Result};

/// The characters that end a name; each is an operator by itself, or the start of one.
const OPERATORS: &str = ".[]{}(),@#;:?+-*/%|=<>^&!~";

/// The operators of two characters.
const DOUBLE: [&str; 9] = ["..", ":=", "!=", ">=", "<=", "**", "~>", "?:", "??"];

/// A token, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// Byte offsets.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// Punctuation, and the words `and`, `or` and `in`.
    Operator(&'static str),
    Name(String),
    Variable(String),
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Regex {
        pattern: String,
        flags: String,
    },
    End,
}

impl TokenKind {
    pub(crate) fn is(&self, operator: &str) -> bool {
        matches!(self, Self::Operator(found) if *found == operator)
    }

    /// How errors, and the signature of a function, quote the token.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Operator(text) => (*text).to_owned(),
            Self::Name(text) | Self::Variable(text) | Self::Text(text) => text.clone(),
            Self::Number(number) => crate::value::number::to_text(*number),
            Self::Bool(value) => value.to_string(),
            Self::Null => "null".to_owned(),
            Self::Regex { pattern, flags } => format!("/{pattern}/{flags}"),
            Self::End => "(end)".to_owned(),
        }
    }
}

/// Whether a name can stand without backquotes, and is read back as the name that it is.
pub(crate) fn is_bare_name(name: &str) -> bool {
    let Some(first) = name.chars().next() else {
        return false;
    };
    !matches!(first, '$' | '"' | '\'' | '`' | '0'..='9')
        && !matches!(name, "and" | "or" | "in" | "true" | "false" | "null")
        && !name.chars().any(ends_name)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}')
}

fn ends_name(c: char) -> bool {
    is_space(c) || operator_at(c).is_some()
}

/// Where a character is among the operators.
fn operator_at(c: char) -> Option<usize> {
    // Letters and digits, which most characters are, are none.
    if c.is_ascii_punctuation() {
        OPERATORS.bytes().position(|o| char::from(o) == c)
    } else {
        None
    }
}

pub(crate) struct Lexer<'s> {
    source: &'s str,
    position: usize,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self {
            source,
            position: 0,
        }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next token. After what ends an operand (`infix`), a slash divides; elsewhere it starts
    /// a regular expression.
    pub(crate) fn next(&mut self, infix: bool) -> Result<Token> {
        self.skip()?;
        let start = self.position;
        let kind = match self.peek() {
            None => TokenKind::End,
            Some('/') if !infix => self.regex()?,
            Some(quote @ ('"' | '\'')) => self.text(quote)?,
            Some('0'..='9') => self.number()?,
            Some('`') => self.quoted_name()?,
            Some(c) => match self.operator(c) {
                Some(operator) => TokenKind::Operator(operator),
                None => self.word(),
            },
        };
        Ok(Token {
            kind,
            start,
            end: self.position,
        })
    }

    /// Whitespace and comments.
    fn skip(&mut self) -> Result<()> {
        loop {
            let rest = self.rest();
            self.position += rest.len() - rest.trim_start_matches(is_space).len();
            if !self.rest().starts_with("/*") {
                return Ok(());
            }
            match self.rest()[2..].find("*/") {
                Some(length) => self.position += length + 4,
                None => return Err(Error::new("S0106").at(self.position)),
            }
        }
    }

    fn operator(&mut self, first: char) -> Option<&'static str> {
        let at = operator_at(first)?;
        let rest = self.rest();
        let found = match DOUBLE.iter().find(|double| rest.starts_with(**double)) {
            Some(double) => *double,
            None => &OPERATORS[at..=at],
        };
        self.position += found.len();
        Some(found)
    }

    fn word(&mut self) -> TokenKind {
        let rest = self.rest();
        let length = rest.find(ends_name).unwrap_or(rest.len());
        let word = &rest[..length];
        self.position += length;
        if let Some(name) = word.strip_prefix('$') {
            return TokenKind::Variable(name.to_owned());
        }
        match word {
            "and" => TokenKind::Operator("and"),
            "or" => TokenKind::Operator("or"),
            "in" => TokenKind::Operator("in"),
            "true" => TokenKind::Bool(true),
            "false" => TokenKind::Bool(false),
            "null" => TokenKind::Null,
            _ => TokenKind::Name(word.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<TokenKind> {
        let mut lexer = Lexer::new(source);
        let mut kinds = Vec::new();
        let mut infix = false;
        loop {
            let token = lexer.next(infix).unwrap();
            infix = !matches!(token.kind, TokenKind::Operator(_));
            if token.kind == TokenKind::End {
                return kinds;
            }
            kinds.push(token.kind);
        }
    }

    #[test]
    fn operators_of_two_characters_come_first() {
        let found: Vec<String> = kinds("a..b:=c!=d>=e<=f**g~>h?:i??j")
            .iter()
            .map(TokenKind::text)
            .collect();
        assert_eq!(found.concat(), "a..b:=c!=d>=e<=f**g~>h?:i??j");
        assert_eq!(found.len(), 19);
    }

    #[test]
    fn a_slash_divides_after_an_operand() {
        assert_eq!(kinds("a / b")[1], TokenKind::Operator("/"));
        let regex = TokenKind::Regex {
            pattern: "b[/]c".into(),
            flags: "i".into(),
        };
        assert_eq!(kinds("a = /b[/]c/i")[2], regex);
    }

    #[test]
    fn comments_are_space_and_must_end() {
        assert_eq!(kinds("/* a */ 1 /* b */").len(), 1);
        assert_eq!(
            Lexer::new("1 /* b").next(false).unwrap().kind,
            TokenKind::Number(1.0)
        );
        let mut lexer = Lexer::new("1 /* b");
        lexer.next(false).unwrap();
        assert_eq!(lexer.next(true).unwrap_err().code(), "S0106");
    }

    #[test]
    fn bare_names_are_read_back() {
        for name in ["a", "é", "a\"b", "λ", "_1"] {
            assert!(is_bare_name(name), "{name}");
            assert_eq!(kinds(name), [TokenKind::Name(name.to_owned())]);
        }
        for name in ["", "a b", "and", "1a", "$a", "a-b", "`a`", "null"] {
            assert!(!is_bare_name(name), "{name}");
        }
    }
}
