//! Signatures of functions: `<s-nn?:s>`. What a call's arguments must be, and what is made of them.

mod apply;

use std::fmt;

use crate::error::Error;

pub(crate) use apply::Arguments;

/// The types that a parameter takes, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    const LETTERS: &'static str = "asnblfom";

    /// The types of these letters; `m` stands for a missing value.
    const fn of(letters: &[u8]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < letters.len() {
            bits |= Self::bit(letters[at]);
            at += 1;
        }
        Self(bits)
    }

    const fn bit(letter: u8) -> u8 {
        let all = Self::LETTERS.as_bytes();
        let mut at = 0;
        while at < all.len() {
            if all[at] == letter {
                return 1 << at;
            }
            at += 1;
        }
        0
    }

    fn takes(self, letter: u8) -> bool {
        self.0 & Self::bit(letter) != 0
    }
}

const ANY: Types = Types::of(b"asnblfom");
const JSON: Types = Types::of(b"asnblom");

/// How many arguments one parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    One,
    ZeroOrOne,
    OneOrMore,
}

#[derive(Clone, Debug, PartialEq)]
struct Parameter {
    types: Types,
    /// An array is wanted: another value is made one.
    array: bool,
    /// What an array's elements must be.
    element: Option<String>,
    count: Count,
    /// The context stands in for a missing argument.
    context: bool,
}

/// A parsed signature; it is printed as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    text: String,
    parameters: Vec<Parameter>,
}

impl Signature {
    /// Reads `<…>`; a fault comes with its offset.
    pub(crate) fn parse(text: &str) -> Result<Self, (Error, usize)> {
        let bytes = text.as_bytes();
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut at = 1;
        while let Some(&letter) = bytes.get(at) {
            match letter {
                b':' => break,
                b's' | b'n' | b'b' | b'l' | b'o' => {
                    parameters.push(Parameter::of(Types::of(&[letter, b'm'])));
                }
                b'a' => parameters.push(Parameter {
                    array: true,
                    ..Parameter::of(ANY)
                }),
                b'f' => parameters.push(Parameter::of(Types::of(b"f"))),
                b'j' => parameters.push(Parameter::of(JSON)),
                b'x' => parameters.push(Parameter::of(ANY)),
                b'-' => {
                    if let Some(last) = parameters.last_mut() {
                        last.context = true;
                        last.count = Count::ZeroOrOne;
                    }
                }
                b'?' | b'+' => {
                    if let Some(last) = parameters.last_mut() {
                        last.count = if letter == b'?' {
                            Count::ZeroOrOne
                        } else {
                            Count::OneOrMore
                        };
                    }
                }
                b'(' => {
                    let end = closing(bytes, at, b'(', b')');
                    let choice = text.get(at + 1..end).unwrap_or_default();
                    if choice.contains('<') {
                        return Err((Error::new("S0402").with("value", choice), at));
                    }
                    let types = Types(Types::of(choice.as_bytes()).0 | Types::bit(b'm'));
                    parameters.push(Parameter::of(types));
                    at = end;
                }
                b'<' => {
                    let end = closing(bytes, at, b'<', b'>');
                    let last = parameters.last_mut();
                    let last = last.filter(|p| p.array || p.types == Types::of(b"f"));
                    let Some(last) = last else {
                        let before = text[..at].trim_end_matches(['?', '-', '+']);
                        let before = before.chars().last().filter(|c| *c != '<');
                        let error = match before {
                            Some(before) => Error::new("S0401").with("value", before.to_string()),
                            None => Error::new("S0401"),
                        };
                        return Err((error, at));
                    };
                    last.element = text.get(at + 1..end).map(str::to_owned);
                    at = end;
                }
                _ => {}
            }
            at += 1;
        }
        Ok(Self {
            text: text.to_owned(),
            parameters,
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Parameter {
    fn of(types: Types) -> Self {
        Self {
            types,
            array: false,
            element: None,
            count: Count::One,
            context: false,
        }
    }
}

/// Where the bracket that opens at `start` is closed; the end of the text where it is not.
fn closing(bytes: &[u8], start: usize, open: u8, close: u8) -> usize {
    let mut depth = 1;
    let mut at = start;
    while at + 1 < bytes.len() {
        at += 1;
        if bytes[at] == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        } else if bytes[at] == open {
            depth += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_an_offset() {
        let (error, offset) = Signature::parse("<n<n>>").unwrap_err();
        assert_eq!((error.code(), offset), ("S0401", 2));
        let (error, offset) = Signature::parse("<(sa<n>)>").unwrap_err();
        assert_eq!((error.code(), offset), ("S0402", 1));
    }

    #[test]
    fn parameters() {
        let signature = Signature::parse("<s-(nb)?a<n>+f<s:o>:x>").unwrap();
        assert_eq!(signature.parameters.len(), 4);
        assert!(signature.parameters[0].context);
        assert_eq!(signature.parameters[1].types, Types::of(b"nbm"));
        assert_eq!(signature.parameters[2].element.as_deref(), Some("n"));
        assert_eq!(signature.parameters[2].count, Count::OneOrMore);
        assert_eq!(signature.to_string(), "<s-(nb)?a<n>+f<s:o>:x>");
    }
}
