//! A definition's text: parsed, with repeated fields told, and with the places of its values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::diagnostic::{Code, Diagnostic};

/// How much of a line an excerpt shows.
const EXCERPT: usize = 120;

/// Appends a field or an index to a JSON pointer (RFC 6901).
pub(super) fn join(path: &str, part: &str) -> String {
    let escaped = part.replace('~', "~0").replace('/', "~1");
    format!("{path}/{escaped}")
}

/// Where something stands in a text; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) offset: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    /// How many characters to mark.
    pub(super) length: usize,
}

/// A definition as its author wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source<'a>(pub(super) &'a str);

impl<'a> Source<'a> {
    /// The value that the text is, and a fault for each field that is given twice.
    pub(super) fn parse(self) -> Result<(Value, Vec<Diagnostic>), Diagnostic> {
        let mut repeated = Vec::new();
        let mut text = serde_json::Deserializer::from_str(self.0);
        let seed = Tree {
            path: String::new(),
            repeated: &mut repeated,
        };
        let value = seed
            .deserialize(&mut text)
            .and_then(|value| text.end().map(|()| value));
        match value {
            Ok(value) => Ok((value, repeated)),
            Err(error) => {
                let message = format!("the text is no JSON: {error}");
                let help = "correct the syntax at that place";
                Err(Diagnostic::error(Code::InvalidJson, "", message, help))
            }
        }
    }

    /// Where the value at `path` stands; its key, if it has one.
    pub(super) fn locate(self, path: &str) -> Option<Position> {
        let mut scan = Scan {
            text: self.0,
            at: 0,
        };
        scan.blank();
        let mut start = scan.at;
        for part in path.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            start = scan.descend(&part)?;
        }
        let mut end = Scan {
            text: self.0,
            at: start,
        };
        end.skip()?;
        let before = self.0.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Position {
            offset: start,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..)?.chars().count() + 1,
            length: self.0.get(start..end.at)?.lines().next()?.chars().count(),
        })
    }

    /// The line of a position, cut to what can be shown, and how many characters of it come before.
    pub(super) fn excerpt(self, at: Position) -> (String, usize) {
        let line = self.0.lines().nth(at.line - 1).unwrap_or_default();
        let skipped = (at.column - 1).saturating_sub(EXCERPT / 2);
        let shown = line.chars().skip(skipped).take(EXCERPT);
        let shown = shown
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        (shown, at.column - 1 - skipped)
    }
}

/// Walks through a text that is known to be JSON.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn token(&mut self, token: u8) -> Option<()> {
        self.blank();
        (self.peek()? == token).then(|| self.at += 1)
    }

    /// Goes to the value of a field, or to an element; answers where its key, or it, begins.
    fn descend(&mut self, part: &str) -> Option<usize> {
        self.blank();
        if self.peek()? == b'[' {
            return self.element(part.parse().ok()?);
        }
        self.token(b'{')?;
        loop {
            self.blank();
            let start = self.at;
            self.skip()?;
            let key: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
            self.token(b':')?;
            self.blank();
            if key == part {
                return Some(start);
            }
            self.skip()?;
            self.token(b',')?;
        }
    }

    fn element(&mut self, index: usize) -> Option<usize> {
        self.token(b'[')?;
        for _ in 0..index {
            self.skip()?;
            self.token(b',')?;
        }
        self.blank();
        Some(self.at)
    }

    /// Goes behind the value that begins here.
    fn skip(&mut self) -> Option<()> {
        self.blank();
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    let word = |b: u8| !b" \n\r\t,:]}".contains(&b);
                    while self.peek().is_some_and(word) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

/// Builds a [`Value`] and tells which fields are given twice.
struct Tree<'a> {
    path: String,
    repeated: &'a mut Vec<Diagnostic>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is too large"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        loop {
            let element = Tree {
                path: join(&self.path, &found.len().to_string()),
                repeated: self.repeated,
            };
            match elements.next_element_seed(element)? {
                Some(element) => found.push(element),
                None => return Ok(Value::Array(found)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let path = join(&self.path, &name);
            if self.repeated.len() > 100 {
                return Err(A::Error::custom("more than 100 fields are given twice"));
            }
            let value = fields.next_value_seed(Tree {
                path: path.clone(),
                repeated: self.repeated,
            })?;
            if found.contains_key(&name) {
                let message = format!("the field {name:?} is given twice");
                let help = "remove one of the two, or rename it";
                self.repeated
                    .push(Diagnostic::error(Code::Schema, path, message, help));
            }
            found.insert(name, value);
        }
        Ok(Value::Object(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"a\": [1, {\"b/c\": \"x\\\"y\", \"d\": null}],\n  \"e\": 2\n}";

    #[test]
    fn values_are_located() {
        let at = |path: &str| {
            let position = Source(TEXT).locate(path)?;
            Some((position.line, position.column, position.length))
        };
        assert_eq!(at(""), Some((1, 1, 1)));
        assert_eq!(at("/a"), Some((2, 3, 3)));
        assert_eq!(at("/a/1/b~1c"), Some((2, 13, 5)));
        assert_eq!(at("/a/0"), Some((2, 9, 1)));
        assert_eq!(at("/a/1/d"), Some((2, 28, 3)));
        assert_eq!(at("/e"), Some((3, 3, 3)));
        assert_eq!(at("/f"), None);
        assert_eq!(at("/a/7"), None);
    }

    #[test]
    fn fields_given_twice_are_told() {
        let (value, repeated) = Source("{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}, \"a\": 3}")
            .parse()
            .unwrap();
        assert_eq!(value, serde_json::json!({"a": 3, "b": {"c": 2}}));
        let paths: Vec<_> = repeated.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(paths, ["/b/c", "/a"]);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let fault = Source("{\n  \"a\": 1,\n  b\n}").parse().unwrap_err();
        assert_eq!(fault.code, Code::InvalidJson);
        assert!(fault.message.contains("line 3"), "{}", fault.message);
        assert!(Source("{} {}").parse().is_err());
        assert!(Source(&"[".repeat(10_000)).parse().is_err());
    }
}
